#!/usr/bin/env bash
# pg_dump sets search_path to nothing; others in the same pool must not see that, and two dumps must be equal. What
# pg_restore makes of one is dumped once more.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "pg_dump.sh: $*" >&2; exit 1; }
ask() { psql --no-psqlrc --quiet --tuples-only --no-align --set ON_ERROR_STOP=1 "$DATABASE_URL" "$@"; }

ask <<'SQL'
set client_min_messages = warning;
drop schema if exists dumped cascade;
drop table if exists plain;
create schema dumped;
create table dumped.items (id serial primary key, name text not null, made timestamptz default '2020-01-01Z');
insert into dumped.items (name) select 'item ' || i from generate_series(1, 1000) i;
create view dumped.few as select * from dumped.items where id < 10;
create function dumped.one() returns int language sql as 'select 1';
create index on dumped.items (name);
create table plain (a int);
insert into plain values (1);
SQL

# Somebody else's queries, without a schema, as long as the dumps take.
(
    until [ -e "$work/over" ]; do ask --command 'select a from plain' >>"$work/seen" || touch "$work/failed"; done
) &

for round in 1 2; do
    pg_dump --schema=dumped --format=custom --file="$work/$round.dump" "$DATABASE_URL"
    pg_dump --schema=dumped "$DATABASE_URL" | sed '/^\\\(un\)\?restrict/d' >"$work/$round.sql"
done
cmp "$work/1.sql" "$work/2.sql" || fail 'two dumps differ'

ask --command 'drop schema dumped cascade'
pg_restore --exit-on-error --dbname="$DATABASE_URL" "$work/1.dump"
pg_dump --schema=dumped "$DATABASE_URL" | sed '/^\\\(un\)\?restrict/d' >"$work/restored.sql"
cmp "$work/1.sql" "$work/restored.sql" || fail 'what was restored differs'

touch "$work/over"
wait
[ ! -e "$work/failed" ] || fail "another client's query failed"
[ "$(sort -u "$work/seen")" = 1 ] || fail "another client saw: $(sort -u "$work/seen")"
ask --command 'select count(*) from plain' | grep -qx 1 || fail 'plain is not what it was'
