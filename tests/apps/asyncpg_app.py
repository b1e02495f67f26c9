"""An application on asyncpg, with its default settings. Takes DATABASE_URL; prints what it sees."""

import asyncio
import io
import json
import os

import asyncpg

URL = os.environ["DATABASE_URL"]


def say(*words):
    print(*words, flush=True)


async def complains(awaitable):
    """The class, SQLSTATE and words of an error that has to come."""
    try:
        await awaitable
    except asyncpg.PostgresError as error:
        return f"{type(error).__name__} {error.sqlstate}: {error}"
    raise AssertionError("no error")


async def init(conn):
    """Once for each connection of the pool."""
    await conn.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")


async def set_up(conn):
    """Each time that one is acquired: asyncpg's reset takes settings back when it is released."""
    await conn.execute("set time zone 'America/Sao_Paulo'; set app.tenant = 'blue'")


async def schema(pool):
    await pool.execute("""
        drop table if exists item, audit;
        create table item (id bigserial primary key, name text unique, tags text[] not null default '{}',
                           attributes jsonb, at timestamptz not null default '2024-02-29 12:00+00');
        create table audit (id bigserial primary key, line text);
        drop type if exists mood;
        create type mood as enum ('glad', 'sad')
    """)


async def types_and_codecs(pool):
    async with pool.acquire() as conn:
        row = await conn.fetchrow("select $1::jsonb as j, $2::text[] as t, 'glad'::mood as m", {"a": [1, None]}, ["x", None])
        say("types", dict(row))
        say("the column's type", await conn.fetchval("select pg_typeof($1::mood)::text", "sad"))
        await conn.execute("alter type mood add value 'so so'")
        say("a new label", await conn.fetchval("select $1::mood", "so so"))


async def settings_of_a_connection(pool):
    async with pool.acquire() as conn:
        say("settings", await conn.fetchval("show timezone"), await conn.fetchval("select current_setting('app.tenant', true)"))
        await conn.execute("set search_path = pg_catalog; set statement_timeout = '30s'")
        say("search_path", await conn.fetchval("show search_path"), await conn.fetchval("show statement_timeout"))
        await conn.execute("select set_config('work_mem', '9MB', false)")
        say("work_mem", await conn.fetchval("show work_mem"))
    async with pool.acquire() as conn:
        say("released", *[await conn.fetchval(f"show {name}") for name in ("search_path", "statement_timeout", "work_mem")])
    async with pool.acquire() as conn, conn.transaction():
        await conn.execute("set local work_mem = '11MB'")
        say("set local", await conn.fetchval("show work_mem"))
    say("after it", await pool.fetchval("show work_mem"))


async def default_statement_cache(pool):
    for n in range(150):
        assert await pool.fetchval(f"select {n} + $1::int", n) == 2 * n
    await pool.executemany("insert into item (name, tags, attributes) values ($1, $2, $3)",
                           [(f"item {n}", [str(n)], {"n": n}) for n in range(300)])
    say("inserted", await pool.fetchval("select count(*) from item"))
    rows = await pool.fetch("select name, attributes, at::text from item where tags && $1 order by id", ["7", "8"])
    say("found", [tuple(row) for row in rows])
    row = await pool.fetchrow("insert into item (name) values ($1) on conflict (name) do update set tags = '{again}' "
                              "returning name, tags, attributes", "item 7")
    say("upsert", tuple(row))
    say(await complains(pool.execute("insert into item (name) values ($1)", "item 7")))
    say(await complains(pool.fetch("select no_such_column from item")))
    say(await complains(pool.fetch("select 1 / $1::int", 0)))


async def prepared_statements_after_ddl(pool):
    async with pool.acquire() as conn, pool.acquire() as other:
        select = "select * from audit order by id"
        statement = await conn.prepare(select)
        say("columns", [a.name for a in statement.get_attributes()])
        await conn.execute("insert into audit (line) values ('one')")
        say("before", [tuple(r) for r in await statement.fetch()], [tuple(r) for r in await other.fetch(select)])
        await other.execute("alter table audit add column note text default 'new'")
        say("after, cached", [tuple(r) for r in await conn.fetch(select)], [tuple(r) for r in await other.fetch(select)])
        say("after, prepared:", await complains(statement.fetch()))
        say("prepared anew", [tuple(r) for r in await (await conn.prepare(select)).fetch()])


async def transactions(pool):
    async with pool.acquire() as conn:
        async with conn.transaction():
            await conn.execute("insert into audit (line) values ('outer')")
            try:
                async with conn.transaction():
                    await conn.execute("insert into audit (line) values ('inner')")
                    raise LookupError
            except LookupError:
                pass
            say("savepoint", await conn.fetchval("select count(*) from audit"))
        for isolation in ("read_committed", "repeatable_read", "serializable"):
            async with conn.transaction(isolation=isolation, readonly=isolation == "serializable"):
                say(await conn.fetchval("show transaction_isolation"), await conn.fetchval("show transaction_read_only"))
        say(conn.is_in_transaction())


async def two_writers(pool):
    """Row locks, and two that wait for each other: one of them is told so."""
    await pool.execute("insert into item (name, attributes) values ('counter', '{\"n\": 0}')")

    async def count(number):
        for _ in range(10):
            async with pool.acquire() as conn, conn.transaction():
                n = (await conn.fetchval("select attributes from item where name = 'counter' for update"))["n"]
                await conn.execute("update item set attributes = $1 where name = 'counter'", {"n": n + 1})

    await asyncio.gather(*(count(number) for number in range(12)))
    say("counter", await pool.fetchval("select attributes from item where name = 'counter'"))
    async with pool.acquire() as one, pool.acquire() as two:
        async with one.transaction():
            await one.execute("select from item where name = 'counter' for update")
            say(await complains(two.execute("select from item where name = 'counter' for update nowait")))
            say("skipped", await two.fetch("select name from item where name = 'counter' for update skip locked"))


async def cursors(pool):
    async with pool.acquire() as conn, conn.transaction():
        seen = 0
        async for row in conn.cursor("select id from item order by id", prefetch=20):
            seen += 1
            if seen % 100 == 0:
                await conn.execute("insert into audit (line) values ($1)", f"seen {seen}")
        say("cursor", seen, await conn.fetchval("select count(*) from audit where line like 'seen%'"))
        cursor = await conn.cursor("select generate_series(1, 10)")
        say(await cursor.forward(4), [row[0] for row in await cursor.fetch(3)], await cursor.fetchrow())


async def cursor_with_hold(pool):
    async with pool.acquire() as conn:
        async with conn.transaction():
            await conn.execute("declare held cursor with hold for select generate_series(1, 5)")
        say("held", [row[0] for row in await conn.fetch("fetch 2 from held")])
        say("held", [row[0] for row in await conn.fetch("fetch all from held")])
    async with pool.acquire() as conn:  # asyncpg's reset says CLOSE ALL
        say(await complains(conn.fetch("fetch 1 from held")))


async def copies(pool):
    async with pool.acquire() as conn:
        records = [(f"copied {n}", ["a", None]) for n in range(1000)]
        say(await conn.copy_records_to_table("item", records=records, columns=["name", "tags"]))
        out = io.BytesIO()
        say(await conn.copy_from_query("select name, tags from item where name like $1 order by id limit 2", "copied%", output=out))
        say(out.getvalue())
        say(await conn.copy_to_table("audit", source=io.BytesIO(b"from a file\n"), columns=["line"]))
        say(await complains(conn.copy_to_table("item", source=io.BytesIO(b"no number\n"), columns=["id"])))


async def temporary_tables(pool):
    async with pool.acquire() as one, pool.acquire() as two:
        await one.execute("create temp table basket (id int, name text)")
        await two.execute("create temp table basket (other text)")
        await one.copy_records_to_table("basket", records=[(n, f"{n}") for n in range(20)])
        await two.execute("insert into basket values ('two')")
        for _ in range(5):
            say("baskets", await one.fetchval("select count(*) from basket"), [tuple(r) for r in await two.fetch("table basket")])
        await one.execute("drop table basket")
        await two.execute("drop table basket")
        say(await complains(one.fetch("table basket")))


async def advisory_locks(pool):
    async with pool.acquire() as one, pool.acquire() as two:
        say("locked", await one.fetchval("select pg_try_advisory_lock($1)", 42))
        say("refused", await two.fetchval("select pg_try_advisory_lock($1)", 42))
        say("unlocked", await one.fetchval("select pg_advisory_unlock($1)", 42))
        say("locked", await two.fetchval("select pg_try_advisory_lock($1)", 42))
    async with pool.acquire() as conn:  # asyncpg's reset says pg_advisory_unlock_all()
        say("free again", await conn.fetchval("select pg_try_advisory_xact_lock(42)"))


async def notifications(pool):
    heard = asyncio.Queue()
    listener = await asyncpg.connect(URL)
    await listener.add_listener("news", lambda _, pid, channel, payload: heard.put_nowait((channel, payload)))
    await pool.execute("notify news, 'by a command'")
    await pool.execute("select pg_notify('news', $1)", "by a function")
    async with pool.acquire() as conn, conn.transaction():
        for line in ("first", "first", "second"):
            await conn.execute("select pg_notify('news', $1)", line)
    await listener.execute("notify news, 'by itself'")
    for _ in range(5):
        say("heard", *await heard.get())
    say("still works", await listener.fetchval("select 1"))
    async with listener.transaction():
        await pool.execute("notify news, 'in a transaction'")
        say("silence", heard.empty())
    say("heard", *await heard.get())
    await listener.close()


async def roles(pool):
    async with pool.acquire() as conn:
        await conn.execute("set role app_owner")
        say("role", await conn.fetchval("select current_user"), await conn.fetchval("select session_user"))
        say(await complains(conn.execute("insert into item (name) values ('not mine')")))
        await conn.execute("reset role")
        say("role", await conn.fetchval("select current_user"))


async def timeouts(pool):
    async with pool.acquire() as conn:
        try:
            await conn.fetch("select pg_sleep(30)", timeout=0.2)
        except asyncio.TimeoutError:
            say("cancelled")
        say("goes on", await conn.fetchval("select 'on'"))
        await conn.execute("set statement_timeout = 50")
        say(await complains(conn.fetch("select pg_sleep(30)")))


async def sequences_within_a_transaction(pool):
    async with pool.acquire() as conn, conn.transaction():
        new = await conn.fetchval("insert into audit (line) values ('numbered') returning id")
        say("currval", await conn.fetchval("select currval('audit_id_seq')") == new)


async def notices(pool):
    async with pool.acquire() as conn:
        heard = []
        conn.add_log_listener(lambda _, message: heard.append(str(message)))
        await conn.execute("do $$ begin raise warning 'mind the gap'; end $$")
        await conn.execute("drop table if exists never_was")
        await conn.fetchval("select 1")
        await asyncio.sleep(0)
        say("notices", heard)
        for listener in list(conn._log_listeners):
            conn._log_listeners.discard(listener)


async def many_tasks(pool):
    async def task(number):
        async with pool.acquire() as conn:
            await conn.execute(f"set app.task = 'task {number}'")
            for _ in range(5):
                assert await conn.fetchval("select current_setting('app.task')") == f"task {number}"
                async with conn.transaction():
                    await conn.execute("insert into audit (line) values ($1)", f"task {number}")
    await asyncio.gather(*(task(number) for number in range(60)))
    say("tasks", await pool.fetchval("select count(*) from audit where line like 'task%'"))


STORY = [
    schema, types_and_codecs, settings_of_a_connection, default_statement_cache, prepared_statements_after_ddl, transactions,
    two_writers, cursors, cursor_with_hold, copies, temporary_tables, advisory_locks, notifications, roles, timeouts,
    sequences_within_a_transaction, notices, many_tasks,
]


async def main():
    async with asyncpg.create_pool(URL, init=init, setup=set_up) as pool:
        for chapter in STORY:
            say(f"== {chapter.__name__}")
            await chapter(pool)


asyncio.run(main())
