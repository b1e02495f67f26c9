"""asyncpg by TLS: asked for, and from the first byte. Takes DATABASE_URL, ROOT, OTHER."""

import asyncio
import os
import ssl

import asyncpg

URL, ROOT, OTHER = (os.environ[name] for name in ("DATABASE_URL", "ROOT", "OTHER"))


def context(root, direct=False):
    made = ssl.create_default_context(cafile=root)
    if direct:
        made.set_alpn_protocols(["postgresql"])
    return made


async def works(url=URL, **how):
    conn = await asyncpg.connect(url, **how)
    try:
        for i in range(8):
            assert await conn.fetchval("select $1::int + 1", i) == i + 1
        assert len(await conn.fetchval("select repeat('x', 3000000)")) == 3_000_000
        assert len(await conn.fetch("select generate_series(1, 100000)")) == 100_000
    finally:
        await conn.close()


async def main():
    await works(ssl=context(ROOT))
    await works(ssl=context(ROOT, direct=True), direct_tls=True)
    other_name = URL.replace("localhost", "127.0.0.1")
    for how in ({"ssl": context(OTHER)}, {"ssl": context(ROOT), "url": other_name}, {"ssl": False}):
        try:
            await works(**how)
        except (ssl.SSLError, asyncpg.InvalidAuthorizationSpecificationError):
            continue
        raise AssertionError(f"{how}: it went through")


asyncio.run(main())
