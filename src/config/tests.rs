//! Sources, precedence, diagnostics.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use crate::auth::secret::Secret;
use crate::auth::users::Method;
use crate::pool::settings::{Mode, PoolSettings};
use crate::server::upstream::Host;

use super::keys::{DATABASE, Key, POOL, Scope, TOP, USER};
use super::layer::Setting;
use super::measure::{Bytes, Span};
use super::origin::Origin;
use super::source::environment::wildcard;
use super::value::{Count, Kind, OrOff, Raw, Wrong, quote};
use super::*;

const URL: &str = "postgres://app:secret@db:5433/shop";

/// What is loaded, from texts.
#[derive(Default)]
struct Sources {
    directory: Option<tempfile::TempDir>,
    inputs: Inputs,
}

impl Sources {
    fn toml(self, text: &str) -> Self {
        self.file("pgweir.toml", text)
    }

    /// Writes a file; the configuration is the one written first.
    fn file(mut self, name: &str, text: &str) -> Self {
        let directory = self.directory.get_or_insert_with(|| tempfile::tempdir().unwrap());
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        self.inputs.file.get_or_insert(path);
        self
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.inputs.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    fn flag(mut self, name: &'static str, key: &str, value: &str) -> Self {
        let key = Key::new(Scope::Process, key);
        self.inputs.flags.push(Setting {
            key,
            raw: Raw::Untyped(value.to_owned()),
            origin: Origin::Flag(name),
        });
        self
    }

    fn url(mut self, url: &str) -> Self {
        let raw = Raw::Untyped(url.to_owned());
        self.inputs.flags.push(Setting { key: wildcard("url"), raw, origin: Origin::Argument });
        self
    }

    fn plan(self) -> Plan {
        self.loaded().plan
    }

    fn loaded(self) -> Loaded {
        load(self.inputs).unwrap_or_else(|report| panic!("{report}"))
    }

    /// The report, the directory taken out of its paths.
    fn report(self) -> String {
        let Err(report) = load(self.inputs) else { panic!("there should be problems") };
        let directory = self.directory.map_or(String::new(), |d| format!("{}/", d.path().display()));
        report.to_string().replace(&directory, "")
    }
}

fn sources() -> Sources {
    Sources::default()
}

fn tcp(name: &str, port: u16) -> Host {
    Host::Tcp { name: name.to_owned(), port }
}

#[test]
fn with_only_a_url_every_name_goes_there() {
    let plan = sources().url(URL).plan();
    let database = plan.databases.find("anything").unwrap();
    assert_eq!(database.name, "*");
    assert_eq!(database.upstream.hosts, [tcp("db", 5433)]);
    assert_eq!(database.upstream.database, None);
    assert_eq!((&database.upstream.user, &database.upstream.password), (&None, &None));
    assert_eq!(database.probe.as_deref(), Some("shop"));
    assert_eq!(plan.auth.method, Method::ScramSha256);
    assert_eq!(plan.users.secrets, [("app".to_owned(), Secret::new("secret"))].into());
    assert_eq!(plan.pool, PoolSettings::default());
    assert_eq!(plan.warnings, [""; 0]);
}

#[test]
fn a_flag_beats_the_environment_beats_the_file_beats_the_default() {
    let size = |sources: Sources| {
        let loaded = sources.url(URL).loaded();
        let origin = loaded.draft.origin(&Key::new(Scope::Process, "pool.size"));
        (
            loaded.plan.databases.find("x").unwrap().pool.size,
            origin.to_string().rsplit('/').next().unwrap().to_owned(),
        )
    };
    let file = || sources().toml("[pool]\nsize = 1");
    assert_eq!(size(sources()), (20, "default".to_owned()));
    assert_eq!(size(file()), (1, "pgweir.toml:2".to_owned()));
    assert_eq!(size(file().env("PGWEIR_POOL__SIZE", "2")), (2, "environment PGWEIR_POOL__SIZE".to_owned()));
    let all = file().env("PGWEIR_POOL__SIZE", "2").flag("--pool-size", "pool.size", "3");
    assert_eq!(size(all), (3, "flag --pool-size".to_owned()));
}

#[test]
fn the_upstream_is_the_argument_else_our_variable_else_the_usual_one() {
    let host = |sources: Sources| sources.plan().databases.find("x").unwrap().upstream.hosts[0].clone();
    let usual = || sources().env("DATABASE_URL", "postgres://u:p@usual/x");
    let ours = || usual().env("PGWEIR_UPSTREAM", "postgres://u:p@ours/x");
    assert_eq!(host(usual()), tcp("usual", 5432));
    assert_eq!(host(ours()), tcp("ours", 5432));
    assert_eq!(host(ours().url("postgres://u:p@argument/x")), tcp("argument", 5432));
    // Where a file says where databases are, an application's DATABASE_URL adds nothing.
    let plan = usual().toml("[databases.app]\nurl = 'postgres://u:p@file/x'").plan();
    assert!(plan.databases.find("app").is_some() && plan.databases.find("other").is_none());
}

#[test]
fn keys_beside_a_url_refine_it_and_a_stronger_url_replaces_both() {
    let file = || {
        sources().toml(
            "[databases.'*']\nport = 1\nuser = 'forced'\npassword = 'p'\nurl = 'postgres://u:q@file:9/x?options=a'\n\
             parameters.options = 'b'\nparameters.search_path = 's'",
        )
    };
    let upstream = file().plan().databases.wildcard.unwrap().upstream;
    assert_eq!(upstream.hosts, [tcp("file", 1)]);
    assert_eq!((upstream.user.as_deref(), upstream.password), (Some("forced"), Some(Secret::new("p"))));
    let parameter = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(upstream.parameters, [parameter("options", "b"), parameter("search_path", "s")]);

    let upstream = file().url("postgres://v:w@argument/x").plan().databases.wildcard.unwrap().upstream;
    assert_eq!((upstream.hosts, upstream.user), (vec![tcp("argument", 5432)], None));
    assert!(upstream.parameters.is_empty());
}

#[test]
fn a_named_database_has_its_own_pool_and_place() {
    let plan = sources()
        .toml(
            "pool.size = 7\nusers.bob.password = 'b'\n\
             [databases.app]\nhost = 'a, b,/run/pg'\ndbname = 'real'\npool.mode = 'session'\nmax_servers = 9\n\
             allow_md5 = true",
        )
        .plan();
    let app = plan.databases.find("app").unwrap();
    let socket = Host::Unix { directory: "/run/pg".into(), port: 5432 };
    assert_eq!(app.upstream.hosts, [tcp("a", 5432), tcp("b", 5432), socket]);
    assert_eq!(app.upstream.database.as_deref(), Some("real"));
    assert_eq!((app.pool.mode, app.pool.size, app.max_servers), (Mode::Session, 7, Some(9)));
    assert!(app.upstream.allowed.md5 && !app.upstream.allowed.cleartext);
    assert!(plan.databases.find("other").is_none());
}

#[test]
fn a_database_without_a_place_is_where_the_wildcard_is() {
    let plan = sources().toml("[databases.reports]\npool.size = 3").url(URL).plan();
    let reports = plan.databases.find("reports").unwrap();
    assert_eq!(reports.upstream.hosts, [tcp("db", 5433)]);
    assert_eq!((reports.upstream.database.as_deref(), reports.probe.as_deref()), (None, Some("reports")));
    assert_eq!((reports.pool.size, plan.databases.find("x").unwrap().pool.size), (3, 20));
}

#[test]
fn users_are_looked_up_as_who_may_log_in_there() {
    let lookup = |toml: &str, name: &str| {
        let plan = sources().toml(toml).plan();
        let lookup = plan.databases.find(name).unwrap().lookup.clone();
        lookup.map(|it| {
            let command = it.password_command.map(|command| format!("`{}`", command.words.join(" ")));
            let passwords = it.passwords.iter().map(|password| password.expose().to_owned());
            let ways = command.into_iter().chain(passwords).collect::<Vec<_>>().join(",");
            format!("{}:{ways} {} {}", it.user, it.dbname, it.query.unwrap_or_else(|| "ours".into()))
        })
    };
    let url = format!("databases.'*'.url = '{URL}'\n");
    let asked = |more: &str, name: &str| lookup(&format!("{url}{more}"), name);
    assert_eq!(asked("", "any").as_deref(), Some("app:secret shop ours"));
    assert_eq!(asked("auth.query = 'off'", "any"), None);
    assert_eq!(asked("auth.user = 'u'", "any").as_deref(), Some("u: shop ours"));
    assert_eq!(asked("auth.user = 'u'\n[users.u]\npassword = 'x'", "any").as_deref(), Some("u:x shop ours"));
    let verifier = "SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0c2FsdA==$JJk8yJkJJJJJJJJJJJJJJJJJJJJJJJJJJJJJJJJJJJI=:JJk8yJkJJJJJJJJJJJJJJJJJJJJJJJJJJJJJJJJJJJI=";
    let listed = format!("auth.user = 'u'\n[users.u]\npassword = '{verifier}'");
    assert_eq!(asked(&listed, "any").as_deref(), Some("u: shop ours"));
    assert_eq!(asked("auth.dbname = 'd'\nauth.query = 'q'", "any").as_deref(), Some("app:secret d q"));
    assert_eq!(
        asked("databases.'*'.user = 'f'\ndatabases.'*'.password = 'p'", "any").as_deref(),
        Some("f:p shop ours")
    );
    assert_eq!(asked("[databases.own]\nauth.query = 'q'", "own").as_deref(), Some("app:secret own q"));
    assert_eq!(
        asked("auth.query = 'off'\n[databases.own]\nauth.query = 'q'", "own").as_deref(),
        Some("app:secret own q")
    );
    let host = "auth.user = 'u'\nauth.password = 'p'\n[databases.'*']\nhost = 'db'";
    assert_eq!(lookup(host, "any").as_deref(), Some("u:p postgres ours"));
}

#[test]
fn users_are_looked_up_with_the_passwords_that_servers_are_given() {
    let ways = |keys: &str, more: &str| {
        let plan =
            sources().toml(&format!("[databases.d]\n{keys}\n[users.x]\npassword = 'x'\n{more}")).plan();
        plan.databases.named["d"].lookup.clone().map(|it| {
            let command = it.password_command.map(|command| command.words.join(" "));
            let passwords = it.passwords.iter().map(|password| password.expose().to_owned());
            command.into_iter().chain(passwords).collect::<Vec<_>>().join(", ")
        })
    };
    let two = "[users.u]\npassword = 'new'\nother_passwords = ['old']";
    let verifier = "[users.u]\npassword = 'SCRAM-SHA-256$4096:c2FsdA==$c2FsdA==:c2FsdA=='";
    for (keys, more, expected) in [
        ("url = 'postgres://u:p@h/d'", "", Some("p")),
        ("url = 'postgres://u:p@h/d'", two, Some("new, old")),
        ("url = 'postgres://u:p@h/d'", verifier, Some("p")),
        ("url = 'postgres://u@h/d'", two, Some("new, old")),
        // Nothing to log in with.
        ("url = 'postgres://u@h/d'", "", None),
        ("url = 'postgres://u@h/d'\npassfile = '/p'", "", Some("")),
        ("url = 'postgres://u@h/d'\npassword_command = ['c']", "", Some("c")),
        ("url = 'postgres://u:p@h/d'\npassword_command = ['c']", "", Some("c, p")),
        ("host = 'h'\nuser = 'u'", two, Some("new, old")),
        ("host = 'h'\nuser = 'u'\npassword = 'p'", two, Some("p")),
        ("host = 'h'\nuser = 'u'\npassword_command = ['c']", "", Some("c")),
        ("host = 'h'\nuser = 'f'\npassword = 'p'\nauth.user = 'u'", two, Some("new, old")),
        ("host = 'h'\nuser = 'f'\npassword = 'p'\nauth.user = 'u'\nauth.password = 'q'", two, Some("q")),
        ("host = 'h'\nuser = 'f'\npassword_command = ['c']\nauth.user = 'u'", "", Some("c")),
        (
            "host = 'h'\nuser = 'f'\npassword_command = ['c']\nauth.user = 'u'\nauth.password = 'q'",
            "",
            Some("q"),
        ),
        ("host = 'h'", "", None),
    ] {
        assert_eq!(ways(keys, more).as_deref(), expected, "{keys}\n{more}");
    }
}

#[test]
fn a_mock_secret_is_hard_to_guess() {
    let toml = format!("databases.'*'.url = '{URL}'\nauth.mock_secret = ");
    let secret = |text: &str| sources().toml(&format!("{toml}'{text}'"));
    assert!(
        secret("0123456789abcde").report().starts_with("error: auth.mock_secret: it takes at least 16 bytes")
    );
    assert_eq!(secret("0123456789abcdef").plan().auth.mock_secret, Some(Secret::new("0123456789abcdef")));
}

#[test]
fn the_urls_connect_timeout_counts_unless_the_database_has_its_own() {
    let timeout = |keys: &str| {
        let url = "url = 'postgres://u:p@h/x?connect_timeout=3'";
        sources().toml(&format!("[databases.app]\n{url}\n{keys}")).plan().databases.named["app"]
            .pool
            .connect_timeout
    };
    assert_eq!(timeout(""), Duration::from_secs(3));
    assert_eq!(timeout("pool.connect_timeout = '9s'"), Duration::from_secs(9));
}

#[test]
fn secrets_stand_in_files_of_their_own() {
    let plan = sources()
        .toml("users.bob.password_file = 'bob'")
        .file("bob", "b\n")
        .env("PGWEIR_UPSTREAM", "postgres://app@db/x")
        .plan();
    assert_eq!(plan.users.secrets["bob"], Secret::new("b"));

    let upstream = sources().file("url", "postgres://u:p@file/x\n");
    let path = upstream.inputs.file.clone().unwrap();
    let inputs = Inputs { file: None, ..Inputs::default() };
    let plan = Sources { inputs, ..upstream }.env("PGWEIR_UPSTREAM_FILE", path.to_str().unwrap()).plan();
    assert_eq!(plan.databases.find("x").unwrap().upstream.hosts, [tcp("file", 5432)]);

    let report = sources()
        .toml("[users.bob]\npassword = 'a'\npassword_file = 'bob'")
        .file("bob", "b")
        .url(URL)
        .report();
    assert!(report.contains("users.bob.password: given twice, by itself and by a file"), "{report}");
    let report = sources().env("PGWEIR_USERS__BOB__PASSWORD_FILE", "/nowhere").url(URL).report();
    assert!(report.starts_with("error: PGWEIR_USERS__BOB__PASSWORD_FILE: can't read /nowhere: "), "{report}");
}

#[test]
fn a_file_of_passwords_that_everybody_can_read_is_noted() {
    let noted = |toml: &str, mode| {
        let sources = sources().toml(toml).file("bob", "b").url(URL);
        let file = sources.inputs.file.clone().unwrap();
        std::fs::set_permissions(file.with_file_name("pgweir.toml"), Permissions::from_mode(mode)).unwrap();
        sources.plan().warnings.iter().any(|warning| warning.contains("pgweir.toml holds passwords"))
    };
    for toml in [
        "users.bob.password = 'b'",
        "databases.a.url = 'postgres://u:p@h/a'",
        "auth.user = 'a'\nauth.password = 'b'",
    ] {
        assert!(noted(toml, 0o644) && !noted(toml, 0o640), "{toml}");
    }
    for toml in ["users.bob.password_file = 'bob'", "databases.a.url = 'postgres://u@h/a'", "pool.size = 3"] {
        assert!(!noted(toml, 0o644), "{toml}");
    }
}

#[test]
fn every_key_has_a_variable_that_gives_it() {
    let scopes = [Scope::Process, Scope::Database("my_app1".to_owned()), Scope::User("bob".to_owned())];
    let names = [
        TOP.iter()
            .map(|row| row.about.name.to_owned())
            .chain(POOL.iter().map(|r| format!("pool.{}", r.about.name)))
            .collect(),
        DATABASE.iter().map(|row| row.about.name.to_owned()).chain(["pool.size".to_owned()]).collect(),
        USER.iter().map(|row| row.about.name.to_owned()).collect::<Vec<_>>(),
    ];
    for (scope, names) in scopes.into_iter().zip(names) {
        for name in names {
            let key = Key::new(scope.clone(), name);
            let environment = [(key.variable().unwrap(), "1".to_owned())].into();
            let (settings, problems) = environment::read(&environment);
            assert!(problems.is_empty(), "{problems:?}");
            assert!(settings[0].key == key, "{:?}", settings[0].key);
        }
    }
    for bent in ["My App", "App", "a__b", "a-b", "é", "a_"] {
        assert_eq!(Key::new(Scope::User(bent.to_owned()), "password").variable(), None);
    }
}

#[test]
fn an_unknown_variable_is_an_error_but_what_kubernetes_adds_is_not() {
    let report = sources()
        .url(URL)
        .env("PGWEIR_POOL__SISE", "1")
        .env("PGWEIR_LISTEN_PORT", "5432")
        .env("PGWEIR_WHAT", "")
        .report();
    assert_eq!(
        report,
        "error: PGWEIR_LISTEN_PORT: unknown variable; did you mean PGWEIR_LISTEN?\n\n\
         error: PGWEIR_POOL__SISE: unknown variable; did you mean PGWEIR_POOL__SIZE?\n\n\
         error: PGWEIR_WHAT: unknown variable\n\n3 problems: nothing was started"
    );
    sources()
        .url(URL)
        .env("PGWEIR_SERVICE_HOST", "10.0.0.1")
        .env("PGWEIR_SERVICE_PORT", "6432")
        .env("PGWEIR_SERVICE_PORT_POSTGRES", "6432")
        .env("PGWEIR_RO_PORT", "tcp://10.0.0.1:6432")
        .env("PGWEIR_PORT_6432_TCP", "tcp://10.0.0.1:6432")
        .env("PGWEIR_PORT_6432_TCP_ADDR", "10.0.0.1")
        .plan();
}

#[test]
fn one_report_holds_all_errors_with_their_places() {
    let report = sources()
        .toml("[pool]\nsise = 30\nsize = \"30\"\nserver_statements = 0\n[pol]\nmode = 'x'\n")
        .env("PGWEIR_LOG__LEVEL", "warning")
        .report();
    assert_eq!(
        report,
        "\
error: pool.sise: unknown key; did you mean \"size\"?
 --> pgweir.toml:2:1
  |
2 | sise = **
  | ^^^^

error: pool.size: expected an integer from 1 to 100000, found a string
 --> pgweir.toml:3:8
  |
3 | size = \"30\"
  |        ^^^^

error: pool.server_statements: 0 is out of range: an integer from 1 to 1000000
 --> pgweir.toml:4:21
  |
4 | server_statements = 0
  |                     ^

error: pol: unknown key; did you mean \"pool\"?
 --> pgweir.toml:5:2
  |
5 | [pol]
  |  ^^^

error: PGWEIR_LOG__LEVEL: unknown word \"warning\"; did you mean \"warn\"?

5 problems: nothing was started"
    );
}

#[test]
fn no_report_holds_a_secret() {
    for text in [
        "[databases.app]\nurl = 'postgres://app:hunter2@db/app?sslmode=require'",
        "[databases.app]\nurl = 'postgres://app:hunter2@db:port/app'",
        "[databases.app]\nurl = ['hunter2']",
        "[databases.app]\npassword = ['hunter2', 3]",
        "[databases]\napp = { passwrod = 'hunter2', hots = 'x' }",
        "[databases]\napp = 'hunter2'",
        "[users]\nbob = 'hunter2'",
        "[users.bob]\npasword = 'hunter2'",
        "[users.bob.password]\nis = 'hunter2'",
        "[user.bob]\npassword = 'hunter2'",
        "users.bob.password = \"\"\"\nhunter2\nhunter2\"\"\"\npool.size = ''",
        "[users.bob]\npassword = 'hunter2",
        "[users.bob]\npassword = hunter2",
        "[users.bob]\npassword 'hunter2'",
    ] {
        let report = sources().toml(text).env("PGWEIR_UPSTREAM", "postgres:/a:hunter2@b").report();
        assert!(!report.contains("hunter2"), "{report}");
    }
}

#[test]
fn what_is_missing_is_said() {
    assert!(sources().report().starts_with("error: no upstream: give a URL "));
    assert!(sources().url("postgres://db/app").report().starts_with("error: no client could log in: "));
    assert!(sources().url("postgres://u:p@/app").report().starts_with("error: URL: no host: "));
    sources().url("postgres://db/app").env("PGWEIR_AUTH__METHOD", "trust").plan();
    assert!(sources().toml("listen = []").url(URL).report().contains("listen: give at least one address"));
    let absent =
        Sources { inputs: Inputs { file: Some("/nowhere.toml".into()), ..Inputs::default() }, ..sources() };
    assert!(absent.url(URL).report().starts_with("error: can't read /nowhere.toml: "));
}

#[test]
fn keys_that_contradict_each_other_are_refused() {
    let report = sources().toml("[pool]\nsize = 5\n[databases.'*'.pool]\nmin_size = 6").url(URL).report();
    assert!(report.contains("databases.\"*\".pool.min_size: min_size (6) is more than size (5)"), "{report}");
    let two = "[databases]\na.url = 'postgres://u:one@a/x'\nb.url = 'postgres://u:two@b/x'";
    let report = sources().toml(two).report();
    assert!(report.contains("databases.b.url: another URL has another password for user \"u\""), "{report}");
    sources().toml(&format!("users.u.password = 'three'\n{two}")).plan();
    let report = sources().toml(&format!("[users.{}]\npassword = 'x'", "n".repeat(64))).url(URL).report();
    assert!(report.contains("a name has at most 63 bytes"), "{report}");
}

#[test]
fn pgweir_does_not_connect_to_itself() {
    let meets = |listen: &str, url: &str| {
        let inputs = sources().env("PGWEIR_LISTEN", listen).env("DATABASE_URL", url).inputs;
        load(inputs).is_err_and(|report| report.to_string().contains("pgweir's own address"))
    };
    assert!(meets("127.0.0.1:6432", "postgres://u:p@localhost:6432/x"));
    assert!(meets("[::1]:6432", "postgres://u:p@127.0.0.1:6432/x"));
    assert!(meets("0.0.0.0:6432", "postgres://u:p@a,LOCALHOST:6432/x"));
    assert!(meets("pooler:6432", "postgres://u:p@pooler:6432/x"));
    assert!(meets("unix:/run/pg:5432", "postgres://u:p@%2Frun%2Fpg/x"));
    assert!(!meets("127.0.0.1:6432", "postgres://u:p@localhost:5432/x"));
    assert!(!meets("127.0.0.1:6432", "postgres://u:p@db:6432/x"));
    assert!(!meets("unix:/run/pg", "postgres://u:p@%2Frun%2Fpg/x"));
}

#[test]
fn what_is_doubtful_is_a_warning() {
    let hash = format!("md5{}", "0a".repeat(16));
    let warnings = sources().env("PGWEIR_USERS__BOB__PASSWORD", &hash).url(URL).plan().warnings;
    assert_eq!(
        warnings,
        ["user \"bob\" can't log in: an md5 hash can't answer auth.method = \"scram-sha-256\""]
    );
    let open = sources().url(URL).env("PGWEIR_AUTH__METHOD", "trust").env("PGWEIR_LISTEN", "0.0.0.0:6432");
    assert_eq!(
        open.plan().warnings,
        ["auth.method = \"trust\" lets in clients of this machine only (auth.allow_remote_trust)"]
    );
    let open = sources().url(URL).env("PGWEIR_AUTH__METHOD", "trust").env("PGWEIR_LISTEN", "0.0.0.0:6432");
    let open = open.env("PGWEIR_AUTH__ALLOW_REMOTE_TRUST", "true");
    assert!(open.plan().warnings[0].starts_with("auth.allow_remote_trust lets everyone in"));
}

#[test]
fn rules_that_cant_be_used_are_told_at_the_start() {
    let report = |text: &str| sources().url(URL).toml(text).report();
    for (text, expected) in [
        (
            "hba = 'host all all all scram'",
            "auth.hba:1: unknown method \"scram\"; did you mean \"scram-sha-256\"?",
        ),
        ("hba_file = '/nowhere/hba'", "/nowhere/hba: can't read it: No such file"),
        ("hba = 'local all all peer'\nhba_file = 'x'", "auth.hba and auth.hba_file can't both be given"),
        ("ident = 'm a b'", "maps are nothing without rules"),
        ("hba = 'local all all peer'\nmethod = 'md5'", "give one of them"),
        ("hba = 'hostssl all all all cert'", "auth.hba:1: client certificates can't be demanded without"),
        ("method = 'cert'", "auth.method: client certificates can't be demanded without"),
        ("method = 'reject'", "unknown word \"reject\""),
    ] {
        let report = report(&format!("[auth]\n{text}\n"));
        assert!(report.contains(expected), "{report}");
    }
}

#[test]
fn addresses_in_every_form() {
    let shown = |text: &str| Listen::parse(text).map(|address| address.to_string());
    for text in ["127.0.0.1:6432", "[::1]:1", "db.example:0", "unix:/run/pg", "unix:/run/pg:5432"] {
        assert_eq!(shown(text).as_deref(), Some(text));
    }
    for text in
        ["", ":6432", "6432", "::1:6432", "*:6432", "[db]:1", "db:65536", "unix:run", "unix:", "a/b:1"]
    {
        assert_eq!(shown(text), None, "{text}");
    }
    assert_eq!(sources().url(URL).env("PGWEIR_HTTP__LISTEN", "off").plan().http.listen, None);
}

#[test]
fn durations_sizes_and_counts() {
    let span = Span { min: Duration::from_millis(1) };
    let read = |text: &str| span.read(&Raw::String(text.to_owned())).ok();
    assert_eq!(read("1h 30m"), Some(Duration::from_mins(90)));
    assert_eq!(read("250ms"), Some(Duration::from_millis(250)));
    for text in ["", "30", "1d", "1month", "2years", "1M", "-1s", "1us", "99999999h"] {
        assert_eq!(read(text), None, "{text}");
    }
    for (ms, text) in [(90_000, "\"90s\""), (7_200_000, "\"2h\""), (60_000, "\"1m\""), (1, "\"1ms\"")] {
        assert_eq!(span.show(&Duration::from_millis(ms)).as_deref(), Some(text));
    }
    let off = OrOff(span);
    assert_eq!(off.read(&Raw::Integer(0)), Ok(None));
    assert_eq!(off.read(&Raw::Untyped("off".to_owned())), Ok(None));
    assert!(matches!(off.read(&Raw::Integer(30)), Err(Wrong::Type { .. })));

    let size = Bytes { min: 1024u32, max: 1 << 30 };
    let read = |text: &str| size.read(&Raw::Untyped(text.to_owned())).ok();
    assert_eq!((read("64KiB"), read("64KB"), read("4096")), (Some(65_536), Some(64_000), Some(4096)));
    assert_eq!((read("1023"), read("2GiB"), read("9EiB"), read("x")), (None, None, None, None));
    assert_eq!(size.show(&65_536).as_deref(), Some("\"64KiB\""));

    let count = Count { min: 1, max: 9 };
    let read = |number: i64| count.read(&Raw::Integer(number)).ok();
    assert_eq!((read(9), read(10), read(0), read(-1), read(i64::MAX)), (Some(9), None, None, None, None));
}

#[test]
fn a_key_shown_reads_as_itself() {
    let text: String = Sources::default()
        .url(URL)
        .loaded()
        .draft
        .shown()
        .into_iter()
        .map(|shown| format!("{} = {}\n", shown.key, shown.value))
        .collect();
    let (settings, problems) = source::toml::read(Path::new("shown"), &text);
    assert!(problems.is_empty(), "{problems:?}");
    let shown = Draft::of(vec![settings]);
    assert_eq!(format!("{:?}", shown.process), format!("{:?}", Plan::default()));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_a_reader_panic(text in "[a-z\\[\\].='\"{}#\n 0-9é:/@%?&,*;-]{0,80}") {
        let (settings, problems) = source::toml::read(Path::new("any"), &text);
        Draft::of(vec![settings]).shown();
        let _ = format!("{problems:?}");
        if let Err(report) = Report::check(problems) {
            let _ = report.to_string();
        }
        let _ = source::url::Url::parse(&format!("postgres://{text}")).map(|url| url.redacted());
        let _ = (pgbouncer::connection_string::parse(&text), pgbouncer::userlist::parse(&text), Listen::parse(&text));
    }

    #[test]
    fn a_known_key_with_any_value_is_masked_or_quoted_without_panic(value in "\\PC{0,40}") {
        for key in ["pool.size", "databases.a.url", "users.b.password", "x.y"] {
            let text = format!("{key} = {}", quote(&value));
            let (settings, problems) = source::toml::read(Path::new("any"), &text);
            let mut draft = Draft::of(vec![settings]);
            if let Err(report) = build::build(&mut draft, problems, None) {
                let _ = report.to_string();
            }
        }
    }
}

#[test]
fn where_passwords_for_servers_come_from() {
    let text = "\
[databases.rds]
url = 'postgres://app@rds/app?require_auth=password&passfile=/url/pgpass'
password_command = ['token', '--fresh']
password_ttl = '5m'
[databases.other]
url = 'postgres://app@other/app?require_auth=md5'
require_auth = '!none'
allow_md5 = true
[users.app]
password = 'new'
other_passwords = ['old', 'older']
";
    let plan = sources().toml(text).env("HOME", "/home/x").plan();
    let upstream = |name: &str| &plan.databases.named[name].upstream;
    let command = upstream("rds").password_command.as_ref().unwrap();
    assert_eq!(
        (&*command.words, command.ttl),
        (&["token".into(), "--fresh".into()][..], Duration::from_secs(300))
    );
    assert_eq!(upstream("rds").passfile.as_deref(), Some(Path::new("/url/pgpass")));
    assert_eq!(upstream("other").passfile.as_deref(), Some(Path::new("/home/x/.pgpass")));
    let allowed = |name: &str| {
        let allowed = upstream(name).allowed;
        [allowed.scram, allowed.md5, allowed.cleartext, allowed.none]
    };
    assert_eq!(allowed("rds"), [false, false, true, false]);
    assert_eq!(allowed("other"), [true, true, false, false], "the key counts more than the URL");
    let known: Vec<_> = plan.users.passwords("app").map(Secret::expose).collect();
    assert_eq!(known, ["new", "old", "older"]);

    let by_environment = sources().url(URL).env("PGWEIR_DATABASES__A__PASSWORD_COMMAND", "vault  read x");
    let by_environment =
        by_environment.env("PGPASSFILE", "/p").env("PGWEIR_USERS__U__OTHER_PASSWORDS", "a b\nc,d");
    let plan = by_environment.env("PGWEIR_USERS__U__PASSWORD", "x").plan();
    let upstream = &plan.databases.named["a"].upstream;
    assert_eq!(upstream.password_command.as_ref().unwrap().words, ["vault", "read", "x"]);
    assert_eq!(upstream.passfile.as_deref(), Some(Path::new("/p")));
    assert_eq!(plan.users.passwords("u").map(Secret::expose).collect::<Vec<_>>(), ["x", "a b", "c,d"]);
}

#[test]
fn a_clear_password_to_whoever_is_between_is_a_warning() {
    let warnings = |url: &str| sources().url(url).toml("").plan().warnings;
    let told = warnings("postgres://a:b@db/x?sslmode=require&require_auth=password");
    assert_eq!(
        told[1],
        "the servers of \"*\" may ask for the password in clear text, and so may anyone between"
    );
    assert_eq!(warnings("postgres://a:b@db/x?sslmode=require").len(), 1);
    assert!(warnings("postgres://a:b@db/x?require_auth=password").is_empty());
    assert!(warnings("postgres://a:b@localhost/x?require_auth=password").is_empty());
}

#[test]
fn passwords_that_cannot_be_meant() {
    let report = |text: &str| sources().url(URL).toml(text).report();
    for (text, expected) in [
        ("[databases.a]\npassword = 'x'\npassword_command = ['y']", "can't both be given"),
        ("[databases.a]\npassword_command = []", "must name a program"),
        ("[databases.a]\npassword_command = 'y'", "expected a list such as"),
        ("[databases.a]\nrequire_auth = 'scram'", "did you mean \"scram-sha-256\"?"),
        ("[users.a]\nother_passwords = ['x']", "give that, too"),
        ("[users.a]\npassword = 'SCRAM-SHA-256$x'\nother_passwords = ['x']", "have to be plain ones"),
    ] {
        let report = report(text);
        assert!(report.contains(expected), "{report}");
    }
    let report = report("[users.a]\npassword = ''\nother_passwords = ['hunter2', '']");
    assert!(!report.contains("hunter2"), "{report}");
}
