"""An application on psycopg 3 and its pool, with their default settings. Takes DATABASE_URL; prints what it sees."""

import asyncio
import logging
import os
import threading

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool, ConnectionPool

URL = os.environ["DATABASE_URL"]

logging.disable()  # psycopg warns of what it ignores at the end of a broken pipeline, or not, as time will have it


def say(*words):
    print(*words, flush=True)


def complains(run, *arguments, **named):
    """The class, SQLSTATE and words of an error that has to come."""
    try:
        run(*arguments, **named)
    except psycopg.Error as error:
        return f"{type(error).__name__} {error.sqlstate}: {error}"
    raise AssertionError("no error")


def value(conn, *query):
    return conn.execute(*query).fetchone()[0]


def configure(conn):
    conn.autocommit = True
    conn.execute("set time zone 'America/Sao_Paulo'")
    conn.execute("select set_config('app.tenant', 'blue', false)")
    conn.autocommit = False


def schema(pool):
    with pool.connection() as conn:
        conn.execute("drop table if exists item, audit")
        conn.execute("create table item (id bigserial primary key, name text unique, tags text[], attributes jsonb)")
        conn.execute("create table audit (id bigserial primary key, line text)")


def settings_of_a_connection(pool):
    """psycopg's pool resets nothing but an open transaction, so they stay."""
    with pool.connection() as conn:
        say(value(conn, "show timezone"), value(conn, "select current_setting('app.tenant')"), conn.info.timezone)
    with pool.connection() as conn:
        conn.execute("set work_mem = '5MB'")
        conn.rollback()
        say("rolled back", value(conn, "show work_mem"))
    with pool.connection() as conn, pool.connection() as other:
        conn.execute("set work_mem = '6MB'")
        conn.commit()
        say("committed", value(conn, "show work_mem"), value(other, "show work_mem"))
        conn.execute("reset work_mem")
    with psycopg.connect(URL, options="-c work_mem=7MB -c search_path=pg_catalog") as conn:
        say("options", value(conn, "show work_mem"), value(conn, "show search_path"))
        conn.execute("set work_mem = '8MB'")
        conn.execute("reset all")
        conn.commit()
        say("reset to", value(conn, "show work_mem"))
    with psycopg.connect(URL, client_encoding="latin1", application_name="a name") as conn:
        say(conn.info.encoding, value(conn, "select chr(233)"), value(conn, "show application_name"))


def isolation_and_read_only(pool):
    with psycopg.connect(URL) as conn:
        conn.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        conn.read_only = True
        say(value(conn, "show transaction_isolation"), value(conn, "show transaction_read_only"))
        say(complains(conn.execute, "insert into audit (line) values ('no')"))
        conn.rollback()
        conn.execute("set session characteristics as transaction read write")
        conn.commit()
        conn.read_only = None
        say(value(conn, "show transaction_read_only"))


def default_prepare_threshold(pool):
    with pool.connection() as conn, pool.connection() as other:
        for n in range(12):
            conn.execute("insert into item (name, tags, attributes) values (%s, %s, %s)", [f"item {n}", [f"{n}"], Jsonb({"n": n})])
            conn.commit()
            say(value(other, "select attributes from item where name = %s", [f"item {n}"]))
            other.commit()
        say("kept", len(conn._prepared._names), len(other._prepared._names))
        for n in range(3):
            say(complains(conn.execute, "insert into item (name, tags, attributes) values (%s, %s, %s)", ["item 1", [], None]))
            conn.rollback()
        for n in range(8):
            say(complains(conn.execute, "select 1 / %s::int", [0]))
            conn.rollback()
        conn.execute("deallocate all")
        conn.commit()
        say("after deallocate all", value(other, "select count(*) from item"))


def prepared_statements_after_ddl(pool):
    with psycopg.connect(URL, autocommit=True) as conn, psycopg.connect(URL, autocommit=True) as other:
        for _ in range(7):
            conn.execute("select * from audit order by id")
            other.execute("select * from audit order by id")
        other.execute("alter table audit add column note text default 'new'")
        other.execute("insert into audit (line) values ('one')")
        try:  # PostgreSQL makes no promise which of the two it is
            conn.execute("select * from audit order by id")
        except psycopg.errors.FeatureNotSupported as error:
            assert "cached plan must not change result type" in str(error)
        say(other.execute("select * from audit order by id").fetchall())  # psycopg forgets its statements after an ALTER
        say(conn.execute("select * from audit order by id", prepare=False).fetchall())


def pipelines(pool):
    with pool.connection() as conn:
        with conn.pipeline():
            cursors = [conn.execute("insert into audit (line) values (%s) returning line", [f"{n}"]) for n in range(100)]
            last = conn.execute("select count(*) from audit where note = 'new'")
        say("pipeline", cursors[99].fetchone(), last.fetchone())
        with conn.cursor() as cur:
            cur.executemany("update audit set note = %s where line = %s returning id", [("x", f"{n}") for n in range(50)], returning=True)
            say("executemany", sum(1 for _ in cur.results()))
    with psycopg.connect(URL, autocommit=True) as conn:
        def broken():
            with conn.pipeline() as pipeline:
                conn.execute("set app.step = 'one'")
                pipeline.sync()
                conn.execute("set app.step = 'two'")
                conn.execute("select 1 / 0")
                conn.execute("set app.step = 'three'")
        say(complains(broken))
        say("step", value(conn, "select current_setting('app.step')"))
        with conn.pipeline(), conn.transaction():
            conn.execute("set local app.step = 'four'")
            say("in the pipeline", value(conn, "select current_setting('app.step')"))
        say("after it", value(conn, "select current_setting('app.step')"))


def transactions(pool):
    with pool.connection() as conn:
        with conn.transaction():
            conn.execute("insert into audit (line) values ('outer')")
            with conn.transaction(force_rollback=True):
                conn.execute("insert into audit (line) values ('inner')")
            say(complains(lambda: insert_twice(conn)))
            say([line for line, in conn.execute("select line from audit where line in ('outer', 'inner')")])
    with psycopg.connect(URL) as conn:
        conn.tpc_begin(conn.xid(1, "gtrid", "bqual")) if value(conn, "show max_prepared_transactions") != "0" else conn.rollback()
        say(conn.info.transaction_status.name)
        conn.rollback()


def insert_twice(conn):
    with conn.transaction():
        conn.execute("insert into item (name) values ('item 1')")


def server_cursors(pool):
    with pool.connection() as conn, conn.cursor("named", row_factory=dict_row) as cur:
        cur.itersize = 10
        cur.execute("select generate_series(1, %s) as n", [45])
        say("named", sum(row["n"] for row in cur))
    with psycopg.connect(URL, autocommit=True) as conn:
        with conn.cursor("held", withhold=True, scrollable=True) as cur:
            cur.execute("select generate_series(1, 20)")
            say("held", cur.fetchmany(3))
            conn.execute("insert into audit (line) values ('between')")
            cur.scroll(5)
            say("held", cur.fetchone())
            cur.scroll(2, mode="absolute")
            say("held", cur.fetchone(), len(cur.fetchall()))
        with conn.cursor() as cur:
            say("streamed", [row[0] for row in cur.stream("select generate_series(1, 5)")])


def copies(pool):
    with pool.connection() as conn:
        with conn.cursor().copy("copy item (name, tags, attributes) from stdin") as copy:
            for n in range(500):
                copy.write_row((f"copied {n}", [None, "a,b"], Jsonb({"n": n})))
        with conn.cursor().copy("copy (select name, tags from item where name ~ '^copied 1?$|[01]0$' order by id) to stdout") as copy:
            say(b"".join(bytes(block) for block in copy))
        say("rows", value(conn, "select count(*) from item"))


def temporary_tables(pool):
    with psycopg.connect(URL, autocommit=True) as one, psycopg.connect(URL, autocommit=True) as two:
        one.execute("create temp table basket as select generate_series(1, 3) as n")
        two.execute("select 'two' as n into temp basket")
        for _ in range(7):
            say("baskets", one.execute("table basket").fetchall(), two.execute("table basket").fetchall())
        one.execute("discard temp")
        say(complains(one.execute, "select from basket"), two.execute("table basket").fetchall())


def advisory_locks(pool):
    with psycopg.connect(URL, autocommit=True) as one, psycopg.connect(URL, autocommit=True) as two:
        say(value(one, "select pg_advisory_lock(7)") == "", value(two, "select pg_try_advisory_lock(7)"))
        say(complains(one.execute, "select pg_advisory_lock(n), 1 / (2 - n) from generate_series(1, 3) n"))
        say(value(two, "select pg_try_advisory_lock(1)"), value(two, "select pg_try_advisory_lock(3)"))
        say([value(one, "select pg_advisory_unlock(%s)", [n]) for n in (1, 2, 3, 7)])
        say(value(two, "select pg_try_advisory_lock(7)"))


def notifications(pool):
    listening, done = threading.Event(), threading.Event()

    def listen():
        with psycopg.connect(URL, autocommit=True) as conn:
            conn.execute("listen news")
            listening.set()
            for notify in conn.notifies():
                say("heard", notify.channel, notify.payload)
                if notify.payload == "end":
                    break
            conn.execute("unlisten *")
            say("still works", value(conn, "select 1"))
        done.set()

    thread = threading.Thread(target=listen)
    thread.start()
    listening.wait()
    with psycopg.connect(URL, autocommit=True) as conn:
        conn.execute("notify news, 'first'")
        with conn.transaction():
            conn.execute("select pg_notify('news', %s)", ["second"])
            conn.execute("select pg_notify('news', %s)", ["second"])
        conn.execute("notify news, 'end'")
    done.wait(60)
    thread.join()


def roles(pool):
    with psycopg.connect(URL, autocommit=True) as conn:
        conn.execute("set role app_owner")
        say(value(conn, "select current_user"), value(conn, "select session_user"))
        say(complains(conn.execute, "select from item"))
        conn.execute(sql.SQL("reset role"))
        say(value(conn, "select current_user"))
        with conn.transaction():
            conn.execute("set local role app_owner")
            say(value(conn, "select current_user"))
        say(value(conn, "select current_user"))


def sql_statements(pool):
    with psycopg.connect(URL, autocommit=True) as conn:
        conn.execute("prepare twice (int) as select $1 * 2")
        say([value(conn, f"execute twice ({n})") for n in range(8)])
        conn.execute("deallocate twice")
        say(complains(conn.execute, "execute twice (1)"))
        conn.execute("discard all")
        say(complains(conn.execute, "begin; discard all"))
        conn.rollback()
        say(value(conn, "select 'on'"))


def many_threads(pool):
    def work(number):
        for n in range(10):
            with pool.connection() as conn:
                conn.execute("insert into audit (line) values (%s)", [f"thread {number}"])
                assert value(conn, "show timezone") == "America/Sao_Paulo"
    threads = [threading.Thread(target=work, args=[number]) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with pool.connection() as conn:
        say("threads", value(conn, "select count(*) from audit where line like 'thread%'"))


def many_tasks(_):
    async def task(pool, number):
        async with pool.connection() as conn, conn.transaction():
            await conn.execute("select set_config('app.task', %s, true)", [f"task {number}"])
            cur = await conn.execute("insert into audit (line) values (current_setting('app.task')) returning line")
            assert await cur.fetchone() == (f"task {number}",)

    async def main():
        async with AsyncConnectionPool(URL, min_size=10, open=False) as pool:
            await asyncio.gather(*(task(pool, number) for number in range(100)))
            async with pool.connection() as conn:
                cur = await conn.execute("select count(*) from audit where line like 'task%'")
                say("tasks", await cur.fetchone())

    asyncio.run(main())


STORY = [
    schema, settings_of_a_connection, isolation_and_read_only, default_prepare_threshold, prepared_statements_after_ddl, pipelines,
    transactions, server_cursors, copies, temporary_tables, advisory_locks, notifications, roles, sql_statements, many_threads,
    many_tasks,
]

with ConnectionPool(URL, configure=configure, open=True) as pool:
    for chapter in STORY:
        say(f"== {chapter.__name__}")
        chapter(pool)
