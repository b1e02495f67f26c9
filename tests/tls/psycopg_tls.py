"""psycopg, and so libpq, by TLS as strict as it can be: verified, bound, from the first byte. Takes DATABASE_URL, ROOT, OTHER."""

import asyncio
import os

import psycopg

URL, ROOT, OTHER = (os.environ[name] for name in ("DATABASE_URL", "ROOT", "OTHER"))
STRICT = {"sslmode": "verify-full", "sslrootcert": ROOT, "channel_binding": "require"}
ROWS = 100_000


def blocking(**more):
    with psycopg.connect(URL, **STRICT, **more) as conn:
        assert conn.pgconn.ssl_in_use
        for i in range(8):
            assert conn.execute("select %s::int + 1", [i]).fetchone() == (i + 1,)
        assert len(conn.execute("select repeat('x', 3000000)").fetchone()[0]) == 3_000_000
        with conn.pipeline():
            cursors = [conn.execute("select %s::text", ["y" * 20_000]) for _ in range(100)]
        assert all(len(cursor.fetchone()[0]) == 20_000 for cursor in cursors)


async def by_the_asynchronous_interface(**more):
    """It waits for the socket, where nothing comes any more if libpq has left decrypted bytes behind."""
    async with await psycopg.AsyncConnection.connect(URL, **STRICT, **more) as conn:
        for width in (1, 100, 9_000):
            count = ROWS // width
            rows = await conn.execute("select repeat('z', %s) from generate_series(1, %s)", [width, count])
            assert len(await rows.fetchall()) == count
        cur = conn.cursor()
        assert sum([1 async for _ in cur.stream("select generate_series(1, %s)", [ROWS])]) == ROWS


def refused():
    for wrong in ({"sslrootcert": OTHER}, {"host": "127.0.0.1"}, {"sslmode": "disable"}):
        try:
            psycopg.connect(URL, **{**STRICT, **wrong})
        except psycopg.OperationalError:
            continue
        raise AssertionError(f"{wrong}: it went through")


ways = [{}]
if psycopg.pq.version() >= 170000:
    ways.append({"sslnegotiation": "direct"})
if psycopg.pq.version() >= 180000:
    ways.append({"sslnegotiation": "direct", "min_protocol_version": "3.2", "max_protocol_version": "3.2"})
for way in ways:
    blocking(**way)
    asyncio.run(by_the_asynchronous_interface(**way))
refused()
