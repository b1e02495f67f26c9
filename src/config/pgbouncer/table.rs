//! Every setting of `[pgbouncer]`, one row each: its default there, and what it is here.

/// A setting.
pub struct Known {
    pub name: &'static str,
    pub default: &'static str,
    pub to: To,
}

/// What a setting is here.
#[derive(Clone, Copy)]
pub enum To {
    /// The same whole number, under this key.
    Count(&'static str, Zero),
    /// Seconds there, a duration here.
    Seconds(&'static str, Zero),
    /// The same word.
    Word(&'static str),
    /// The name of a file; none there is none here.
    File(&'static str),
    /// The same text; none there is none here.
    Text(&'static str),
    /// It takes more than its own value to translate it.
    Composed,
    /// Nothing is lost.
    Needless(&'static str),
    /// Something is: the note says what.
    Missing(&'static str),
}

/// What 0 means there.
#[derive(Clone, Copy)]
pub enum Zero {
    /// Nothing special.
    Number,
    /// Off, which is written so here.
    Off,
    /// Something that is not to be had here: take this value instead, and say so.
    Instead(&'static str, &'static str),
}

use To::{Composed, Count, File, Missing, Needless, Seconds, Text, Word};
use Zero::{Instead, Number, Off};

const fn known(name: &'static str, default: &'static str, to: To) -> Known {
    Known { name, default, to }
}

const TLS: To = Missing("TLS 1.2 and 1.3 with the ciphers that rustls holds safe");
const CONSOLE: To = Missing("the admin console is not built yet");
/// PgBouncer's query where the file names none.
pub(super) const AUTH_QUERY: &str = "SELECT rolname, CASE WHEN rolvaliduntil < now() THEN NULL ELSE rolpassword END FROM pg_authid WHERE rolname=$1 AND rolcanlogin";
const OF_HBA: To = Needless("it counts with auth_type = hba");
const SYSLOG: To = Missing("pgweir logs to standard error; systemd or the container keeps it");
const LOGS: To = Needless("log.level decides what is logged");
const DNS: To = Missing("names are resolved at each connection attempt");
const TRACKED: To = Needless("session state follows each client (pool.session_state)");
const INNER: To = Needless("it tunes PgBouncer's own loop");
const KEEPALIVE: To = Missing("the times of TCP keepalive are pgweir's own");
const RESET: To = Needless("a server is handed on only when provably clean");

/// The rows, in the order in which `import` prints PgBouncer's defaults.
#[rustfmt::skip]
pub static SETTINGS: &[Known] = &[
    known("listen_addr", "", Composed),
    known("listen_port", "6432", Composed),
    known("unix_socket_dir", "/tmp", Composed),
    known("pool_mode", "session", Word("pool.mode")),
    known("max_client_conn", "100", Count("limits.max_clients", Instead("1", "0 admits nobody there"))),
    known("default_pool_size", "20", Count("pool.size", Instead("100000", "0 is no limit there"))),
    known("min_pool_size", "0", Count("pool.min_size", Number)),
    known("reserve_pool_size", "0", Count("pool.reserve_size", Number)),
    known("reserve_pool_timeout", "5", Seconds("pool.reserve_after", Instead("24h", "0 switches the reserve off there"))),
    known("max_db_connections", "0", Count("limits.max_servers_per_database", Off)),
    known("max_user_connections", "0", Count("limits.max_servers_per_user", Off)),
    known("max_prepared_statements", "200", Count("pool.server_statements", Instead("200", "prepared statements always work; 0 switches them off there"))),
    known("query_wait_timeout", "120", Seconds("pool.queue_timeout", Instead("24h", "0 is for ever there"))),
    known("server_lifetime", "3600", Seconds("pool.server_lifetime", Instead("1s", "0 is one use there"))),
    known("server_idle_timeout", "600", Seconds("pool.server_idle_timeout", Off)),
    known("server_connect_timeout", "15", Seconds("pool.connect_timeout", Instead("1h", "0 is for ever there"))),
    known("client_login_timeout", "60", Seconds("timeouts.login", Instead("1h", "0 is for ever there"))),
    known("client_idle_timeout", "0", Seconds("timeouts.client_idle", Off)),
    known("query_timeout", "0", Seconds("timeouts.query", Off)),
    known("transaction_timeout", "0", Seconds("timeouts.transaction", Off)),
    known("idle_transaction_timeout", "0", Seconds("timeouts.idle_in_transaction", Off)),
    known("auth_type", "md5", Composed),
    known("auth_file", "", Composed),
    known("auth_hba_file", "", OF_HBA),
    known("auth_ident_file", "", OF_HBA),
    known("verbose", "0", Composed),
    known("client_tls_sslmode", "disable", Word("tls.client.mode")),
    known("server_tls_sslmode", "prefer", Word("tls.server.mode")),
    known("admin_users", "", CONSOLE),
    known("application_name_add_host", "0", Missing("application_name is passed on as it is")),
    known("auth_dbname", "", Text("auth.dbname")),
    known("auth_ldap_options", "", Missing("LDAP is not built yet")),
    known("auth_query", AUTH_QUERY, Composed),
    known("auth_user", "", Text("auth.user")),
    known("autodb_idle_timeout", "3600", Needless("an unused database costs nothing")),
    known("cancel_wait_timeout", "10", Needless("a cancel request needs no server of the pool")),
    known("client_tls_ca_file", "", File("tls.client.ca_file")),
    known("client_tls_cert_file", "", File("tls.client.cert_file")),
    known("client_tls_ciphers", "", TLS),
    known("client_tls_dheparams", "", TLS),
    known("client_tls_ecdhcurve", "", TLS),
    known("client_tls_key_file", "", File("tls.client.key_file")),
    known("client_tls_protocols", "", TLS),
    known("client_tls13_ciphers", "", TLS),
    known("conffile", "", Missing("name the file with --config")),
    known("disable_pqexec", "0", Missing("simple queries can't be forbidden")),
    known("dns_max_ttl", "15", DNS),
    known("dns_nxdomain_ttl", "15", DNS),
    known("dns_zone_check_period", "0", DNS),
    known("ignore_startup_parameters", "", Needless("startup parameters are honoured, none is refused")),
    known("job_name", "", Needless("it names a Windows service")),
    known("listen_backlog", "128", INNER),
    known("log_connections", "1", LOGS),
    known("log_disconnections", "1", LOGS),
    known("log_pooler_errors", "1", LOGS),
    known("log_stats", "1", Needless("/metrics has these numbers")),
    known("logfile", "", SYSLOG),
    known("login_notify_message", "", Missing("no notice is sent at login")),
    known("max_db_client_connections", "0", Missing("clients are bounded over all databases only (limits.max_clients)")),
    known("max_packet_size", "2147483647", Missing("limits.statement_size bounds what must be kept; all else streams")),
    known("max_user_client_connections", "0", Missing("clients are bounded over all users only (limits.max_clients)")),
    known("peer_id", "0", Missing("peering is not built yet")),
    known("pidfile", "", Missing("pgweir stays in the foreground and writes no pid file")),
    known("pkt_buf", "4096", INNER),
    known("pool_idle_timeout", "0", Needless("an unused pool costs nothing")),
    known("query_wait_notify", "5", Missing("a waiting client gets no notice")),
    known("resolv_conf", "", DNS),
    known("sbuf_loopcnt", "5", INNER),
    known("scram_iterations", "4096", Needless("verifiers keep the iterations that they have")),
    known("server_check_delay", "30", RESET),
    known("server_check_query", "", RESET),
    known("server_fast_close", "0", RESET),
    known("server_login_retry", "15", Needless("attempts back off from 50 ms to 2 s")),
    known("server_reset_query", "", RESET),
    known("server_reset_query_always", "0", RESET),
    known("server_round_robin", "0", Missing("the server used last is used first")),
    known("server_tls_ca_file", "", File("tls.server.ca_file")),
    known("server_tls_cert_file", "", File("tls.server.cert_file")),
    known("server_tls_ciphers", "", TLS),
    known("server_tls_key_file", "", File("tls.server.key_file")),
    known("server_tls_protocols", "", TLS),
    known("server_tls13_ciphers", "", TLS),
    known("service_name", "", Needless("it names a Windows service")),
    known("so_reuseport", "0", Needless("one process uses all cores")),
    known("stats_period", "60", Needless("/metrics has these numbers")),
    known("stats_users", "", CONSOLE),
    known("suspend_timeout", "10", CONSOLE),
    known("syslog", "0", SYSLOG),
    known("syslog_facility", "", SYSLOG),
    known("syslog_ident", "", SYSLOG),
    known("tcp_defer_accept", "1", INNER),
    known("tcp_keepalive", "1", KEEPALIVE),
    known("tcp_keepcnt", "0", KEEPALIVE),
    known("tcp_keepidle", "0", KEEPALIVE),
    known("tcp_keepintvl", "0", KEEPALIVE),
    known("tcp_socket_buffer", "0", INNER),
    known("tcp_user_timeout", "0", KEEPALIVE),
    known("track_extra_parameters", "", TRACKED),
    known("unix_socket_group", "", Missing("the socket's directory decides who may connect")),
    known("unix_socket_mode", "0777", Missing("the socket's directory decides who may connect")),
    known("user", "", Missing("start pgweir as that user; it doesn't switch")),
];

/// `None`: PgBouncer knows no such setting.
pub fn find(name: &str) -> Option<&'static Known> {
    SETTINGS.iter().find(|known| known.name == name)
}

/// PgBouncer's name for one of our keys, if one setting is just that.
pub fn name_of(key: &str) -> Option<&'static str> {
    let same = |known: &&Known| match known.to {
        Count(here, _) | Seconds(here, _) | Word(here) | File(here) | Text(here) => here == key,
        Composed | Needless(_) | Missing(_) => false,
    };
    SETTINGS.iter().find(same).map(|known| known.name)
}
