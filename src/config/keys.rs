//! Every key, one row each: its name, its meaning, the kind of its value and the field that it fills.
//!
//! All else follows from these rows: reading, errors, names of environment variables, `check`,
//! `config.example.toml` and `docs/configuration.md`. A default stands in the `Default` of the struct that the
//! field belongs to, and nowhere else.

use std::path::PathBuf;
use std::time::Duration;

use crate::auth::secret::Secret;
use crate::pool::settings::{Mode, PoolSettings, SessionState};
use crate::session::sequences::Reliance;

pub use super::key::{Key, Scope};
pub(super) use super::key::{names, toml_key};

use super::address::{Addresses, Tcp};
use super::auth::METHODS;
use super::lookup::LookupKeys;
use super::measure::{Bytes, Span};
use super::plan::{LogFormat, Plan};
use super::require_auth::{Methods, RequireAuth};
use super::source::url::Url;
use super::tls::{BINDINGS, CLIENT_MODES, MODES, NEGOTIATIONS, ServerTls};
use super::value::{
    Count, File, Flag, Hidden, HiddenList, Kind, Link, Maybe, OrOff, Raw, Text, Word, Words, Wrong,
};

/// What can be said of a key without a value.
pub struct About {
    pub name: &'static str,
    doc: &'static str,
    pub accepts: fn() -> String,
    /// Hidden wherever it would be shown, and may be given by a file through `NAME_file`.
    pub is_secret: fn() -> bool,
}

/// A key whose value fills a field of `T`.
pub struct Row<T> {
    pub about: About,
    pub read: fn(&mut T, &Raw) -> Result<(), Wrong>,
    /// The value as TOML; `None`: not set.
    pub show: fn(&T) -> Option<String>,
}

impl About {
    /// One line.
    pub fn doc(&self) -> &'static str {
        self.doc.trim_start()
    }
}

macro_rules! rows {
    ($(#[$meta:meta])* $table:ident: $target:ty { $($(#[doc = $doc:literal])+ $name:literal => $($field:ident).+: $kind:expr;)+ }) => {
        $(#[$meta])*
        pub static $table: &[Row<$target>] = &[$(Row {
            about: About {
                name: $name,
                doc: concat!($($doc),+),
                accepts: || $kind.accepts(),
                is_secret: || $kind.is_secret(),
            },
            read: |target, raw| $kind.read(raw).map(|value| target.$($field).+ = value),
            show: |target| $kind.show(&target.$($field).+),
        }),+];
    };
}

const MANY: Count = Count { min: 1, max: u32::MAX };
const ANY: Span = Span { min: Duration::ZERO };
const SOME_TIME: Span = Span { min: Duration::from_millis(1) };

rows! {
    /// Keys of the whole process.
    TOP: Plan {
        /// Addresses for clients.
        "listen" => listen: Addresses;
        /// Address of the HTTP endpoint with /metrics, /status.json, /healthz and /readyz.
        "http.listen" => http.listen: OrOff(Tcp);
        /// Whether /readyz also needs an answer of the upstream; an outage then takes all pods out at once.
        "http.ready_needs_upstream" => http.ready_needs_upstream: Flag;
        /// Logged-in clients; one more is refused with 53300.
        "limits.max_clients" => client_limits.max_clients: MANY;
        /// Connections that have not logged in yet.
        "limits.max_logins" => client_limits.max_logins: MANY;
        /// Those from one address (IPv6: one /64; all Unix sockets are one); not set: three quarters of max_logins.
        "limits.max_logins_per_source" => client_limits.max_logins_per_source: Maybe(MANY);
        /// Failed logins a second from one address; answers to more are held back, 5 s at most. Logins that succeed never wait.
        "limits.failed_logins_per_source" => client_limits.failed_logins_per_source: OrOff(MANY);
        /// Servers over all pools.
        "limits.max_servers" => totals.servers: OrOff(MANY);
        /// Servers over the pools of one database.
        "limits.max_servers_per_database" => totals.per_database: OrOff(MANY);
        /// Servers over the pools of one user.
        "limits.max_servers_per_user" => totals.per_user: OrOff(MANY);
        /// Pinned servers beyond the sizes of their pools, over all pools.
        "limits.pinned_servers" => totals.pinned: OrOff(Count { min: 0, max: u32::MAX });
        /// Largest message that must be read whole, such as Parse; a larger one is refused with 54000.
        "limits.statement_size" => client_limits.statement_size: Bytes { min: 1 << 10, max: 1u32 << 30 };
        /// Memory for the prepared statements of one client.
        "limits.client_statements" => client_limits.client_statements: Bytes { min: 1 << 10, max: 1u64 << 40 };
        /// Memory for the notifications that wait for one client; one that takes them too slowly is closed with 08006.
        "limits.client_notifications" => client_limits.client_notifications: Bytes { min: 1 << 10, max: 1u32 << 30 };
        /// Memory for the statement texts that the clients of a pool share.
        "limits.shared_statements" => client_limits.shared_statements: Bytes { min: 1 << 10, max: 1u64 << 40 };
        /// From connecting to the end of the login.
        "timeouts.login" => deadlines.login: SOME_TIME;
        /// One statement or batch; then it is cancelled with 57014.
        "timeouts.query" => deadlines.query: OrOff(SOME_TIME);
        /// One transaction; then the client is closed with 25P03.
        "timeouts.transaction" => deadlines.transaction: OrOff(SOME_TIME);
        /// A pause inside a transaction; then the client is closed with 25P03.
        "timeouts.idle_in_transaction" => deadlines.idle_in_transaction: OrOff(SOME_TIME);
        /// A pause between transactions; then the client is closed with 57P05.
        "timeouts.client_idle" => deadlines.client_idle: OrOff(SOME_TIME);
        /// How long a client may take less than 1 KiB/s of a waiting answer; then it is closed with 08006.
        "timeouts.write_stall" => deadlines.write_stall: OrOff(SOME_TIME);
        /// How often functions, triggers and views are looked at for changes that didn't pass through pgweir.
        "timeouts.catalog_check" => catalog_check: OrOff(SOME_TIME);
        /// How far back a pool's verdict and the advice look.
        "advice.window" => advice_window: Span { min: Duration::from_secs(2) };
        /// How clients prove who they are, if no rules say it.
        "auth.method" => auth.method: Word(METHODS);
        /// Rules that say which clients prove it how, in the syntax of pg_hba.conf; read again at SIGHUP.
        "auth.hba_file" => auth.hba_file: Maybe(File);
        /// The rules themselves, in place of their file.
        "auth.hba" => auth.hba: Maybe(Text);
        /// Which names of the system, or in certificates, are which users', in the syntax of pg_ident.conf.
        "auth.ident_file" => auth.ident_file: Maybe(File);
        /// The same, in place of its file.
        "auth.ident" => auth.ident: Maybe(Text);
        /// Whether trust may let clients on other machines in.
        "auth.allow_remote_trust" => auth.allow_remote_trust: Flag;
        /// Whether clients on other machines may be asked for a password in clear text without TLS.
        "auth.allow_remote_cleartext" => auth.allow_remote_cleartext: Flag;
        /// User who looks up users that aren't configured; else each database's own user, else its URL's.
        "auth.user" => lookup.user: Maybe(Text);
        /// Password of that user; else the one in [users].
        "auth.password" => lookup.password: Maybe(Hidden);
        /// Query that gives name and password of user $1; not set: what `pgweir auth-sql` installs, or pg_authid itself.
        "auth.query" => lookup.query: Maybe(OrOff(Text));
        /// Database in which it runs; else each database's own, for "*" the one in its URL.
        "auth.dbname" => lookup.dbname: Maybe(Text);
        /// What the salts of users that don't exist are made of, 16 bytes or more; the same on all instances and over restarts,
        /// or else those salts change where real ones don't. Not set: random at each start.
        "auth.mock_secret" => auth.mock_secret: Maybe(Hidden);
        /// Whether clients may, or must, use TLS; not set: they must once there is a cert_file, except on loopback.
        "tls.client.mode" => client_tls.mode: Maybe(Word(CLIENT_MODES));
        /// Certificate (PEM, with its chain) that clients see; a new one is noticed within 30 s, or at SIGHUP.
        "tls.client.cert_file" => client_tls.cert_file: Maybe(File);
        /// Its private key, which nobody else may read.
        "tls.client.key_file" => client_tls.key_file: Maybe(File);
        /// CAs of clients' own certificates, which verify-ca and verify-full demand.
        "tls.client.ca_file" => client_tls.ca_file: Maybe(File);
        /// Clients' certificates that were revoked (PEM), one list for each CA.
        "tls.client.crl_file" => client_tls.crl_file: Maybe(File);
        /// How long /readyz says 503 before the listeners close.
        "shutdown.delay" => shutdown.delay: ANY;
        /// How long transactions and waiting clients get after that.
        "shutdown.timeout" => shutdown.timeout: ANY;
        /// One line of text, or of JSON, an event.
        "log.format" => log.format: Word(LOG_FORMATS);
        /// Transactions that take longer are logged, without their text.
        "log.slow_transaction" => deadlines.slow_transaction: OrOff(SOME_TIME);
        /// The least important events that are logged.
        "log.level" => log.level: Word(LOG_LEVELS);
    }
}

rows! {
    /// Keys of a pool: under `pool.` for all, under `databases.NAME.pool.` for those of one database.
    POOL: PoolSettings {
        /// When a server goes back to the pool.
        "mode" => mode: Word(POOL_MODES);
        /// Whether a client's session state follows it from server to server. "strict": no server is seen to know a custom
        /// setting (app.x) that its client never used. "off": nothing follows but the protocol's prepared statements.
        "session_state" => session_state: Word(SESSION_STATES);
        /// Whether a client keeps its server after INSERT or nextval, for a later currval or lastval: "observed" begins
        /// so, goes on if a client of the pool is seen to ask, and stops if none does.
        "sequences" => sequences: Word(RELIANCES);
        /// Servers that a pool may open.
        "size" => size: Count { min: 1, max: 100_000 };
        /// Servers kept open when idle, once the pool has been used.
        "min_size" => min_size: Count { min: 0, max: 100_000 };
        /// Further servers for when a client has waited for reserve_after.
        "reserve_size" => reserve_size: Count { min: 0, max: 100_000 };
        /// How long the oldest client waits before the reserve is used.
        "reserve_after" => reserve_after: ANY;
        /// Servers beyond size that may be pinned to clients by session state that can't follow them; limits.pinned_servers
        /// bounds them over all pools.
        "pinned_servers" => pinned_servers: Count { min: 0, max: 100_000 };
        /// Longest wait for a server; then 57P03.
        "queue_timeout" => queue_timeout: SOME_TIME;
        /// Clients that may wait; one more is refused with 53300.
        "queue_limit" => queue_limit: Count { min: 0, max: u32::MAX };
        /// Age at which an idle server is replaced (with jitter).
        "server_lifetime" => server_lifetime: OrOff(SOME_TIME);
        /// How long a server beyond min_size stays open without work.
        "server_idle_timeout" => server_idle_timeout: OrOff(SOME_TIME);
        /// One attempt to connect and log in to a server.
        "connect_timeout" => connect_timeout: SOME_TIME;
        /// Attempts under way at once.
        "parallel_connects" => parallel_connects: Count { min: 1, max: 1_000 };
        /// Prepared statements kept on one server.
        "server_statements" => server_statements: Count { min: 1, max: 1_000_000 };
    }
}

rows! {
    /// TLS to servers: under `tls.server.` for all, under `databases.NAME.tls.` for those of one database.
    SERVER_TLS: ServerTls {
        /// As libpq's sslmode; not set: "verify-full", and "allow" for this machine itself.
        "mode" => mode: Maybe(Word(MODES));
        /// CAs of servers' certificates; not set, or "system": the system's.
        "ca_file" => ca_file: Maybe(File);
        /// Servers' certificates that were revoked (PEM), one list for each CA.
        "crl_file" => crl_file: Maybe(File);
        /// Certificate that servers see.
        "cert_file" => cert_file: Maybe(File);
        /// Its private key, which nobody else may read.
        "key_file" => key_file: Maybe(File);
        /// The name in servers' certificates, if it isn't the host's.
        "server_name" => server_name: Maybe(Text);
        /// How TLS begins; "direct" saves a round trip and needs PostgreSQL 17.
        "negotiation" => negotiation: Maybe(Word(NEGOTIATIONS));
        /// Whether a login is bound to the server's certificate; not set: "prefer".
        "channel_binding" => channel_binding: Maybe(Word(BINDINGS));
    }
}

rows! {
    /// Keys of `[databases.NAME]` besides `pool.`, `tls.` and `parameters.`.
    DATABASE: DatabaseKeys {
        /// Where the database is; its user and password let that user log in, here and there.
        "url" => url: Maybe(Link);
        /// Host, or the directory of a Unix socket; several are separated by commas and tried in order.
        "host" => host: Maybe(Text);
        /// Port of all hosts.
        "port" => port: Maybe(Count { min: 1, max: 65_535 });
        /// The database's name there, else the one that the client asked for.
        "dbname" => dbname: Maybe(Text);
        /// User that servers are logged in as, whoever the client is; else the client's own.
        "user" => user: Maybe(Text);
        /// Password of that user.
        "password" => password: Maybe(Hidden);
        /// Program that prints the password, with its arguments; no shell reads it, PGHOST, PGPORT, PGDATABASE and PGUSER tell
        /// it for whom.
        "password_command" => password_command: Maybe(Words);
        /// How long what it printed is used; not set: 10 minutes.
        "password_ttl" => password_ttl: Maybe(ANY);
        /// Where passwords are looked for that are nowhere else; not set: PGPASSFILE, or else ~/.pgpass.
        "passfile" => passfile: Maybe(File);
        /// User who looks up users that aren't configured.
        "auth.user" => lookup.user: Maybe(Text);
        /// Password of that user.
        "auth.password" => lookup.password: Maybe(Hidden);
        /// Query that gives name and password of user $1.
        "auth.query" => lookup.query: Maybe(OrOff(Text));
        /// Database in which it runs.
        "auth.dbname" => lookup.dbname: Maybe(Text);
        /// Servers over all pools of this database.
        "max_servers" => max_servers: Maybe(OrOff(MANY));
        /// Login methods that servers may ask of us, as libpq's require_auth; counts more than allow_md5 and allow_cleartext.
        "require_auth" => require_auth: Maybe(Methods);
        /// Whether a server may ask for an MD5 password; no if not set.
        "allow_md5" => allow_md5: Maybe(Flag);
        /// Whether a server may ask for the password in clear text; no if not set.
        "allow_cleartext" => allow_cleartext: Maybe(Flag);
    }
}

rows! {
    /// Keys of `[users.NAME]`.
    USER: UserKeys {
        /// Password, or SCRAM-SHA-256 verifier, or md5 hash.
        "password" => password: Maybe(Hidden);
        /// Further passwords that are right, here and at servers, while the password is being changed; a line each in a file.
        "other_passwords" => other_passwords: Maybe(HiddenList);
    }
}

/// Any startup parameter of a database's servers.
pub static PARAMETER: About = About {
    name: "parameters.NAME",
    doc: "Startup parameter of the servers' sessions, such as application_name or search_path.",
    accepts: || Text.accepts(),
    is_secret: || false,
};
/// The prefix of such a key.
pub(super) const PARAMETERS: &str = "parameters.";
/// The prefix of a pool's keys.
pub(super) const POOL_PREFIX: &str = "pool.";
/// The prefix of keys about TLS to servers, for all databases…
pub(super) const SERVER_TLS_PREFIX: &str = "tls.server.";
/// …and for one.
pub(super) const TLS_PREFIX: &str = "tls.";

/// What is typed under `[databases.NAME]`.
#[derive(Clone, Debug, Default)]
pub struct DatabaseKeys {
    pub url: Option<Url>,
    pub host: Option<String>,
    pub port: Option<u32>,
    pub dbname: Option<String>,
    pub user: Option<String>,
    pub password: Option<Secret>,
    pub password_command: Option<Vec<String>>,
    pub password_ttl: Option<Duration>,
    pub passfile: Option<PathBuf>,
    pub require_auth: Option<RequireAuth>,
    pub lookup: LookupKeys,
    pub max_servers: Option<Option<u32>>,
    pub allow_md5: Option<bool>,
    pub allow_cleartext: Option<bool>,
    pub parameters: Vec<(String, String)>,
    pub tls: ServerTls,
    pub pool: PoolSettings,
}

/// What is typed under `[users.NAME]`.
#[derive(Clone, Debug, Default)]
pub struct UserKeys {
    pub password: Option<Secret>,
    pub other_passwords: Option<Vec<Secret>>,
}

const POOL_MODES: &[(&str, Mode)] =
    &[("transaction", Mode::Transaction), ("session", Mode::Session), ("statement", Mode::Statement)];
const RELIANCES: &[(&str, Reliance)] =
    &[("observed", Reliance::Observed), ("always", Reliance::Always), ("never", Reliance::Never)];
const SESSION_STATES: &[(&str, SessionState)] =
    &[("full", SessionState::Full), ("strict", SessionState::Strict), ("off", SessionState::Off)];
const LOG_FORMATS: &[(&str, LogFormat)] = &[("text", LogFormat::Text), ("json", LogFormat::Json)];
const LOG_LEVELS: &[(&str, tracing::Level)] = &[
    ("error", tracing::Level::ERROR),
    ("warn", tracing::Level::WARN),
    ("info", tracing::Level::INFO),
    ("debug", tracing::Level::DEBUG),
    ("trace", tracing::Level::TRACE),
];
