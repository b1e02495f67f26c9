// node-postgres, as applications use it. Takes DATABASE_URL; ends with 0 if everything was as with PostgreSQL itself.
"use strict";

const assert = require("node:assert/strict");
const { Readable, Writable } = require("node:stream");
const { pipeline } = require("node:stream/promises");
const { Client, Pool, Query } = require("pg");
const { version } = require("pg/package.json");
const Cursor = require("pg-cursor");
const { from: copyFrom, to: copyTo } = require("pg-copy-streams");

const connectionString = process.env.DATABASE_URL;
const CONNECTIONS = 60;
const TRANSACTIONS = 10;

/** Runs `body` with `count` connections that are closed behind it. */
async function withClients(count, body) {
  const clients = Array.from({ length: count }, () => new Client({ connectionString }));
  try {
    for (const client of clients) await client.connect();
    await body(...clients);
  } finally {
    await Promise.all(clients.map((client) => client.end()));
  }
}

/** The first value of the first row. */
async function value(client, ...query) {
  const { rows } = await client.query(...query);
  return Object.values(rows[0])[0];
}

const checks = {
  async namedStatements() {
    await withClients(2, async (one, two) => {
      for (let i = 0; i < 20; i++) {
        assert.equal(await value(one, { name: "s", text: "select $1::int + 1", values: [i] }), i + 1);
        assert.equal(await value(two, { name: "s", text: "select $1::int * 2", values: [i] }), i * 2);
      }
    });
  },

  async unnamedStatements() {
    await withClients(1, async (client) => {
      for (let i = 0; i < 20; i++) assert.equal(await value(client, "select $1::int", [i]), i);
      const stamp = new Date("2024-02-29T12:30:00Z");
      const { rows } = await client.query({
        text: "select $1::timestamptz, $2::jsonb, $3::int[], $4::text, $5::bytea",
        values: [stamp, { a: [1, "b"] }, [1, null, 3], "naïve ☃", Buffer.from([0, 255])],
        rowMode: "array",
      });
      assert.deepEqual(rows, [[stamp, { a: [1, "b"] }, [1, null, 3], "naïve ☃", Buffer.from([0, 255])]]);
    });
  },

  async severalStatementsInOneQuery() {
    await withClients(1, async (client) => {
      const results = await client.query("select 1 as a; select 2 as b; select 'c' as c");
      assert.deepEqual(results.map((result) => result.rows), [[{ a: 1 }], [{ b: 2 }], [{ c: "c" }]]);
    });
  },

  async copyInAndOut() {
    await withClients(1, async (client) => {
      await client.query("drop table if exists node_copy; create table node_copy (i int, t text)");
      const lines = Array.from({ length: 2000 }, (_, i) => `${i}\tline ${i}\n`);
      await pipeline(Readable.from(lines), client.query(copyFrom("copy node_copy from stdin")));
      let out = "";
      const sink = new Writable({ write(chunk, _, done) { out += chunk; done(); } });
      await pipeline(client.query(copyTo("copy (select * from node_copy order by i) to stdout")), sink);
      assert.equal(out, lines.join(""));

      const broken = pipeline(Readable.from(["not a number\tx\n"]), client.query(copyFrom("copy node_copy from stdin")));
      await assert.rejects(broken, { code: "22P02" });
      assert.equal(await value(client, "select count(*)::int from node_copy"), 2000);
    });
  },

  async cursorsByPortal() {
    await withClients(1, async (client) => {
      await client.query("begin");
      const cursor = client.query(new Cursor("select generate_series(1, $1::int) as i", [100]));
      const seen = [];
      for (let rows = await cursor.read(7); rows.length > 0; rows = await cursor.read(7)) {
        seen.push(...rows.map(({ i }) => i));
      }
      await cursor.close();
      await client.query("commit");
      assert.deepEqual(seen, Array.from({ length: 100 }, (_, i) => i + 1));

      const early = client.query(new Cursor("select generate_series(1, 100) as i"));
      assert.equal((await early.read(3)).length, 3);
      await early.close();
      assert.equal(await value(client, "select 1"), 1);
    });
  },

  async aCancelHitsItsQueryOnly() {
    await withClients(2, async (client, observer) => {
      const sleep = new Query("select pg_sleep(60) as node_sleeps");
      let over = false;
      const ended = new Promise((resolve) => sleep.on("error", resolve).on("end", resolve)).finally(() => (over = true));
      client.query(sleep);
      const running = "select count(*)::int from pg_stat_activity where state = 'active' and query like '%node_sleeps%'"
        + " and pid <> pg_backend_pid()";
      while (!over && (await value(observer, running)) === 0);
      new Client({ connectionString }).cancel(client, sleep);
      assert.equal((await ended)?.code, "57014");
      for (let i = 0; i < 20; i++) {
        assert.equal(await value(client, "select $1::int", [i]), i);
        assert.equal(await value(observer, "select $1::int", [i]), i);
      }
    });
  },

  async errorsInTransactions() {
    await withClients(1, async (client) => {
      await client.query("drop table if exists node_unique; create table node_unique (i int primary key)");
      await client.query("begin");
      await client.query("insert into node_unique values (1)");
      await client.query("savepoint s");
      await assert.rejects(client.query("insert into node_unique values ($1)", [1]), { code: "23505", table: "node_unique" });
      await assert.rejects(client.query("select 1"), { code: "25P02" });
      await client.query("rollback to s");
      await client.query("insert into node_unique values (2)");
      await client.query("commit");
      await assert.rejects(client.query("select no_such_column"), { code: "42703", position: "8" });
      assert.equal(await value(client, "select count(*)::int from node_unique"), 2);
    });
  },

  async notices() {
    await withClients(1, async (client) => {
      const heard = [];
      client.on("notice", ({ message }) => heard.push(message));
      await client.query("do $$ begin raise notice 'hear me'; end $$");
      assert.deepEqual(heard, ["hear me"]);
    });
  },

  async notifications() {
    await withClients(2, async (client, sender) => {
      const heard = [];
      let wake = () => {};
      client.on("notification", (message) => {
        heard.push(message);
        wake();
      });
      await client.query("listen node");
      for (let i = 0; i < 5; i++) {
        await sender.query("select pg_notify('node', $1)", [String(i)]);
        while (heard.length === i) await new Promise((resolve) => (wake = resolve));
        assert.equal(await value(client, "select $1::int", [i]), i);
      }
      assert.deepEqual(heard.map(({ channel, payload }) => channel + payload), ["node0", "node1", "node2", "node3", "node4"]);
      await client.query("notify node, 'own'");
      assert.deepEqual([heard[5].payload, heard[5].processId], ["own", client.processID]);
    });
  },

  async aPoolOfManyConnections() {
    const pool = new Pool({ connectionString, max: CONNECTIONS });
    try {
      await pool.query("drop table if exists node_many; create table node_many (client int, n int)");
      await Promise.all(Array.from({ length: CONNECTIONS }, async (_, number) => {
        const client = await pool.connect();
        try {
          for (let n = 0; n < TRANSACTIONS; n++) {
            await client.query("begin");
            await client.query({ name: "insert", text: "insert into node_many values ($1, $2)", values: [number, n] });
            const count = "select count(*)::int from node_many where client = $1";
            assert.equal(await value(client, { name: "count", text: count, values: [number] }), n + 1);
            await client.query("commit");
          }
        } finally {
          client.release();
        }
      }));
      assert.equal(await value(pool, "select count(*)::int from node_many"), CONNECTIONS * TRANSACTIONS);
    } finally {
      await pool.end();
    }
  },
};

async function main() {
  for (const [name, check] of Object.entries(checks)) {
    try {
      await check();
    } catch (error) {
      console.log(`node-postgres ${version}: ${name} failed`);
      console.log(error);
      process.exit(1);
    }
  }
  console.log(`node-postgres ${version}: ${Object.keys(checks).length} checks passed`);
}

main();
