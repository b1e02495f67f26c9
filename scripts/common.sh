# Functions that the scripts share: sourced, never run. Each need_… installs a thing if it is missing, on Debian 12,
# Ubuntu and their like; elsewhere it says what to install.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
repository=$PWD

say() { printf '\n== %s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# Downloads that outlive a build. Root's is not in its home: PostgreSQL runs as another user and must get in.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/pgweir
if [ "$(id -u)" = 0 ]; then cache=/var/cache/pgweir; fi

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

apt_install() {
    have apt-get || die "please install: $*"
    say "Installing $*"
    if [ -z "${apt_updated:-}" ]; then as_root apt-get update -qq >&2; apt_updated=yes; fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}

# Cargo.toml says which Rust; a distribution's own is usually older.
need_rust() {
    have cc && have make || apt_install build-essential
    if [ -f "$HOME/.cargo/env" ]; then . "$HOME/.cargo/env"; fi
    local wanted found
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    found=$(cargo --version 2>/dev/null | cut -d' ' -f2 || true)
    if [ "$(printf '%s\n' "$wanted" "${found:-0}" | sort -V | head -n1)" = "$wanted" ]; then return; fi
    say "Installing Rust ($wanted or later is needed; found: ${found:-none})"
    if have rustup; then rustup update stable >&2; return; fi
    have curl || apt_install curl ca-certificates
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal >&2
    . "$HOME/.cargo/env"
}

need_postgres() {
    if [ -n "${PGWEIR_TEST_PGBIN:-}" ]; then
        [ -x "$PGWEIR_TEST_PGBIN/initdb" ] || die "PGWEIR_TEST_PGBIN=$PGWEIR_TEST_PGBIN: no initdb there"
    else
        have initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || install_postgres
    fi
}

# They need not be of the server's version.
need_psql_and_pgbench() {
    { have psql && have pgbench; } || install_postgres
}

install_postgres() {
    # The package would start a server on port 5432, which nobody has asked for.
    apt_install postgresql-common
    as_root sed -i 's/^#\?create_main_cluster.*/create_main_cluster = false/' \
        /etc/postgresql-common/createcluster.conf
    apt_install postgresql
}

# What tests/drivers.rs and tests/apps.rs run: installed in the cache, anew when their lists change; found by the tests
# behind the links target/drivers and target/apps.
need_drivers() {
    need_python_packages tests/drivers/requirements.txt "$cache/drivers/python"
    need_python_packages tests/apps/requirements.txt "$cache/apps/python"
    need_node_packages tests/drivers/package.json "$cache/drivers/node"
    need_node_packages tests/apps/package.json "$cache/apps/node"
    need_pgjdbc
    mkdir -p target
    ln -sfn "$cache/drivers" target/drivers
    ln -sfn "$cache/apps" target/apps
}

# What tests/page.rs runs: a browser, with a font to draw with, and a judge of pages. As above.
need_browser() {
    have chromium || have chromium-browser || have google-chrome || apt_install chromium fonts-dejavu-core
    need_node_packages tests/page/package.json "$cache/page/node"
    mkdir -p target
    ln -sfn "$cache/page" target/page
}

# What tests/deploy.rs runs. The package is unpacked, not installed: it would start a server that nobody has asked for.
need_prometheus() {
    if have prometheus && have promtool; then return; fi
    if [ ! -x "$cache/prometheus/usr/bin/promtool" ]; then
        have apt-get || die "please install: prometheus"
        say "Unpacking prometheus into $cache/prometheus"
        unpack prometheus "$cache/prometheus"
    fi
    mkdir -p target
    ln -sfn "$cache/prometheus" target/prometheus
}

# A JDK and the distribution's pgjdbc, which is one file: unpacked, not installed.
need_pgjdbc() {
    { have java && have javac; } || apt_install default-jdk-headless
    if [ -f "$cache/drivers/pgjdbc/usr/share/java/postgresql.jar" ]; then return; fi
    have apt-get || die "please put pgjdbc into $cache/drivers/pgjdbc/usr/share/java/postgresql.jar"
    say "Unpacking pgjdbc into $cache/drivers/pgjdbc"
    unpack libpostgresql-jdbc-java "$cache/drivers/pgjdbc"
}

# unpack PACKAGE FOLDER: a package's files, without installing it.
unpack() {
    as_root apt-get update -qq >&2
    mkdir -p "$2"
    (cd "$2" && apt-get download -qq "$1" >&2 && dpkg-deb -x "$1"_*.deb . && rm "$1"_*.deb)
}

# need_python_packages REQUIREMENTS FOLDER: an environment with them.
need_python_packages() {
    if cmp -s "$1" "$2/requirements.txt"; then return; fi
    { have python3 && python3 -c 'import ensurepip' 2>/dev/null; } || apt_install python3 python3-venv
    say "Installing the Python packages of $1 into $2"
    python3 -m venv --clear "$2"
    "$2/bin/pip" install -q --disable-pip-version-check -r "$1" >&2
    cp "$1" "$2/"
}

# need_node_packages PACKAGE_JSON FOLDER: node_modules with them.
need_node_packages() {
    if cmp -s "$1" "$2/installed.json"; then return; fi
    have npm || apt_install nodejs npm
    say "Installing the Node.js packages of $1 into $2"
    mkdir -p "$2"
    cp "$1" "$2/package.json"
    npm install --prefix "$2" --silent --no-audit --no-fund --no-package-lock >&2
    cp "$1" "$2/installed.json"
}
