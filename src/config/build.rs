//! From the draft to the plan: what keys mean together, and whether they may stand together.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::auth::respond::ChannelBinding;
use crate::auth::secret::Secret;
use crate::auth::users::{Method, Users, is_password};
use crate::net::tls::outbound::{self, is_loopback};
use crate::pool::settings::PoolSettings;
use crate::server::upstream::{AllowedMethods, Host, PasswordCommand, Upstream};

use super::address::{Listen, TcpAddress};
use super::keys::{DatabaseKeys, Key, Scope};
use super::layer::Draft;
use super::lookup::lookup;
use super::plan::{Database, Databases, Plan};
use super::report::{Problem, Report};
use super::source::url;
use super::tls::{self, ServerTls};

/// The wildcard's name.
pub(super) const WILDCARD: &str = "*";
/// What PostgreSQL keeps of a name.
const MAX_NAME: usize = 63;

/// Less than the shortest life of a cloud's token, a quarter of an hour.
const PASSWORD_TTL: Duration = Duration::from_secs(600);

const NO_UPSTREAM: &str = "no upstream: give a URL (pgweir postgres://user:password@host:5432/name), or set \
                           PGWEIR_UPSTREAM or DATABASE_URL, or write [databases.NAME] in a file for --config";
const NO_USER: &str = "no client could log in: give the upstream URL a user and a password, or add [users.NAME] with \
                       a password, or auth.user to look users up, or set auth.method = \"trust\"";

/// The plan that `draft` means. `problems`: what the sources found wrong already.
/// `passfile`: where libpq would look for passwords.
pub(super) fn build(
    draft: &mut Draft,
    mut problems: Vec<Problem>,
    passfile: Option<PathBuf>,
) -> Result<Plan, Report> {
    problems.append(&mut draft.take_problems());
    let mut plan = draft.process.clone();
    check_pool(draft, &Scope::Process, &plan.pool, &mut problems);
    plan.users = users(draft, &mut problems);
    if let Some(reason) = tls::problem_with_clients(&plan.client_tls) {
        let key = Key::new(Scope::Process, "tls.client.cert_file");
        problems.push(Problem::new(&draft.origin(&key), "tls.client", reason));
    }
    check_auth(draft, &plan, &mut problems);
    plan.databases = databases(draft, &plan, passfile.as_deref(), &mut problems);
    // What is missing can be told only once all that is there was understood.
    if problems.is_empty() {
        if plan.databases.iter().next().is_none() {
            problems.push(Problem::general(NO_UPSTREAM));
        } else if nobody_can_log_in(&plan) {
            problems.push(Problem::general(NO_USER));
        }
    }
    Report::check(problems)?;
    plan.warnings = warnings(&plan);
    Ok(plan)
}

/// Whether the rules can be used. They are read once more at the start, and again at SIGHUP.
fn check_auth(draft: &Draft, plan: &Plan, problems: &mut Vec<Problem>) {
    let key = |name| Key::new(Scope::Process, name);
    if plan.auth.has_short_secret() {
        let key = key("auth.mock_secret");
        problems.push(Problem::new(
            &draft.origin(&key),
            &key,
            "it takes at least 16 bytes, chosen at random",
        ));
    }
    let given = ["auth.hba_file", "auth.hba", "auth.ident_file", "auth.ident"].map(key);
    let place =
        given.into_iter().find(|key| draft.origins.contains_key(key)).unwrap_or_else(|| key("auth.method"));
    let mut refuse = |reason: String| problems.push(Problem::new(&draft.origin(&place), &place, reason));
    if plan.auth.has_rules() && draft.origins.contains_key(&key("auth.method")) {
        refuse("auth.method says it for everybody, rules for each: give one of them".to_owned());
    }
    if let Err(error) = plan.auth.rules(plan.client_tls.verifies_clients()) {
        refuse(error.to_string());
    }
}

fn nobody_can_log_in(plan: &Plan) -> bool {
    let looks_up = plan.databases.iter().any(|database| database.lookup.is_some());
    plan.users.secrets.is_empty() && plan.auth.needs_passwords() && !looks_up
}

/// Configured users, and the users of URLs. Two URLs may not differ about one user.
fn users(draft: &Draft, problems: &mut Vec<Problem>) -> Users {
    let Users { mut secrets, mut others } = Users::default();
    for (name, user) in &draft.users {
        let key = |rest| Key::new(Scope::User(name.clone()), rest);
        check_name(draft, &key("password"), name, problems);
        if let Some(secret) = &user.password {
            secrets.insert(name.clone(), secret.clone());
        }
        let further = user.other_passwords.clone().unwrap_or_default();
        if !further.is_empty() && !user.password.iter().chain(&further).all(is_password) {
            let reason =
                "several passwords have to be plain ones: a verifier or hash can't stand beside others";
            let key = key("other_passwords");
            problems.push(Problem::new(&draft.origin(&key), &key, reason));
        } else if !further.is_empty() && user.password.is_none() {
            let key = key("other_passwords");
            problems.push(Problem::new(
                &draft.origin(&key),
                &key,
                "these are others than password: give that, too",
            ));
        }
        others.insert(name.clone(), further);
    }
    for (database, keys) in &draft.databases {
        let url = keys.url.as_ref();
        let Some((user, password)) = url.and_then(|url| url.user.as_ref().zip(url.password.as_ref())) else {
            continue;
        };
        if draft.users.contains_key(user) {
            continue;
        }
        match secrets.insert(user.clone(), password.clone()) {
            Some(other) if other != *password => {
                let key = Key::new(Scope::Database(database.clone()), "url");
                let reason = format!(
                    "another URL has another password for user \"{user}\": say which one clients give in \
                     [users.NAME], and use user and password in place of the URL's"
                );
                problems.push(Problem::new(&draft.origin(&key), &key, reason));
            }
            _ => {}
        }
    }
    Users { secrets, others }
}

fn databases(draft: &Draft, plan: &Plan, passfile: Option<&Path>, problems: &mut Vec<Problem>) -> Databases {
    let mut databases = Databases::default();
    for (name, keys) in &draft.databases {
        let scope = Scope::Database(name.clone());
        let key = |rest| Key::new(scope.clone(), rest);
        check_name(draft, &key("url"), name, problems);
        if keys.password.is_some() && keys.password_command.is_some() {
            let reason = "password and password_command can't both be given";
            let key = key("password_command");
            problems.push(Problem::new(&draft.origin(&key), &key, reason));
        }
        let keys = &with_wildcards_place(keys, draft.databases.get(WILDCARD));
        let pool = pool(draft, &scope, keys);
        check_pool(draft, &scope, &pool, problems);
        let hosts = match hosts(keys) {
            Ok(hosts) => hosts,
            Err(error) => {
                problems.push(Problem::new(&draft.origin(&key("host")), key("host"), error));
                continue;
            }
        };
        let place = if keys.host.is_some() { key("host") } else { key("url") };
        if hosts.is_empty() && problems.is_empty() {
            let reason = format!("no host: give url or host in [databases.{}]", super::keys::toml_key(name));
            problems.push(Problem::new(&draft.origin(&place), &place, reason));
        }
        if let Some(own) = plan.listen.iter().find(|own| hosts.iter().any(|host| is_same(own, host))) {
            problems.push(Problem::new(&draft.origin(&place), &place, loop_reason(own)));
        }
        let tls = server_tls(keys, &draft.process.server_tls);
        let tls = tls.settings().unwrap_or_else(|reason| {
            problems.push(Problem::new(&draft.origin(&key("tls.mode")), key("tls"), reason));
            Default::default()
        });
        let mut database = database(name, keys, hosts, pool, tls);
        database.lookup = lookup(keys, &draft.process.lookup, &database, &plan.users, passfile);
        database.upstream.passfile = database.upstream.passfile.or_else(|| passfile.map(Path::to_owned));
        match name.as_str() {
            WILDCARD => databases.wildcard = Some(database),
            _ => drop(databases.named.insert(name.clone(), database)),
        }
    }
    databases
}

/// A database that says nothing of its place is where the wildcard is, under its own name.
fn with_wildcards_place(keys: &DatabaseKeys, wildcard: Option<&DatabaseKeys>) -> DatabaseKeys {
    let mut keys = keys.clone();
    if let Some(wildcard) = wildcard.filter(|_| keys.url.is_none() && keys.host.is_none()) {
        keys.url = wildcard.url.clone().map(|url| url::Url { database: None, ..url });
        keys.host = wildcard.host.clone();
        keys.port = keys.port.or(wildcard.port);
        if keys.user.is_none() {
            (keys.user, keys.password) = (wildcard.user.clone(), wildcard.password.clone());
        }
        if keys.password.is_none() && keys.password_command.is_none() {
            keys.password_command = wildcard.password_command.clone();
        }
        keys.password_ttl = keys.password_ttl.or(wildcard.password_ttl);
        keys.passfile = keys.passfile.or_else(|| wildcard.passfile.clone());
        keys.require_auth = keys.require_auth.or_else(|| wildcard.require_auth.clone());
        keys.tls = keys.tls.over(&wildcard.tls);
        keys.lookup = keys.lookup.over(&wildcard.lookup);
        keys.allow_md5 = keys.allow_md5.or(wildcard.allow_md5);
        keys.allow_cleartext = keys.allow_cleartext.or(wildcard.allow_cleartext);
        for (name, value) in &wildcard.parameters {
            if !keys.parameters.iter().any(|(known, _)| known == name) {
                keys.parameters.push((name.clone(), value.clone()));
            }
        }
    }
    keys
}

/// The database's own keys, its URL, `[tls.server]`.
fn server_tls(keys: &DatabaseKeys, of_all: &ServerTls) -> ServerTls {
    let url = keys.url.as_ref().map(|url| url.tls.clone()).unwrap_or_default();
    keys.tls.clone().over(&url).over(of_all)
}

fn database(
    name: &str,
    keys: &DatabaseKeys,
    hosts: Vec<Host>,
    pool: PoolSettings,
    (tls, channel_binding): (outbound::Settings, ChannelBinding),
) -> Database {
    let url = keys.url.as_ref();
    let named = url.and_then(|url| url.database.clone());
    // The wildcard stands for whatever name the client asks for; only `dbname` sends them all to one.
    let database = keys.dbname.clone().or_else(|| named.clone().filter(|_| name != WILDCARD));
    let mut parameters = url.map(|url| url.parameters.clone()).unwrap_or_default();
    parameters.retain(|(known, _)| !keys.parameters.iter().any(|(refined, _)| refined == known));
    parameters.extend(keys.parameters.iter().cloned());
    let upstream = Upstream {
        hosts,
        database,
        user: keys.user.clone(),
        password: keys.password.clone(),
        parameters,
        password_command: keys
            .password_command
            .clone()
            .map(|words| PasswordCommand { words, ttl: keys.password_ttl.unwrap_or(PASSWORD_TTL) }),
        passfile: keys.passfile.clone().or_else(|| url.and_then(|url| url.passfile.clone())),
        allowed: allowed_methods(keys),
        tls,
        channel_binding,
        attrs: url.and_then(|url| url.attrs).unwrap_or_default(),
    };
    let exact = (name != WILDCARD).then(|| name.to_owned());
    let probe = upstream.database.clone().or(named).or(exact);
    Database {
        name: name.to_owned(),
        upstream,
        pool,
        max_servers: keys.max_servers.flatten(),
        lookup: None,
        probe,
    }
}

/// `require_auth` beside the URL counts more than the one in it.
fn allowed_methods(keys: &DatabaseKeys) -> AllowedMethods {
    let otherwise = AllowedMethods {
        md5: keys.allow_md5.unwrap_or_default(),
        cleartext: keys.allow_cleartext.unwrap_or_default(),
        ..AllowedMethods::default()
    };
    let of_url = || keys.url.as_ref().and_then(|url| url.require_auth.as_ref());
    let required = keys.require_auth.as_ref().or_else(of_url);
    required.map_or(otherwise, |required| required.applied_to(otherwise))
}

/// `host` and `port` refine what the URL says.
fn hosts(keys: &DatabaseKeys) -> Result<Vec<Host>, url::UrlError> {
    let port = keys.port.and_then(|port| u16::try_from(port).ok());
    if let Some(host) = &keys.host {
        let names: Vec<_> = host.split(',').map(|name| name.trim().to_owned()).collect();
        return url::pair_up(&names, &[port]);
    }
    let with_port = |mut host: Host| {
        match &mut host {
            Host::Tcp { port: own, .. } | Host::Unix { port: own, .. } => *own = port.unwrap_or(*own),
        }
        host
    };
    let of_url = keys.url.iter().flat_map(|url| url.hosts.iter().cloned());
    Ok(of_url.map(with_port).collect())
}

/// The URL's `connect_timeout` counts unless the database has one of its own.
fn pool(draft: &Draft, scope: &Scope, keys: &DatabaseKeys) -> PoolSettings {
    let of_url = keys.url.as_ref().and_then(|url| url.connect_timeout);
    let own = draft.origins.contains_key(&Key::new(scope.clone(), "pool.connect_timeout"));
    let connect_timeout = of_url.filter(|_| !own).unwrap_or(keys.pool.connect_timeout);
    PoolSettings { connect_timeout, ..keys.pool.clone() }
}

fn check_pool(draft: &Draft, scope: &Scope, pool: &PoolSettings, problems: &mut Vec<Problem>) {
    let origin = |name| draft.origins.get(&Key::new(scope.clone(), name));
    // An inherited pair is told once, where it stands.
    let Some(origin) = origin("pool.min_size").or_else(|| origin("pool.size")) else { return };
    if pool.min_size > pool.size {
        let reason = format!("min_size ({}) is more than size ({})", pool.min_size, pool.size);
        problems.push(Problem::new(origin, Key::new(scope.clone(), "pool.min_size"), reason));
    }
}

fn check_name(draft: &Draft, key: &Key, name: &str, problems: &mut Vec<Problem>) {
    let of_owner = |(known, origin): (&Key, _)| (known.scope == key.scope).then_some(origin);
    let origin = || draft.origins.iter().find_map(of_owner).cloned().unwrap_or_default();
    let reason = match name {
        "" => "a name must not be empty".to_owned(),
        long if long.len() > MAX_NAME => format!("a name has at most {MAX_NAME} bytes, as in PostgreSQL"),
        nul if nul.contains('\0') => "a name must not contain NUL".to_owned(),
        _ => return,
    };
    problems.push(Problem::new(&origin(), key, reason));
}

fn loop_reason(own: &Listen) -> String {
    format!(
        "this is pgweir's own address ({own}), so it would connect to itself: give the address of PostgreSQL, as an \
         argument or in PGWEIR_UPSTREAM, or set listen to another one"
    )
}

/// By their text alone: no name is resolved before start.
fn is_same(own: &Listen, upstream: &Host) -> bool {
    match (own, upstream) {
        (Listen::Tcp(TcpAddress { host, port }), Host::Tcp { name, port: upstream_port }) => {
            let reaches_loopback = is_loopback(host) || is_any(host);
            let names_loopback = is_loopback(name) || is_any(name);
            port == upstream_port && (host.eq_ignore_ascii_case(name) || reaches_loopback && names_loopback)
        }
        (Listen::Unix { directory, port }, Host::Unix { directory: upstream, port: upstream_port }) => {
            port == upstream_port && directory == upstream
        }
        _ => false,
    }
}

fn is_any(host: &str) -> bool {
    matches!(host, "0.0.0.0" | "::")
}

fn warnings(plan: &Plan) -> Vec<String> {
    let mut warnings = Vec::new();
    if plan.auth.method == Method::ScramSha256 && !plan.auth.has_rules() {
        let mut hashed: Vec<_> =
            plan.users.secrets.iter().filter(|(_, s)| is_md5(s)).map(|(name, _)| name).collect();
        hashed.sort();
        let told = |name: &String| {
            format!("user {name:?} can't log in: an md5 hash can't answer auth.method = \"scram-sha-256\"")
        };
        warnings.extend(hashed.into_iter().map(told));
    }
    let open = |address: &Listen| matches!(address, Listen::Tcp(tcp) if !is_loopback(&tcp.host));
    let is_open = plan.listen.iter().any(open);
    if plan.auth.allow_remote_trust && is_open {
        warnings
            .push("auth.allow_remote_trust lets everyone in whom a rule or auth.method trusts".to_owned());
    } else if plan.auth.method == Method::Trust && !plan.auth.has_rules() && is_open {
        let told = "auth.method = \"trust\" lets in clients of this machine only (auth.allow_remote_trust)";
        warnings.push(told.to_owned());
    }
    warnings.extend(tls::warning(plan));
    warnings.extend(tls::warning_of_cleartext(plan));
    warnings
}

fn is_md5(secret: &Secret) -> bool {
    let hash = secret.expose().strip_prefix("md5");
    hash.is_some_and(|hash| hash.len() == 32 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
