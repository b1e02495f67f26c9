#!/usr/bin/env bash
# Installs what is missing and runs all tests. Arguments go to `cargo test`.
# PGWEIR_TEST_PGBIN=DIR tests against the PostgreSQL in DIR (see scripts/postgres.sh).
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

need_rust
need_postgres
need_psql_and_pgbench
need_drivers
need_browser
need_prometheus
say "Running the tests"
exec cargo test --locked --workspace "$@"
