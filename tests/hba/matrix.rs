//! Each method, by each way, with each kind of user and proof: PostgreSQL and pgweir, given the same rules, say the same.
//!
//! Each method has a database of its own, so that one text of rules holds them all. Behind pgweir stands a second
//! PostgreSQL with the same users, which trusts pgweir where the client needs no password. There are two pgweirs: one that
//! was told of the users, and one that looks them up.

use futures_util::future::join_all;
use pgweir::demo::cluster::{Cluster, Recipe, SUPERUSER};
use pgweir::demo::pooler::Pooler;
use pgweir::net::tls::outbound::{Mode, Settings};
use pgweir::server::upstream::Host;

use crate::authority::{Authority, Folder};
use crate::kit::{Login, Outcome, recipe, recipe_with_tls, run, start, tcp, tls};

/// The rules that both get. The database is the method.
const HBA: &str = "\
local all          postgres       trust
host  all          postgres  all  scram-sha-256
local scram        all            scram-sha-256
host  scram        all       all  scram-sha-256
local md5          all            md5
host  md5          all  127.0.0.0 255.255.255.0 md5
local \"password\" all            password
host  \"password\" all       all  password
local trust        all            trust
host  trust        all       all  trust
local peer         all            peer map=everybody
host  peer         all       all  reject
local peer_exact   all            peer
hostssl cert       all       all  cert
hostssl cert_map   all       all  cert map=everybody
hostssl verify_ca   all  127.0.0.1/32 scram-sha-256 clientcert=verify-ca
hostssl verify_full all  127.0.0.1/32 scram-sha-256 clientcert=verify-full
hostssl trust_full  all  127.0.0.1/32 trust clientcert=verify-full
hostssl tls_only    all      all  scram-sha-256
hostnossl plain_only all,ok  all  scram-sha-256
host  elsewhere    all 10.0.0.0/8 trust
local some_reject  expired        reject
local some_reject  all            scram-sha-256
";

const DATABASES: [&str; 16] = [
    "scram",
    "md5",
    "password",
    "trust",
    "peer",
    "peer_exact",
    "cert",
    "cert_map",
    "verify_ca",
    "verify_full",
    "trust_full",
    "tls_only",
    "plain_only",
    "elsewhere",
    "some_reject",
    "nowhere_in_the_rules",
];
/// Those in which a client needs no password, and pgweir has none to show.
const WITHOUT_PASSWORD: &str = "trust,peer,peer_exact,cert,cert_map,trust_full";

const ROLES: &str = "
    create role ok login password 'right';
    create role expired login password 'right' valid until '2001-01-01';
    create role nologin nologin password 'right';
    set password_encryption = md5;
    create role hashed login password 'right'
";
/// `unknown` has no role anywhere, and is unknown to pgweir.
const USERS: [&str; 4] = ["ok", "expired", "nologin", "unknown"];
/// All that the database knows of them is an md5 hash. Whoever has the password itself could let them in by SCRAM, too.
const HASHED: &str = "hashed";

/// Whose certificate is shown in place of one's own. The map makes `ok` of it.
const SOMEBODY: &str = "somebody-ok";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Plain,
    Tls(Shown),
    Direct(Shown),
    Unix,
}

/// The certificate that a client shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    Nothing,
    ItsOwn,
    SomebodyElses,
}

impl Way {
    fn all() -> impl Iterator<Item = Self> {
        let shown = [Shown::Nothing, Shown::ItsOwn, Shown::SomebodyElses];
        [Self::Plain, Self::Unix].into_iter().chain(shown.map(Self::Tls)).chain(shown.map(Self::Direct))
    }

    /// The same for a PostgreSQL before 17, which has no direct TLS: the rules don't know the difference.
    fn for_any_version(self) -> Self {
        match self {
            Self::Direct(shown) => Self::Tls(shown),
            way => way,
        }
    }
}

/// Where one of the two is reached.
struct Door {
    tcp: Host,
    unix: Host,
}

impl Door {
    async fn try_login(&self, case: &Case, way: Way, folder: &Folder) -> Outcome {
        let (host, tls) = match way {
            Way::Unix => (&self.unix, tls(Mode::Disable, false)),
            Way::Plain => (&self.tcp, tls(Mode::Disable, false)),
            Way::Tls(shown) => {
                (&self.tcp, with_certificate(tls(Mode::Require, false), shown, case.user, folder))
            }
            Way::Direct(shown) => {
                (&self.tcp, with_certificate(tls(Mode::Require, true), shown, case.user, folder))
            }
        };
        let Case { database, user, password } = *case;
        Login { host: host.clone(), tls, database, user, password }.run().await
    }
}

fn with_certificate(settings: Settings, shown: Shown, user: &str, folder: &Folder) -> Settings {
    let name = match shown {
        Shown::Nothing => return settings,
        Shown::ItsOwn => user,
        Shown::SomebodyElses => SOMEBODY,
    };
    let file = |kind: &str| Some(folder.path(&format!("{name}.{kind}")));
    Settings { cert_file: file("crt"), key_file: file("key"), ..settings }
}

/// What is compared.
fn code(outcome: &Outcome) -> &str {
    match outcome {
        Ok(()) => "in",
        Err((code, _)) => code,
    }
}

/// PostgreSQL tells whoever knows the password that the role may not log in. pgweir asked before, and says to such a one
/// what it says to strangers.
fn hides_who_may_log_in(expected: &Outcome, got: &Outcome) -> bool {
    let Err((_, text)) = expected else { return false };
    text == "role \"nologin\" is not permitted to log in" && code(got) == "28P01"
}

#[derive(Clone, Copy, Debug)]
struct Case {
    database: &'static str,
    user: &'static str,
    password: &'static str,
}

fn cases() -> impl Iterator<Item = Case> {
    DATABASES.into_iter().flat_map(|database| {
        let tries = USERS.map(|user| (user, "right")).into_iter();
        tries
            .chain([("ok", "wrong"), (HASHED, "right"), (HASHED, "wrong")])
            .map(move |(user, password)| Case { database, user, password })
    })
}

/// Who runs this test may be any user, by `peer`.
fn ident() -> String {
    let us = nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().expect("we have a name").name;
    let lines = USERS.map(|user| format!("everybody \"{us}\" {user}\n")).concat();
    format!("{lines}everybody /^somebody-(.*)$ \"\\1\"\neverybody expired expired\n")
}

async fn judge(ca: &Authority) -> Cluster {
    let mut recipe = Recipe { max_connections: Some(200), ..recipe_with_tls(ca) };
    recipe.hba = HBA.lines().map(str::to_owned).collect();
    // The usual rules would let everybody in behind ours.
    recipe.hba.push("local all all reject\nhost all all all reject".to_owned());
    recipe.files.push(("pg_ident.conf".to_owned(), ident()));
    filled(recipe).await
}

async fn upstream() -> Cluster {
    let trusting = format!("host {WITHOUT_PASSWORD} all 127.0.0.1/32 trust");
    let hashed = format!("host all {HASHED} 127.0.0.1/32 md5");
    filled(Recipe { hba: vec![trusting, hashed], max_connections: Some(200), ..recipe() }).await
}

async fn filled(recipe: Recipe) -> Cluster {
    let cluster = Cluster::new(&recipe).unwrap();
    let databases = DATABASES.map(|name| format!("create database \"{name}\"")).join(";");
    run(&cluster, &format!("{ROLES};{databases}")).await;
    cluster
}

/// `users`: how pgweir knows them. It listens in a folder of its own.
fn pgweir(folder: &Folder, name: &str, upstream: &Cluster, users: &str) -> (Pooler, Door) {
    let file = |name: &str| folder.path(name).display().to_string();
    let (hba, ident) = (folder.write("hba", HBA), folder.write("ident", &ident()));
    let text = format!(
        "limits.failed_logins_per_source = 'off'\n\
         databases.'*'.url = 'postgres://{}'\ndatabases.'*'.allow_md5 = true\n\
         auth.hba_file = {hba:?}\nauth.ident_file = {ident:?}\n{users}\n\
         [tls.client]\nmode = 'allow'\ncert_file = {:?}\nkey_file = {:?}\nca_file = {:?}\n",
        upstream.address(),
        file("pgweir.crt"),
        file("pgweir.key"),
        file("ca.crt"),
    );
    let directory = folder.path(name);
    std::fs::create_dir(&directory).unwrap();
    let pooler = start(folder, &text, &["--listen", &format!("unix:{}", directory.display())]);
    let door = Door { tcp: tcp(pooler.address()), unix: Host::Unix { directory, port: 6432 } };
    (pooler, door)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_method_by_every_way_for_everybody() {
    let (ca, folder) = (Authority::new("ca"), Folder::new());
    folder.write("ca.crt", &ca.certificate());
    folder.write_pair("pgweir", &ca.issue(&["localhost"]));
    for name in USERS.into_iter().chain([HASHED, SOMEBODY]) {
        folder.write_pair(name, &ca.issue_to(name));
    }
    let (judge, upstream) = (judge(&ca).await, upstream().await);
    let passwords = USERS[..3].iter().map(|user| format!("users.{user}.password = 'right'\n"));
    let (told, by_list) = pgweir(&folder, "told", &upstream, &passwords.collect::<String>());
    let asks = format!(
        "auth.user = '{SUPERUSER}'\nauth.password = '{}'\nauth.dbname = '{SUPERUSER}'",
        upstream.password()
    );
    let (asking, by_lookup) = pgweir(&folder, "asking", &upstream, &asks);
    let directory = judge.socket_directory().into();
    let postgresql =
        Door { tcp: tcp(judge.address()), unix: Host::Unix { directory, port: judge.address().port() } };

    let (mut differences, mut let_in) = (Vec::new(), Vec::new());
    for way in Way::all() {
        let outcomes = cases().map(async |case| {
            let expected = postgresql.try_login(&case, way.for_any_version(), &folder).await;
            let asked = by_lookup.try_login(&case, way, &folder).await;
            let told = match case.user {
                HASHED => expected.clone(),
                _ => by_list.try_login(&case, way, &folder).await,
            };
            (case, expected, [told, asked])
        });
        for (case, expected, got) in join_all(outcomes).await {
            for (how, got) in ["told", "asking"].into_iter().zip(got) {
                let hidden = how == "asking" && hides_who_may_log_in(&expected, &got);
                if code(&expected) != code(&got) && !hidden {
                    differences.push(format!("{case:?} {way:?}: PostgreSQL {expected:?}, {how} {got:?}"));
                }
                if got.is_ok() {
                    let_in.push((case.database, way));
                }
            }
        }
    }
    assert!(differences.is_empty(), "{}\n{}\n{}", differences.join("\n"), told.log(), asking.log());
    // Not by refusing everybody alike.
    for (database, way) in [
        ("scram", Way::Plain),
        ("md5", Way::Direct(Shown::Nothing)),
        ("password", Way::Unix),
        ("trust", Way::Tls(Shown::Nothing)),
        ("peer", Way::Unix),
        ("cert", Way::Direct(Shown::ItsOwn)),
        ("cert_map", Way::Tls(Shown::SomebodyElses)),
        ("verify_ca", Way::Tls(Shown::SomebodyElses)),
        ("verify_full", Way::Direct(Shown::ItsOwn)),
        ("trust_full", Way::Tls(Shown::ItsOwn)),
        ("plain_only", Way::Plain),
        ("some_reject", Way::Unix),
    ] {
        assert!(let_in.contains(&(database, way)), "nobody got into {database} by {way:?}");
    }
    assert!(!let_in.iter().any(|(database, _)| ["elsewhere", "nowhere_in_the_rules"].contains(database)));
}
