// An application on node-postgres, with its default settings. Takes DATABASE_URL; prints what it sees.
"use strict";

const { once } = require("node:events");
const { Client, Pool } = require("pg");

process.noDeprecation = true; // a query in the handler of "connect", as so many applications have it

const connectionString = process.env.DATABASE_URL;

const say = (...words) => console.log(...words.map((word) => (typeof word === "string" ? word : JSON.stringify(word))));

/** The first value of the first row. */
async function value(client, ...query) {
  const { rows } = await client.query(...query);
  return Object.values(rows[0])[0];
}

/** The SQLSTATE and words of an error that has to come. */
async function complains(promise) {
  try {
    await promise;
  } catch (error) {
    return `${error.code}: ${error.message}`;
  }
  throw new Error("no error");
}

/** Runs `body` with clients of the pool's. */
async function withClients(pool, count, body) {
  const clients = [];
  for (let i = 0; i < count; i++) clients.push(await pool.connect());
  try {
    await body(...clients);
  } finally {
    for (const client of clients) client.release();
  }
}

const story = {
  async schema(pool) {
    await pool.query("drop table if exists item; create table item (id serial primary key, name text unique, data jsonb, tags text[])");
  },

  async settingsOfAConnection(pool) {
    await withClients(pool, 2, async (one, two) => {
      say(await value(one, "show timezone"), await value(one, "select current_setting('app.tenant')"), await value(one, "show statement_timeout"));
      await one.query("set work_mem = '5MB'");
      say(await value(one, "show work_mem"), await value(two, "show work_mem"));
      await one.query("reset work_mem; reset statement_timeout");
      say(await value(one, "show work_mem"), await value(one, "show statement_timeout"), await value(one, "show application_name"));
    });
  },

  async namedStatements(pool) {
    const insert = { name: "insert item", text: "insert into item (name, data, tags) values ($1, $2, $3) returning id, data, tags" };
    for (let n = 0; n < 20; n++) {
      const { rows } = await pool.query({ ...insert, values: [`item ${n}`, { n }, [`${n}`, null]] });
      say(rows);
    }
    say(await complains(pool.query({ ...insert, values: ["item 1", null, null] })));
    say(await complains(pool.query({ name: "wrong", text: "select no_such_column from item" })));
    await withClients(pool, 2, async (one, two) => {
      for (let n = 0; n < 5; n++) {
        say(await value(one, { name: "same", text: "select $1::int + 1", values: [n] }));
        say(await value(two, { name: "same", text: "select $1::text || '!'", values: [n] }));
      }
    });
  },

  async transactions(pool) {
    await withClients(pool, 2, async (one, two) => {
      await one.query("begin");
      await one.query("update item set data = '{}' where name = 'item 1'");
      await one.query("savepoint s");
      say(await complains(one.query("select 1 / $1::int", [0])));
      say(await complains(one.query("select 1")));
      await one.query("rollback to s");
      say(await value(two, "select data from item where name = 'item 1'"));
      await one.query("commit");
      say(await value(two, "select data from item where name = 'item 1'"));
    });
  },

  async sessions(pool) {
    await withClients(pool, 2, async (one, two) => {
      await one.query("create temp table basket (n int)");
      await two.query("create temp table basket (t text)");
      await one.query("insert into basket values ($1)", [1]);
      await two.query("insert into basket values ($1)", ["two"]);
      say((await one.query("table basket")).rows, (await two.query("table basket")).rows);
      await one.query("drop table basket");
      await two.query("drop table basket");
      say(await value(one, "select pg_try_advisory_lock(9)"), await value(two, "select pg_try_advisory_lock(9)"));
      say(await value(one, "select pg_advisory_unlock(9)"), await value(two, "select pg_try_advisory_xact_lock(9)"));
      await one.query("set role app_owner");
      say(await value(one, "select current_user"), await value(two, "select current_user"));
      await one.query("reset role");
    });
  },

  async notifications(pool) {
    const listener = new Client({ connectionString });
    await listener.connect();
    await listener.query('listen news; listen "Other News"');
    say(await value(listener, "select 'listens'"));
    for (const [channel, payload] of [["news", "one"], ["Other News", "two"], ["news", "three"]]) {
      const heard = once(listener, "notification");
      await pool.query("select pg_notify($1, $2)", [channel, payload]);
      const [{ channel: where, payload: what }] = await heard;
      say("heard", where, what);
    }
    await listener.end();
  },

  async manyClients(pool) {
    await Promise.all(Array.from({ length: 50 }, async (_, number) => {
      for (let n = 0; n < 5; n++) {
        await pool.query({ name: "count", text: "update item set data = jsonb_set(data, '{n}', to_jsonb(coalesce((data->>'n')::int, 0) + 1)) where name = $1", values: ["item 1"] });
        if ((await value(pool, "select $1::int", [number])) !== number) throw new Error("another's answer");
      }
    }));
    say(await value(pool, "select data from item where name = 'item 1'"));
  },
};

async function main() {
  const pool = new Pool({ connectionString, statement_timeout: 30_000, application_name: "a shop" });
  pool.on("connect", (client) => client.query("set time zone 'America/Sao_Paulo'; set app.tenant = 'blue'"));
  for (const [name, chapter] of Object.entries(story)) {
    say(`== ${name}`);
    await chapter(pool);
  }
  await pool.end();
}

main();
