//! `config.example.toml` and the tables of `docs/configuration.md`, written from the rows themselves.

use super::keys::{
    About, DATABASE, DatabaseKeys, Key, PARAMETER, POOL, Row, SERVER_TLS, Scope, TOP, USER, UserKeys,
};
use super::pgbouncer::table;
use super::plan::Plan;

const HEAD: &str = "\
# Every key of pgweir with its default. Nothing here needs to be set.
# Durations are numbers with a unit (us, ms, s, m, h), sizes too (64KiB is 65536 bytes, 64KB is 64000).
# PGWEIR_POOL__SIZE in the environment is pool.size, and so on; --listen, --pool-size and their like are flags.
# A flag counts more than the environment, the environment more than this file.
# A password or url may stand in a file of its own: password_file = \"/run/secrets/app\".

";

const DATABASES: &str = "
# A database as clients name it. \"*\" stands for all names that have no entry; an upstream URL given as argument, or
# in PGWEIR_UPSTREAM, or in DATABASE_URL where no entry has a url or a host, is the url of \"*\". An entry without url
# and host is where \"*\" is. Keys beside url refine it. All keys of [pool] may be set under pool. for one database.
#[databases.app]
";

const USERS: &str = "
# A user who may log in to pgweir, besides those whom a url names with a password. With a plain password here,
# pgweir logs in to PostgreSQL as the user with the same one.
#[users.app]
";

/// The whole of `config.example.toml`. A line that starts with `#` and no blank is a setting without a default.
pub fn example() -> String {
    let plan = Plan::default();
    let mut text = HEAD.to_owned();
    let mut section = "";
    for row in TOP {
        let (of, name) = row.about.name.rsplit_once('.').unwrap_or(("", row.about.name));
        if of != section {
            // [pool] is what most readers look for, so it comes before the rest.
            if section.is_empty() {
                text += &pool(&plan);
            }
            text += &format!("\n[{of}]\n");
            section = of;
        }
        text += &setting(row, name, &plan);
    }
    text += "\n# TLS to servers; the parameters of a url count more. Any key may be set under tls. for one database.\n";
    text += "[tls.server]\n";
    text.extend(SERVER_TLS.iter().map(|row| setting(row, row.about.name, &plan.server_tls)));
    text += DATABASES;
    for row in DATABASE {
        text += &format!("# {}\n#{} = {}\n", row.about.doc(), row.about.name, sample(row.about.name));
    }
    text += &format!("# {}\n#parameters.application_name = \"pgweir\"\n", PARAMETER.doc());
    text += "# Any key of [pool].\n#pool.size = 10\n";
    text += USERS;
    for row in USER {
        text += &format!("# {}\n#{} = {}\n", row.about.doc(), row.about.name, sample(row.about.name));
    }
    text
}

fn pool(plan: &Plan) -> String {
    let rows = POOL.iter().map(|row| setting(row, row.about.name, &plan.pool));
    format!("\n[pool]\n{}", rows.collect::<String>())
}

fn setting<T>(row: &Row<T>, name: &str, target: &T) -> String {
    match (row.show)(target) {
        Some(value) => format!("# {}\n{name} = {value}\n", row.about.doc()),
        None => format!("# {}\n#{name} = {}\n", row.about.doc(), sample(name)),
    }
}

/// A value to show where there is no default.
fn sample(name: &str) -> &'static str {
    match name {
        "url" => "\"postgres://app:secret@db.internal:5432/app\"",
        "host" => "\"db.internal\"",
        "port" => "5432",
        "max_servers" => "50",
        "allow_md5" | "allow_cleartext" => "false",
        "other_passwords" => "[\"the-one-before\"]",
        "password_command" => {
            "[\"sh\", \"-c\", \"aws rds generate-db-auth-token --hostname $PGHOST --port $PGPORT --username $PGUSER\"]"
        }
        "password_ttl" => "\"10m\"",
        "passfile" => "\"/etc/pgweir/pgpass\"",
        "require_auth" => "\"scram-sha-256\"",
        "password" => "\"secret\"",
        "mock_secret" => "\"what openssl rand -hex 32 prints\"",
        "mode" => "\"verify-full\"",
        "negotiation" => "\"direct\"",
        "channel_binding" => "\"require\"",
        "server_name" => "\"db.example.com\"",
        "cert_file" => "\"/etc/pgweir/tls.crt\"",
        "key_file" => "\"/etc/pgweir/tls.key\"",
        "ca_file" => "\"/etc/pgweir/ca.crt\"",
        "hba_file" => "\"/etc/pgweir/pg_hba.conf\"",
        "hba" => "\"hostssl all all all scram-sha-256\"",
        "ident_file" => "\"/etc/pgweir/pg_ident.conf\"",
        "ident" => "\"apps /^app-.*$ app\"",
        "crl_file" => "\"/etc/pgweir/ca.crl\"",
        _ => "\"app\"",
    }
}

/// The tables of `docs/configuration.md`: one a scope.
pub fn tables() -> String {
    let plan = Plan::default();
    let mut text = String::new();
    text += &table("The process", TOP, "", &plan, &Scope::Process);
    text += &table("Pools", POOL, "pool.", &plan.pool, &Scope::Process);
    text += &table("TLS to servers", SERVER_TLS, "tls.server.", &plan.server_tls, &Scope::Process);
    let database = Scope::Database("app".to_owned());
    text += &table("Databases: `[databases.NAME]`", DATABASE, "", &DatabaseKeys::default(), &database);
    text +=
        &line(&PARAMETER, PARAMETER.name, None, &Key::new(database.clone(), "parameters.application_name"));
    let user = Scope::User("app".to_owned());
    text += &table("Users: `[users.NAME]`", USER, "", &UserKeys::default(), &user);
    text
}

fn table<T>(title: &str, rows: &'static [Row<T>], prefix: &str, defaults: &T, scope: &Scope) -> String {
    let mut text =
        format!("\n### {title}\n\n| key | value | default | meaning | environment | PgBouncer |\n");
    text += "|---|---|---|---|---|---|\n";
    for row in rows {
        let name = format!("{prefix}{}", row.about.name);
        let key = Key::new(scope.clone(), name.as_str());
        text += &line(&row.about, &name, (row.show)(defaults), &key);
    }
    text
}

fn line(about: &About, name: &str, default: Option<String>, key: &Key) -> String {
    let code = |text: String| format!("`{text}`");
    let default = default.map_or_else(String::new, code);
    let variable = key.variable().map_or_else(String::new, code);
    let pgbouncer = match key.scope {
        Scope::Process => table::name_of(name).map_or_else(String::new, |name| code(name.to_owned())),
        Scope::Database(_) | Scope::User(_) => String::new(),
    };
    format!("| `{name}` | {} | {default} | {} | {variable} | {pgbouncer} |\n", (about.accepts)(), about.doc())
}
