"""psycopg 3, as applications use it. Takes DATABASE_URL; ends with 0 if everything was as with PostgreSQL itself."""

import asyncio
import datetime
import decimal
import os
import sys
import threading
import traceback

import psycopg
from psycopg import errors
from psycopg.types.json import Jsonb

URL = os.environ["DATABASE_URL"]
CONNECTIONS = 60
TRANSACTIONS = 10


def prepared_statements():
    with psycopg.connect(URL, autocommit=True, prepare_threshold=0) as one, \
            psycopg.connect(URL, autocommit=True, prepare_threshold=2) as two:
        for i in range(20):
            assert one.execute("select %s::int + 1", [i]).fetchone() == (i + 1,)
            assert two.execute("select %s::int * 2", [i]).fetchone() == (i * 2,)
            assert two.execute("select %s::int + 1", [i]).fetchone() == (i + 1,)


def more_statements_than_the_driver_keeps():
    with psycopg.connect(URL, autocommit=True, prepare_threshold=0) as conn:
        conn.prepared_max = 5
        for turn in range(3):
            for i in range(12):
                assert conn.execute(f"select {i} + %s::int", [turn]).fetchone() == (i + turn,)


def types_in_both_formats():
    values = [
        decimal.Decimal("12345.678900"), datetime.datetime(2024, 2, 29, 12, 30, tzinfo=datetime.timezone.utc),
        datetime.timedelta(days=3, seconds=5), [1, None, 3], b"\x00\xff", "naïve ☃", True, None,
    ]
    casts = ["numeric", "timestamptz", "interval", "int[]", "bytea", "text", "bool", "text"]
    select = "select " + ", ".join(f"%s::{cast}" for cast in casts)
    with psycopg.connect(URL) as conn:
        for binary in (False, True):
            with conn.cursor(binary=binary) as cur:
                assert list(cur.execute(select, values).fetchone()) == values
                assert cur.execute("select %s::jsonb", [Jsonb({"a": [1, "b"]})]).fetchone() == ({"a": [1, "b"]},)


def a_pipeline():
    with psycopg.connect(URL, autocommit=True) as conn, conn.pipeline():
        cursors = [conn.execute("select %s::int", [i]) for i in range(500)]
        assert [cur.fetchone()[0] for cur in cursors] == list(range(500))


def an_error_in_a_pipeline():
    with psycopg.connect(URL, autocommit=True) as conn:
        try:
            with conn.pipeline() as pipeline:
                before = conn.execute("select 1")
                pipeline.sync()
                conn.execute("select 1/0")
                conn.execute("select 'skipped'")
        except errors.DivisionByZero:
            pass
        else:
            raise AssertionError("1/0 has no result")
        assert before.fetchone() == (1,)
        assert conn.execute("select 'goes on'").fetchone() == ("goes on",)


def copy_in_and_out():
    rows = [(i, f"line\t{i}\n\\", None if i % 3 else i) for i in range(2000)]
    with psycopg.connect(URL) as conn:
        conn.execute("drop table if exists psycopg_copy")
        conn.execute("create table psycopg_copy (i int, t text, n int)")
        for form in ("text", "binary"):
            conn.execute("truncate psycopg_copy")
            with conn.cursor().copy(f"copy psycopg_copy from stdin (format {form})") as copy:
                copy.set_types(["int4", "text", "int4"])
                for row in rows:
                    copy.write_row(row)
            with conn.cursor().copy(f"copy psycopg_copy to stdout (format {form})") as copy:
                copy.set_types(["int4", "text", "int4"])
                assert list(copy.rows()) == rows


def a_failed_copy():
    with psycopg.connect(URL, autocommit=True) as conn:
        conn.execute("drop table if exists psycopg_failed")
        conn.execute("create table psycopg_failed (i int)")
        for break_off in (lambda copy: copy.write("not a number\n"), lambda copy: 1 / 0):
            try:
                with conn.cursor().copy("copy psycopg_failed from stdin") as copy:
                    copy.write("1\n")
                    break_off(copy)
            except (errors.InvalidTextRepresentation, ZeroDivisionError):
                pass
            else:
                raise AssertionError("the copy went through")
            assert conn.execute("select count(*) from psycopg_failed").fetchone() == (0,)


def server_side_cursors():
    with psycopg.connect(URL) as conn:
        with conn.cursor("named") as cur:
            cur.itersize = 7
            cur.execute("select generate_series(1, %s)", [100])
            assert [row[0] for row in cur] == list(range(1, 101))
        with conn.cursor("scrolling", scrollable=True) as cur:
            cur.execute("select generate_series(1, 10)")
            cur.scroll(5)
            assert cur.fetchone() == (6,)
            cur.scroll(-3)
            assert cur.fetchone() == (4,)


def a_cancel_hits_its_query_only():
    with psycopg.connect(URL, autocommit=True) as conn, psycopg.connect(URL, autocommit=True) as observer:
        def cancel_when_it_runs():
            running = "select count(*) from pg_stat_activity where state = 'active' and query like '%psycopg_sleeps%'" \
                      " and pid <> pg_backend_pid()"
            while observer.execute(running).fetchone() == (0,):
                pass
            conn.cancel_safe()

        thread = threading.Thread(target=cancel_when_it_runs, daemon=True)
        thread.start()
        try:
            conn.execute("select pg_sleep(60) as psycopg_sleeps")
        except errors.QueryCanceled:
            pass
        else:
            raise AssertionError("the query was not cancelled")
        thread.join()
        for i in range(20):
            assert conn.execute("select %s::int", [i]).fetchone() == (i,)
            assert observer.execute("select %s::int", [i]).fetchone() == (i,)


def errors_in_transactions():
    with psycopg.connect(URL) as conn:
        conn.execute("drop table if exists psycopg_unique")
        conn.execute("create table psycopg_unique (i int primary key)")
        conn.commit()
        with conn.transaction():
            conn.execute("insert into psycopg_unique values (1)")
            try:
                with conn.transaction():
                    conn.execute("insert into psycopg_unique values (1)")
            except errors.UniqueViolation as error:
                assert error.diag.constraint_name == "psycopg_unique_pkey"
            conn.execute("insert into psycopg_unique values (2)")
        try:
            conn.execute("select no_such_column")
        except errors.UndefinedColumn as error:
            assert error.diag.statement_position == "8"
        try:
            conn.execute("select 1")
        except errors.InFailedSqlTransaction:
            conn.rollback()
        assert conn.execute("select count(*) from psycopg_unique").fetchone() == (2,)


def notices():
    heard = []
    with psycopg.connect(URL, autocommit=True) as conn:
        conn.add_notice_handler(lambda diag: heard.append(diag.message_primary))
        conn.execute("do $$ begin raise notice 'hear me'; end $$")
    assert heard == ["hear me"]


def notifications():
    with psycopg.connect(URL, autocommit=True) as conn, psycopg.connect(URL, autocommit=True) as sender:
        conn.execute("listen psycopg")
        for n in range(5):
            sender.execute("select pg_notify('psycopg', %s)", [str(n)])
            [heard] = conn.notifies(timeout=20, stop_after=1)
            assert (heard.channel, heard.payload) == ("psycopg", str(n))
            assert heard.pid != conn.info.backend_pid
            assert conn.execute("select %s", [n]).fetchone() == (n,)
        conn.execute("notify psycopg, 'own'")
        [heard] = conn.notifies(timeout=20, stop_after=1)
        assert (heard.payload, heard.pid) == ("own", conn.info.backend_pid)


def many_connections():
    with psycopg.connect(URL, autocommit=True) as conn:
        conn.execute("drop table if exists psycopg_many")
        conn.execute("create table psycopg_many (client int, n int)")

    async def client(number):
        async with await psycopg.AsyncConnection.connect(URL, prepare_threshold=1) as conn:
            for n in range(TRANSACTIONS):
                async with conn.transaction():
                    await conn.execute("insert into psycopg_many values (%s, %s)", [number, n])
                    cur = await conn.execute("select count(*) from psycopg_many where client = %s", [number])
                    assert await cur.fetchone() == (n + 1,)

    async def all_clients():
        await asyncio.gather(*(client(number) for number in range(CONNECTIONS)))

    asyncio.run(all_clients())
    with psycopg.connect(URL) as conn:
        assert conn.execute("select count(*) from psycopg_many").fetchone() == (CONNECTIONS * TRANSACTIONS,)


CHECKS = [
    prepared_statements, more_statements_than_the_driver_keeps, types_in_both_formats, a_pipeline,
    an_error_in_a_pipeline, copy_in_and_out, a_failed_copy, server_side_cursors, a_cancel_hits_its_query_only,
    errors_in_transactions, notices, notifications, many_connections,
]

for check in CHECKS:
    try:
        check()
    except Exception:
        print(f"psycopg {psycopg.__version__}: {check.__name__} failed")
        traceback.print_exc()
        sys.exit(1)
print(f"psycopg {psycopg.__version__}: {len(CHECKS)} checks passed")
