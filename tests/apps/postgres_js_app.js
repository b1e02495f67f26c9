// An application on postgres.js, which prepares each statement. Takes DATABASE_URL; prints what it sees.
"use strict";

const { Readable } = require("node:stream");
const { pipeline } = require("node:stream/promises");
const postgres = require("postgres");

const url = process.env.DATABASE_URL;

const say = (...words) => console.log(...words.map((word) => (typeof word === "string" ? word : JSON.stringify(word))));

/** The SQLSTATE and words of an error that has to come. */
async function complains(promise) {
  try {
    await promise;
  } catch (error) {
    return `${error.code}: ${error.message}`;
  }
  throw new Error("no error");
}

const story = {
  async schema(sql) {
    await sql`drop table if exists item`;
    await sql`create table item (id serial primary key, name text unique, data jsonb, tags text[])`;
  },

  async statements(sql) {
    const items = Array.from({ length: 30 }, (_, n) => ({ name: `item ${n}`, data: { n }, tags: [`${n}`] }));
    say(await sql`insert into item ${sql(items)} returning id, name`);
    for (let n = 0; n < 10; n++) say(await sql`select name, data, tags from item where name = ${`item ${n}`}`);
    say(await sql`select name from item where name in ${sql(["item 3", "item 4"])} order by id`);
    say(await complains(sql`insert into item (name) values ('item 1')`));
    say(await complains(sql`select ${0}::int / 0`));
  },

  async transactions(sql) {
    await sql.begin(async (sql) => {
      await sql`update item set data = '{}' where name = 'item 1'`;
      const failed = sql.savepoint((sql) => sql`insert into item (name) values ('item 2')`);
      say(await complains(failed));
      say(await sql`select data from item where name = 'item 1'`);
    });
    say(await complains(sql.begin((sql) => [sql`delete from item`, sql`select 1 / 0`])));
    say(await sql`select count(*)::int from item`);
    await sql.begin("isolation level serializable read only", async (sql) => {
      say(await sql`show transaction_isolation`, await sql`show transaction_read_only`);
    });
  },

  async cursorsAndCopy(sql) {
    const sums = [];
    await sql`select generate_series(1, 45) as n`.cursor(10, (rows) => sums.push(rows.reduce((sum, { n }) => sum + n, 0)));
    say(sums);
    const lines = Array.from({ length: 500 }, (_, n) => `copied ${n}\t{"n": ${n}}\n`);
    await pipeline(Readable.from(lines), await sql`copy item (name, data) from stdin`.writable());
    say(await sql`select count(*)::int, max((data->>'n')::int) from item where name like 'copied%'`);
    let out = "";
    for await (const chunk of await sql`copy (select name from item order by id limit 3) to stdout`.readable()) out += chunk;
    say(out);
  },

  async reserved(sql) {
    const [one, two] = [await sql.reserve(), await sql.reserve()];
    await one`set time zone 'America/Sao_Paulo'`;
    await one`create temp table basket as select 1 as n`;
    say(await one`show timezone`, await one`table basket`, await complains(two`table basket`));
    await one`drop table basket`;
    say(await one`select pg_try_advisory_lock(13) as got`, await two`select pg_try_advisory_lock(13) as got`);
    say(await one`select pg_advisory_unlock(13) as was_held`);
    await one`reset timezone`;
    one.release();
    two.release();
  },

  async notifications(sql) {
    const heard = [];
    let done;
    const all = new Promise((resolve) => (done = resolve));
    await sql.listen("news", (payload) => heard.push(payload) === 3 && done());
    await sql.notify("news", "one");
    await sql.begin(async (sql) => {
      await sql`select pg_notify('news', 'two')`;
      await sql`select pg_notify('news', 'three')`;
    });
    await all;
    say("heard", heard);
  },

  async pipelines(sql) {
    const rows = await Promise.all(Array.from({ length: 300 }, (_, n) => sql`select ${n}::int as n, ${`${n}`} as t`));
    say(rows.every(([row], n) => row.n === n && row.t === `${n}`));
  },
};

async function main() {
  const sql = postgres(url, { onnotice: () => {} });
  for (const [name, chapter] of Object.entries(story)) {
    say(`== ${name}`);
    await chapter(sql);
  }
  await sql.end();
}

main();
