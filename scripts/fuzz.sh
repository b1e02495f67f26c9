#!/usr/bin/env bash
# Runs every fuzz target, or those that are named, for RUNS executions each (default 1 000 000). What is found is kept in
# fuzz/artifacts; the corpus in the repository stays as it is.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

need_rust
rustup toolchain list | grep -q '^nightly' || rustup toolchain install nightly --profile minimal >&2
have cargo-fuzz || cargo install cargo-fuzz --locked
targets=${*:-$(cargo +nightly fuzz list)}
found=$(mktemp -d)
trap 'rm -r "$found"' EXIT
for target in $targets; do
    say "$target"
    mkdir -p "$found/$target"
    # Without sanitizers: there is no unsafe code of ours that they could look at.
    cargo +nightly fuzz run -s none "$target" "$found/$target" "fuzz/corpus/$target" -- \
        -runs="${RUNS:-1000000}" -max_len="${MAX_LEN:-4096}" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1
done
