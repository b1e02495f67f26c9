"""asyncpg, as applications use it. Takes DATABASE_URL; ends with 0 if everything was as with PostgreSQL itself."""

import asyncio
import contextlib
import datetime
import decimal
import io
import os
import sys
import traceback
import uuid

import asyncpg

URL = os.environ["DATABASE_URL"]
CONNECTIONS = 60
TRANSACTIONS = 10


@contextlib.asynccontextmanager
async def connect(**options):
    conn = await asyncpg.connect(URL, **options)
    try:
        yield conn
    finally:
        await conn.close()


async def prepared_statements():
    async with connect() as one, connect() as two:
        statement = await one.prepare("select $1::int + 1")
        other = await two.prepare("select $1::int * 2")
        same = await two.prepare("select $1::int + 1")
        for i in range(20):
            assert await statement.fetchval(i) == i + 1
            assert await other.fetchval(i) == i * 2
            assert await same.fetchval(i) == i + 1
        assert [p.name for p in statement.get_parameters()] == ["int4"]


async def more_statements_than_the_driver_keeps():
    async with connect(statement_cache_size=5) as conn:
        for turn in range(3):
            for i in range(12):
                assert await conn.fetchval(f"select {i} + $1::int", turn) == i + turn


async def no_statement_cache():
    async with connect(statement_cache_size=0) as conn:
        for i in range(20):
            assert await conn.fetchval("select $1::int", i) == i


async def types_that_the_driver_asks_about():
    async with connect() as conn:
        await conn.execute("drop table if exists asyncpg_types; drop type if exists asyncpg_pair, asyncpg_mood")
        await conn.execute("create type asyncpg_mood as enum ('glad', 'sad')")
        await conn.execute("create type asyncpg_pair as (a int, b text)")
        await conn.execute("create table asyncpg_types (m asyncpg_mood, p asyncpg_pair, ps asyncpg_pair[])")
        await conn.execute("insert into asyncpg_types values ($1, $2, $3)", "glad", (1, "x"), [(2, "y"), None])
        row = await conn.fetchrow("select * from asyncpg_types")
        assert row["m"] == "glad" and tuple(row["p"]) == (1, "x") and tuple(row["ps"][0]) == (2, "y")
        values = [decimal.Decimal("1.50"), uuid.UUID(int=7), datetime.timedelta(hours=5), [[1, 2], [3, 4]], "☃", None]
        select = "select $1::numeric, $2::uuid, $3::interval, $4::int[], $5::text, $6::date"
        assert list(await conn.fetchrow(select, *values)) == values


async def a_batch():
    async with connect() as conn:
        await conn.execute("drop table if exists asyncpg_batch")
        await conn.execute("create table asyncpg_batch (i int primary key, t text)")
        await conn.executemany("insert into asyncpg_batch values ($1, $2)", [(i, str(i)) for i in range(1000)])
        try:
            await conn.executemany("insert into asyncpg_batch values ($1, $2)", [(1000, "new"), (1, "twice")])
        except asyncpg.UniqueViolationError:
            pass
        assert await conn.fetchval("select count(*) from asyncpg_batch") == 1000


async def copy_in_and_out():
    rows = [(i, f"line\t{i}\n\\", None if i % 3 else i) for i in range(2000)]
    async with connect() as conn:
        await conn.execute("drop table if exists asyncpg_copy")
        await conn.execute("create table asyncpg_copy (i int, t text, n int)")
        assert await conn.copy_records_to_table("asyncpg_copy", records=rows) == "COPY 2000"
        assert [tuple(row) for row in await conn.fetch("select * from asyncpg_copy order by i")] == rows
        out = io.BytesIO()
        await conn.copy_from_query("select i from asyncpg_copy where i < $1 order by i", 3, output=out)
        assert out.getvalue() == b"0\n1\n2\n"
        try:
            await conn.copy_to_table("asyncpg_copy", source=io.BytesIO(b"not a number\n"))
        except asyncpg.PostgresError:
            pass
        assert await conn.fetchval("select count(*) from asyncpg_copy") == 2000


async def cursors():
    async with connect() as conn:
        async with conn.transaction():
            seen = [row[0] async for row in conn.cursor("select generate_series(1, $1::int)", 100, prefetch=7)]
            assert seen == list(range(1, 101))
            cursor = await conn.cursor("select generate_series(1, 10)")
            await cursor.forward(3)
            assert [row[0] for row in await cursor.fetch(2)] == [4, 5]
            assert await conn.fetchval("select 'in between'") == "in between"
            assert (await cursor.fetchrow())[0] == 6


async def a_cancel_hits_its_query_only():
    async with connect() as conn, connect() as other:
        try:
            await conn.fetch("select pg_sleep(60)", timeout=0.5)
        except asyncio.TimeoutError:
            pass
        else:
            raise AssertionError("the query was not cancelled")
        for i in range(20):
            assert await conn.fetchval("select $1::int", i) == i
            assert await other.fetchval("select $1::int", i) == i


async def errors_in_transactions():
    async with connect() as conn:
        await conn.execute("drop table if exists asyncpg_unique")
        await conn.execute("create table asyncpg_unique (i int primary key)")
        async with conn.transaction():
            await conn.execute("insert into asyncpg_unique values (1)")
            try:
                async with conn.transaction():
                    await conn.execute("insert into asyncpg_unique values ($1)", 1)
            except asyncpg.UniqueViolationError as error:
                assert error.constraint_name == "asyncpg_unique_pkey"
            await conn.execute("insert into asyncpg_unique values (2)")
        transaction = conn.transaction(isolation="serializable", readonly=True)
        await transaction.start()
        try:
            await conn.execute("insert into asyncpg_unique values (3)")
        except asyncpg.ReadOnlySQLTransactionError:
            pass
        try:
            await conn.fetch("select 1")
        except asyncpg.InFailedSQLTransactionError:
            await transaction.rollback()
        assert await conn.fetchval("select count(*) from asyncpg_unique") == 2


async def a_table_that_changes():
    async with connect() as conn, connect() as other:
        await conn.execute("drop table if exists asyncpg_changes")
        await conn.execute("create table asyncpg_changes (i int)")
        await conn.execute("insert into asyncpg_changes values (1)")
        select = "select * from asyncpg_changes"
        assert tuple(await conn.fetchrow(select)) == (1,)
        assert tuple(await other.fetchrow(select)) == (1,)
        await other.execute("alter table asyncpg_changes add t text default 'x'")
        assert tuple(await conn.fetchrow(select)) == (1, "x")
        assert tuple(await other.fetchrow(select)) == (1, "x")


async def listeners_that_rest_and_work():
    heard = asyncio.Queue()

    def hear(conn, pid, channel, payload):
        heard.put_nowait((conn.get_server_pid() == pid, channel, payload))

    async with contextlib.AsyncExitStack() as stack:
        listeners = [await stack.enter_async_context(connect()) for _ in range(10)]
        sender = await stack.enter_async_context(connect())
        for conn in listeners:
            await conn.add_listener("asyncpg", hear)
        for n in range(5):
            await sender.execute("select pg_notify('asyncpg', $1)", str(n))
            for _ in listeners:
                assert await asyncio.wait_for(heard.get(), 20) == (False, "asyncpg", str(n))
            assert [await conn.fetchval("select $1::int", n) for conn in listeners] == [n] * 10
        await listeners[0].execute("notify asyncpg, 'own'")
        own = [await asyncio.wait_for(heard.get(), 20) for _ in listeners]
        assert sorted(is_own for is_own, _, _ in own) == [False] * 9 + [True]
        for conn in listeners[1:]:
            await conn.remove_listener("asyncpg", hear)
        await sender.execute("notify asyncpg, 'one'")
        assert await asyncio.wait_for(heard.get(), 20) == (False, "asyncpg", "one")
        await listeners[0].reset()
        await sender.execute("notify asyncpg, 'none'")
        assert await listeners[0].fetchval("select count(*) from pg_listening_channels()") == 0
        assert heard.empty()


async def a_pool_of_many_connections():
    async with asyncpg.create_pool(URL, min_size=CONNECTIONS, max_size=CONNECTIONS) as pool:
        await pool.execute("drop table if exists asyncpg_many")
        await pool.execute("create table asyncpg_many (client int, n int)")

        async def client(number):
            for n in range(TRANSACTIONS):
                async with pool.acquire() as conn, conn.transaction():
                    await conn.execute("insert into asyncpg_many values ($1, $2)", number, n)
                    count = await conn.fetchval("select count(*) from asyncpg_many where client = $1", number)
                    assert count == n + 1

        await asyncio.gather(*(client(number) for number in range(CONNECTIONS)))
        assert await pool.fetchval("select count(*) from asyncpg_many") == CONNECTIONS * TRANSACTIONS


CHECKS = [
    prepared_statements, more_statements_than_the_driver_keeps, no_statement_cache, types_that_the_driver_asks_about,
    a_batch, copy_in_and_out, cursors, a_cancel_hits_its_query_only, errors_in_transactions, a_table_that_changes,
    listeners_that_rest_and_work, a_pool_of_many_connections,
]

for check in CHECKS:
    try:
        asyncio.run(check())
    except Exception:
        print(f"asyncpg {asyncpg.__version__}: {check.__name__} failed")
        traceback.print_exc()
        sys.exit(1)
print(f"asyncpg {asyncpg.__version__}: {len(CHECKS)} checks passed")
