// node-postgres by TLS: verified, bound, asked for and from the first byte. Takes DATABASE_URL, ROOT, OTHER.

const assert = require('node:assert')
const fs = require('node:fs')
const { Client } = require('pg')

const { DATABASE_URL, ROOT, OTHER } = process.env
const url = new URL(DATABASE_URL)

function client(root, more) {
  return new Client({
    host: url.hostname,
    port: Number(url.port),
    user: url.username,
    password: url.password,
    database: url.pathname.slice(1),
    ssl: root && { ca: fs.readFileSync(root) },
    enableChannelBinding: true,
    ...more,
  })
}

async function works(root, more) {
  const conn = client(root, more)
  await conn.connect()
  try {
    for (let i = 0; i < 8; i++) {
      const { rows } = await conn.query({ name: 'plus', text: 'select $1::int + 1 as n', values: [i] })
      assert.strictEqual(rows[0].n, i + 1)
    }
    const { rows } = await conn.query("select repeat('x', 3000000) as x")
    assert.strictEqual(rows[0].x.length, 3000000)
    assert.strictEqual((await conn.query('select generate_series(1, 100000)')).rowCount, 100000)
  } finally {
    await conn.end()
  }
}

async function main() {
  await works(ROOT, {})
  await works(ROOT, { sslnegotiation: 'direct' })
  for (const [root, more] of [[OTHER, {}], [ROOT, { host: '127.0.0.1' }], [undefined, {}]]) {
    await assert.rejects(works(root, more), `${root}: it went through`)
  }
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
