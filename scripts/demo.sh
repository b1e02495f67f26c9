#!/usr/bin/env bash
# Installs what is missing, builds pgweir and runs its demo. Arguments go to `pgweir demo`.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

need_rust
need_postgres
say "Building pgweir"
cargo build --release --locked --bin pgweir
exec target/release/pgweir demo "$@"
