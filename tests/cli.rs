//! The binary from outside: arguments and environment in, text and exit codes out.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output};
use std::thread;

const URL: &str = "postgres://app:hunter2@db:5433/shop";

/// Runs with an environment that holds nothing but `variables`.
fn pgweir(arguments: &[&str], variables: &[(&str, &str)]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgweir"));
    let Output { status, stdout, stderr } =
        command.args(arguments).env_clear().envs(variables.iter().copied()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { code: status.code().unwrap(), out: text(stdout), err: text(stderr) }
}

#[derive(Debug)]
struct Run {
    code: i32,
    out: String,
    err: String,
}

impl Run {
    #[track_caller]
    fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }

    fn line(&self, start: &str) -> Vec<&str> {
        let line = self.out.lines().find(|line| line.starts_with(start));
        line.unwrap_or_else(|| panic!("no line {start} in {}", self.out)).split_whitespace().collect()
    }
}

fn file(name: &str, text: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    std::fs::write(&path, text).unwrap();
    (directory, path.to_str().unwrap().to_owned())
}

#[test]
fn auth_sql_prints_a_script_for_the_role_that_asks() {
    let granted = |arguments: &[&str], variables| {
        let run = pgweir(&[&["auth-sql"], arguments].concat(), variables).ends(0);
        run.line("GRANT EXECUTE").last().unwrap().to_string()
    };
    assert_eq!(granted(&["--role", "asker"], &[]), "\"asker\";");
    assert_eq!(granted(&[URL], &[]), "\"app\";");
    assert_eq!(granted(&[], &[("DATABASE_URL", URL)]), "\"app\";");
    assert_eq!(granted(&[URL], &[("PGWEIR_AUTH__USER", "u\"x")]), "\"u\"\"x\";");
    pgweir(&["auth-sql"], &[]).ends(2);
    pgweir(&["auth-sql", "--role", ""], &[]).ends(2);
    let off = pgweir(&["auth-sql", URL], &[("PGWEIR_AUTH__QUERY", "off")]).ends(2);
    assert!(off.err.contains("--role"), "{}", off.err);
    assert!(pgweir(&["--help"], &[]).out.contains("auth-sql"));
}

#[test]
fn help_and_version() {
    let version = pgweir(&["--version"], &[]).ends(0);
    assert_eq!(version.out, format!("pgweir {}\n", env!("CARGO_PKG_VERSION")));
    let help = pgweir(&["--help"], &[]).ends(0).out;
    for word in [
        "[URL]",
        "--config",
        "--listen",
        "--http",
        "--pool-size",
        "--pool-mode",
        "--log-format",
        "--log-level",
    ] {
        assert!(help.contains(word), "{word} is not in\n{help}");
    }
    for word in ["check", "demo", "import", "healthcheck", "top", "completions", "man"] {
        assert!(help.contains(word), "{word} is not in\n{help}");
    }
}

#[test]
fn bad_usage_ends_with_2() {
    pgweir(&["--pool-siz", "3"], &[]).ends(2);
    pgweir(&["--config"], &[]).ends(2);
    pgweir(&["completions", "tcsh"], &[]).ends(2);
    let run = pgweir(&["db:5432"], &[]).ends(2);
    assert!(run.err.starts_with("error: URL: a URL must begin with postgres://"), "{run:?}");
    for arguments in [&["chekc"][..], &["--pool-size", "3", "check"]] {
        let run = pgweir(arguments, &[]).ends(2);
        assert!(run.err.ends_with("for the command write: pgweir check [OPTIONS]\n"), "{run:?}");
    }
}

#[test]
fn a_bad_configuration_starts_nothing_and_ends_with_2() {
    let (directory, path) = file("pgweir.toml", "[pool]\nsise = 3\n");
    let run = pgweir(&["--config", &path, "--pool-mode", "sesion"], &[("PGWEIR_POOL__SIZ", "3")]).ends(2);
    let here = format!("{}/", directory.path().display());
    assert_eq!(
        run.err.replace(&here, ""),
        "\
error: pool.sise: unknown key; did you mean \"size\"?
 --> pgweir.toml:2:1
  |
2 | sise = *
  | ^^^^

error: PGWEIR_POOL__SIZ: unknown variable; did you mean PGWEIR_POOL__SIZE?

error: --pool-mode: unknown word \"sesion\"; did you mean \"session\"?

3 problems: nothing was started
"
    );
    assert_eq!(run.out, "");
}

#[test]
fn without_an_upstream_it_says_what_to_give() {
    let run = pgweir(&[], &[]).ends(2);
    assert!(run.err.starts_with("error: no upstream: give a URL (pgweir postgres://"), "{run:?}");
}

#[test]
fn an_applications_database_url_that_is_ours_is_refused() {
    let run = pgweir(&[], &[("DATABASE_URL", "postgres://app:hunter2@localhost:6432/app")]).ends(2);
    assert!(run.err.contains("DATABASE_URL: this is pgweir's own address (127.0.0.1:6432)"), "{run:?}");
    assert!(run.err.contains("PGWEIR_UPSTREAM"), "{run:?}");
}

#[test]
fn check_shows_each_value_with_its_source() {
    let (_directory, path) =
        file("pgweir.toml", "[pool]\nsize = 3\nmin_size = 1\n[databases.\"My App\"]\npool.size = 4\n");
    let run = pgweir(
        &["check", "--config", &path, "--log-level", "debug", "--listen", "[::1]:1", "--listen", "unix:/run"],
        &[("PGWEIR_POOL__SIZE", "5"), ("PGWEIR_UPSTREAM", URL), ("DATABASE_URL", URL)],
    )
    .ends(0);
    assert_eq!(run.line("pool.size "), ["pool.size", "=", "5", "#", "environment", "PGWEIR_POOL__SIZE"]);
    assert_eq!(run.line("pool.min_size "), ["pool.min_size", "=", "1", "#", format!("{path}:3").as_str()]);
    assert_eq!(run.line("pool.mode "), ["pool.mode", "=", "\"transaction\"", "#", "default"]);
    assert_eq!(run.line("log.level "), ["log.level", "=", "\"debug\"", "#", "flag", "--log-level"]);
    assert_eq!(run.line("listen ")[2..], ["[\"[::1]:1\",", "\"unix:/run\"]", "#", "flag", "--listen"]);
    assert_eq!(run.line("databases.\"*\".url ")[2], "\"postgres://app:***@db:5433/shop\"");
    assert!(run.out.contains("# [databases.\"My App\"]: upper-casing would bend this name"), "{run:?}");
    assert!(
        run.out.contains("# Users that can log in: \"app\", those that the database knows (auth.query)\n"),
        "{run:?}"
    );
    assert!(run.out.contains("# DATABASE_URL is not used"), "{run:?}");
    assert!(!run.out.contains("hunter2"), "{run:?}");
}

#[test]
fn what_check_prints_is_toml() {
    let run = pgweir(&["check", URL], &[]).ends(0);
    let (_directory, path) = file("printed.toml", &run.out);
    let again = pgweir(&["check", "--config", &path], &[]).ends(0);
    let values = |out: &str| -> Vec<String> {
        let values = out.lines().map(|line| line.split('#').next().unwrap().trim().to_owned());
        values.filter(|value| !value.is_empty()).collect()
    };
    assert_eq!(values(&again.out), values(&run.out));
}

#[test]
fn import_prints_toml_and_complains_on_the_other_channel() {
    let (_directory, path) =
        file("pgbouncer.ini", "[databases]\na = host=h\n[pgbouncer]\nauth_type = trust\n");
    let run = pgweir(&["import", &path], &[]).ends(0);
    let (_other, toml) = file("imported.toml", &run.out);
    pgweir(&["check", "--config", &toml], &[]).ends(0);
    pgweir(&["check", "--config", &path], &[]).ends(0);

    let (_directory, path) = file("pgbouncer.ini", "[databases]\na = host=h\n[pgbouncer]\nauth_type = hba\n");
    let run = pgweir(&["import", &path], &[]).ends(2);
    assert_eq!(run.err, format!("{path}:4:1: auth_type: hba needs auth_hba_file\n"));
    assert!(run.out.contains("[databases.a]"), "{run:?}");
}

#[test]
fn completions_and_the_manual_page() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(pgweir(&["completions", shell], &[]).ends(0).out.contains("pool-mode"));
    }
    assert!(pgweir(&["man"], &[]).ends(0).out.contains(".TH pgweir 1"));
}

/// Answers one request with `status`, and returns it.
fn endpoint(status: &'static str) -> (String, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let served = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            request.push(byte[0]);
        }
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").unwrap();
        String::from_utf8(request).unwrap()
    });
    (address, served)
}

#[test]
fn healthcheck_asks_the_endpoint() {
    let (address, served) = endpoint("200 OK");
    pgweir(&["healthcheck"], &[("PGWEIR_HTTP__LISTEN", &address)]).ends(0);
    assert!(served.join().unwrap().starts_with("GET /healthz HTTP/1.1\r\n"));

    let (address, served) = endpoint("503 Service Unavailable");
    let run = pgweir(&["healthcheck", "--http", &address.replace("127.0.0.1", "0.0.0.0")], &[]).ends(1);
    assert!(run.err.contains("did not answer 200"), "{run:?}");
    served.join().unwrap();

    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    pgweir(&["healthcheck", "--http", &unused], &[]).ends(1);
    let run = pgweir(&["healthcheck", "--http", "off"], &[]).ends(1);
    assert!(run.err.contains("http.listen is off"), "{run:?}");
}
