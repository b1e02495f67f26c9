//! PgBouncer's files.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::auth::secret::Secret;
use crate::auth::users::Method;
use crate::config::Lookup;
use crate::config::{Environment, Inputs, Plan, load};
use crate::pool::settings::Mode;
use crate::server::upstream::Host;

use super::connection_string;
use super::ini::{Ini, Section};
use super::table::{SETTINGS, To};
use super::*;
use crate::config::keys::Scope;

struct Files(tempfile::TempDir);

impl Files {
    fn of(ini: &str) -> Self {
        Self(tempfile::tempdir().unwrap()).with("pgbouncer.ini", ini)
    }

    fn with(self, name: &str, text: &str) -> Self {
        self.with_mode(name, text, 0o600)
    }

    fn with_mode(self, name: &str, text: &str, mode: u32) -> Self {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    fn ini(&self) -> PathBuf {
        self.0.path().join("pgbouncer.ini")
    }

    fn plan(&self) -> Plan {
        self.try_plan().unwrap_or_else(|report| panic!("{report}"))
    }

    fn try_plan(&self) -> Result<Plan, String> {
        let inputs = Inputs { file: Some(self.ini()), environment: Environment::new(), flags: Vec::new() };
        load(inputs).map(|loaded| loaded.plan).map_err(|report| self.here(&report.to_string()))
    }

    fn toml(&self) -> String {
        self.here(&translate(&self.ini()).to_toml())
    }

    fn here(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.0.path().display()), "")
    }
}

const USERS: &str = "\"app\" \"secret\"\n";
const TYPICAL: &str = "\
; a comment
[databases]
app = host=db1 port=5433 dbname=real pool_size=30 pool_mode=session application_name='my app'
* = host=db2,db3 user=forced password='it''s' max_db_connections=0
[pgbouncer]
listen_addr = 127.0.0.1, ::1
listen_port = 5432
unix_socket_dir =
auth_type = scram-sha-256
auth_file = userlist.txt
pool_mode = transaction
max_client_conn = 0x10
query_wait_timeout = 0.5
server_idle_timeout = 0
server_reset_query = DISCARD ALL
default_pool_siz = 3
";

#[test]
fn passwords_that_everybody_can_read_are_noted() {
    let noted = |mode| {
        let plan = Files::of(TYPICAL).with_mode("userlist.txt", USERS, mode).plan();
        plan.warnings.iter().any(|warning| warning.contains("userlist.txt holds passwords, and everybody"))
    };
    assert!(noted(0o604) && noted(0o644) && !noted(0o640) && !noted(0o600));
}

#[test]
fn a_typical_file_runs() {
    let plan = Files::of(TYPICAL).with("userlist.txt", USERS).plan();
    assert_eq!(
        plan.listen.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["127.0.0.1:5432", "[::1]:5432"]
    );
    assert_eq!((plan.auth.method, plan.users.secrets["app"].expose()), (Method::ScramSha256, "secret"));
    assert_eq!((plan.client_limits.max_clients, plan.pool.mode), (16, Mode::Transaction));
    assert_eq!((plan.pool.queue_timeout, plan.pool.server_idle_timeout), (Duration::from_millis(500), None));
    // What the file leaves out is PgBouncer's default, not ours.
    assert_eq!((plan.pool.server_statements, plan.deadlines.login), (200, Duration::from_mins(1)));

    let app = plan.databases.find("app").unwrap();
    assert_eq!(app.upstream.hosts, [Host::Tcp { name: "db1".to_owned(), port: 5433 }]);
    assert_eq!(app.upstream.database.as_deref(), Some("real"));
    assert_eq!(app.upstream.parameters, [("application_name".to_owned(), "my app".to_owned())]);
    assert_eq!((app.pool.size, app.pool.mode), (30, Mode::Session));
    let any = plan.databases.find("any").unwrap();
    assert_eq!((any.upstream.hosts.len(), any.upstream.user.as_deref()), (2, Some("forced")));
    assert_eq!(any.upstream.password.as_ref().unwrap().expose(), "it's");
    assert_eq!((any.upstream.database.as_deref(), any.max_servers), (None, None));
    assert_eq!(plan.warnings.len(), 4, "{:?}", plan.warnings);
}

#[test]
fn import_prints_the_same_with_notes() {
    let files = Files::of(TYPICAL).with("userlist.txt", USERS);
    let toml = files.toml();
    assert_eq!(
        toml,
        "\
listen = [\"127.0.0.1:5432\", \"[::1]:5432\"]

[pool]
mode = \"transaction\"
# max_prepared_statements: PgBouncer's default
server_statements = 200
queue_timeout = \"500ms\"
server_idle_timeout = \"off\"
# server_connect_timeout: PgBouncer's default
connect_timeout = \"15s\"

[limits]
max_clients = 16

[timeouts]
# client_login_timeout: PgBouncer's default
login = \"60s\"

[auth]
method = \"scram-sha-256\"
# auth_query: PgBouncer's default
query = \"off\"

[users.app]
password = \"secret\"

[tls.client]
# client_tls_sslmode: PgBouncer's default
mode = \"disable\"

[tls.server]
# server_tls_sslmode: PgBouncer's default
mode = \"prefer\"

[databases.app]
host = \"db1\"
port = 5433
dbname = \"real\"
pool.size = 30
pool.mode = \"session\"
parameters.application_name = \"my app\"
allow_md5 = true

[databases.\"*\"]
# pgbouncer.ini:4: *: host: several hosts are tried in order here, round robin there
host = \"db2,db3\"
user = \"forced\"
password = \"it's\"
max_servers = \"off\"
allow_md5 = true

# Without an equivalent:
# pgbouncer.ini:15: server_reset_query: a server is handed on only when provably clean
# pgbouncer.ini:16: default_pool_siz: PgBouncer has no such setting; did you mean default_pool_size?
"
    );
    // Running on what is printed is running on the ini file.
    let files = files.with("pgweir.toml", &toml);
    let file = Some(files.0.path().join("pgweir.toml"));
    let imported = load(Inputs { file, ..Inputs::default() }).unwrap().plan;
    let plan = files.plan();
    assert_eq!(imported.databases, plan.databases);
    assert_eq!(
        (imported.listen, imported.pool, imported.deadlines),
        (plan.listen, plan.pool, plan.deadlines)
    );
    assert_eq!(imported.users.secrets, plan.users.secrets);
}

#[test]
fn an_empty_file_has_pgbouncers_defaults() {
    let toml = Files::of("[pgbouncer]\n").toml();
    for line in
        ["listen = [\"unix:/tmp:6432\"]", "mode = \"session\"", "max_clients = 100", "method = \"md5\""]
    {
        assert!(toml.contains(line), "{line} is not in\n{toml}");
    }
    assert!(!toml.contains("\nsize"), "20 is the default of both\n{toml}");
}

#[test]
fn a_second_header_puts_the_settings_back_and_includes_carry_the_section() {
    let files = Files::of(
        "[pgbouncer]\ndefault_pool_size = 5\n%include more.ini\nmax_client_conn = 7\n[pgbouncer]\n",
    )
    .with("more.ini", "min_pool_size = 2\n[databases]\na = host=h\n'b c' = host=h\na = host=i\n");
    let ini = Ini::read(&files.ini());
    let kept: Vec<_> = ini.entries.iter().map(|entry| (entry.section, entry.key.as_str())).collect();
    let databases = Section::Databases;
    assert_eq!(
        kept,
        [(databases, "a"), (databases, "b c"), (databases, "a"), (databases, "max_client_conn")]
    );
    assert!(ini.problems.is_empty());
}

#[test]
fn the_last_entry_of_a_name_counts_whole() {
    let ini = "[databases]\na = host=first port=1\na = host=last\n[pgbouncer]\nauth_type = trust\n";
    let plan = Files::of(ini).plan();
    assert_eq!(plan.databases.named["a"].upstream.hosts, [Host::Tcp { name: "last".to_owned(), port: 5432 }]);
}

#[test]
fn rules_and_maps_are_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let hba = write("hba", "local all all peer map=m\nhost all all 10.0.0.0/8 scram-sha-256\n");
    let ident = write("ident", "m root postgres\n");
    let ini = |method: &str| {
        let (hba, ident) = (hba.display(), ident.display());
        let files = format!("auth_hba_file = {hba}\nauth_ident_file = {ident}");
        Files::of(&format!("[databases]\na = host=db\n[pgbouncer]\nauth_type = {method}\n{files}\n"))
    };
    let plan = ini("hba").plan();
    assert_eq!(plan.auth.hba_file.as_ref(), Some(&hba));
    assert_eq!(plan.auth.rules(false).unwrap().rules().len(), 2);
    assert_eq!(ini("trust").plan().auth.hba_file, None);
    assert_eq!(ini("peer").plan().auth.method, Method::Peer);
    write("hba", "local all all peer map=n\n");
    let report = ini("hba").try_plan().unwrap_err();
    assert!(report.contains("hba:1: unknown map \"n\"; known are: m"), "{report}");
}

#[test]
fn users_are_looked_up_as_the_file_says() {
    let ini = |pgbouncer: &str, database: &str| {
        format!("[databases]\na = host=h dbname=d {database}\n[pgbouncer]\nauth_type = trust\n{pgbouncer}\n")
    };
    let lookup = |ini: String| Files::of(&ini).plan().databases.named["a"].lookup.clone();
    let asked = |user: &str, query: &str, dbname: &str| {
        let (user, query, dbname) = (user.to_owned(), Some(query.to_owned()), dbname.to_owned());
        Some(Lookup { user, password_command: None, passwords: Vec::new(), dbname, query })
    };
    assert_eq!(lookup(ini("auth_query = select 1", "")), None);
    assert_eq!(lookup(ini("", "user=forced password=x")), None);
    assert_eq!(lookup(ini("auth_user = u", "")), asked("u", table::AUTH_QUERY, "d"));
    assert_eq!(lookup(ini("auth_user = u\nauth_query = q\nauth_dbname = x", "")), asked("u", "q", "x"));
    assert_eq!(lookup(ini("", "auth_user=own")), asked("own", table::AUTH_QUERY, "d"));
    let both = ini("auth_user = u\nauth_query = q", "auth_query=own auth_dbname=y");
    assert_eq!(lookup(both), asked("u", "own", "y"));
    let listed =
        Files::of(&ini("auth_user = app\nauth_file = userlist.txt", "")).with("userlist.txt", USERS).plan();
    let passwords = listed.databases.named["a"].lookup.clone().map(|lookup| lookup.passwords);
    assert_eq!(passwords, Some(vec![Secret::new("secret")]));
}

#[test]
fn what_would_be_less_safe_is_refused() {
    let report = |line: &str| Files::of(&format!("[pgbouncer]\n{line}\n")).try_plan().unwrap_err();
    assert_eq!(
        report("server_tls_sslmode = on\nauth_type = pam"),
        "error: tls.server.mode: unknown word \"on\"; known are: disable, allow, prefer, require, verify-ca, \
         verify-full\n\
         --> pgbouncer.ini:2:1\n\nerror: auth_type: pam is not supported\n\
         --> pgbouncer.ini:3:1\n\n2 problems: nothing was started"
    );
    assert!(report("auth_type = hba").contains("auth_type: hba needs auth_hba_file"));
    assert!(report("auth_type = cert").contains("without tls.client.ca_file"));
    assert!(report("client_tls_sslmode = require").contains("TLS for clients needs cert_file and key_file"));
    assert!(report("default_pool_size = many").contains("\"many\" is not an integer"));
    assert!(report("query_timeout = 10s").contains("\"10s\" is not a number of seconds"));
    assert!(report("pool_mode = all").contains("unknown word \"all\""));
    assert!(report("auth_file = absent").contains("can't read absent: "));
    assert!(report("%include absent.ini").contains("can't read absent.ini: "));
    assert!(report("nonsense").contains("expected key = value"));
    assert!(report("[databases]\npgbouncer = host=x").contains("this name is kept"));
    assert!(report("[databases]\na = host=x sslmode=require").contains("unknown key sslmode"));
    assert!(report("[peers]\n[other]").contains("unknown section [other]"));
}

#[test]
fn files_that_include_each_other_end() {
    let report = Files::of("[pgbouncer]\n%include pgbouncer.ini\n").try_plan().unwrap_err();
    assert!(report.contains("more than 10 files include one another"), "{report}");
}

#[test]
fn no_problem_quotes_a_password() {
    for value in
        ["host=h password='hunter2", "host=h hunter2", "password=hunter2 x", "password=hunter2 host="]
    {
        let report = Files::of(&format!("[databases]\na = {value}\n[pgbouncer]\n")).try_plan().unwrap_err();
        assert!(!report.contains("hunter2"), "{report}");
    }
}

#[test]
fn connection_strings() {
    let parse = |text: &str| connection_string::parse(text);
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(parse("host = a  port=1").unwrap(), [pair("host", "a"), pair("port", "1")]);
    assert_eq!(parse(r"password='a '' \ b'").unwrap(), [pair("password", r"a ' \ b")]);
    assert_eq!(parse("").unwrap(), []);
    for wrong in ["host", "host=", "host=''", "Host=a", "=a", "host='a"] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn user_lists() {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let (users, broken) =
        userlist::parse("; none\n\n \"a\"\"b\" \"p\" rest\n\"c\" \"\"\nbroken\n\"d\" \"q\"");
    assert_eq!((users, broken), (vec![pair("a\"b", "p"), pair("c", "")], Some(5)));
}

#[test]
fn each_setting_is_listed_once_and_means_something() {
    for (index, known) in SETTINGS.iter().enumerate() {
        assert!(!SETTINGS[..index].iter().any(|other| other.name == known.name), "{} twice", known.name);
        if let To::Count(key, _) | To::Seconds(key, _) | To::Word(key) | To::File(key) | To::Text(key) =
            known.to
        {
            assert!(Key::new(Scope::Process, key).about().is_some(), "{key}");
        }
    }
}

#[test]
fn a_file_that_is_missing_is_named() {
    let translation = translate(Path::new("/nowhere.ini"));
    assert!(translation.problems[0].to_string().starts_with("can't read /nowhere.ini: "));
}
