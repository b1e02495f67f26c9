#!/usr/bin/env bash
# psql, as people use it: runs psql.sql and compares what it prints with psql.expected, then presses Ctrl-C.
# Takes DATABASE_URL; ends with 0 if everything was as with PostgreSQL itself.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

psql=(psql --no-psqlrc --quiet --tuples-only --no-align --dbname "$DATABASE_URL")
fail() { printf 'psql: %s\n' "$*"; exit 1; }

# Locations in the script ("psql:psql.sql:12:") are no matter.
"${psql[@]}" --file psql.sql 2>&1 | sed 's/^psql:psql\.sql:[0-9]*: //' | diff psql.expected - ||
    fail "psql.sql printed something else (< expected, > seen)"

# Ctrl-C cancels the query that runs; psql's exit is then a failure's.
printed=$(mktemp)
trap 'rm -f "$printed"' EXIT
"${psql[@]}" --command "select pg_sleep(60) as psql_sleeps" >"$printed" 2>&1 &
sleeper=$!
running="select count(*) from pg_stat_activity
    where state = 'active' and query like '%psql_sleeps%' and pid <> pg_backend_pid()"
while [ "$("${psql[@]}" --command "$running")" = 0 ]; do
    kill -0 $sleeper 2>/dev/null || fail "it has ended before Ctrl-C: $(cat "$printed")"
done
kill -INT $sleeper
if wait $sleeper; then fail "Ctrl-C had no effect"; fi
grep -q 'ERROR:  canceling statement due to user request' "$printed" || fail "after Ctrl-C: $(cat "$printed")"
[ "$("${psql[@]}" --command "select 'goes on'")" = 'goes on' ] || fail "nothing goes on after Ctrl-C"
echo "psql: all checks passed"
