//! The command line: what may be typed, and which command does it.
//!
//! Exit codes: 0 stopped as asked, 1 failed at run time, 2 bad usage or configuration. Arguments and environment
//! are handed in; the rooms below never see either.

mod args;
mod auth_sql;
mod check;
mod demo;
mod endpoint;
mod healthcheck;
mod import;
mod run;
mod top;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::config::{self, Environment, Inputs, Report};

use args::{Args, Command, Options};

/// A run that failed.
const FAILED: u8 = 1;
/// A run that never began.
const BAD_CONFIGURATION: u8 = 2;
/// Said by commands that ask a running pgweir.
const NO_ENDPOINT: &str = "http.listen is off: there is no endpoint to ask";

/// Does what `arguments` (the program's name first) say.
pub fn main(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> ExitCode {
    let args = match Args::try_parse_from(arguments) {
        Ok(args) => args,
        Err(shown) => {
            // Help and version come this way too. Nobody is left to tell if the terminal is gone.
            let _ = shown.print();
            return exit_code(shown.exit_code());
        }
    };
    if let Some(command) = args.options.misplaced_command() {
        anstream::eprintln!("error: the URL is no URL; for the command write: pgweir {command} [OPTIONS]");
        return ExitCode::from(BAD_CONFIGURATION);
    }
    let environment = readable(environment);
    match args.command {
        None => match load(args.options, environment) {
            Ok(loaded) => run::run(loaded.plan),
            Err(report) => refuse(&report),
        },
        Some(Command::Check(options)) => check::check(options, environment),
        Some(Command::Demo(options)) => demo::demo(&options),
        Some(Command::AuthSql(options)) => auth_sql::auth_sql(options, environment),
        Some(Command::Import { file }) => import::import(&file),
        Some(Command::Healthcheck(options)) => healthcheck::healthcheck(options, environment),
        Some(Command::Top(options)) => top::top(options, environment),
        Some(Command::Completions { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "pgweir", &mut script);
            say(&script)
        }
        Some(Command::Man) => {
            let mut page = Vec::new();
            match clap_mangen::Man::new(Args::command()).render(&mut page) {
                Ok(()) => say(&page),
                Err(error) => fail(&error.to_string()),
            }
        }
    }
}

fn load(options: Options, environment: Environment) -> Result<config::Loaded, Report> {
    config::load(inputs(options, environment))
}

fn inputs(options: Options, environment: Environment) -> Inputs {
    Inputs { file: options.config.clone(), environment, flags: options.settings() }
}

/// A variable that isn't UTF-8 is none of ours, or a value that some key refuses.
fn readable(environment: impl IntoIterator<Item = (OsString, OsString)>) -> Environment {
    let text = |os: OsString| os.to_string_lossy().into_owned();
    environment.into_iter().map(|(name, value)| (text(name), text(value))).collect()
}

/// Writes to standard output; whoever closed it has read enough.
fn say(bytes: &[u8]) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => fail(&error.to_string()),
        _ => ExitCode::SUCCESS,
    }
}

fn refuse(report: &Report) -> ExitCode {
    anstream::eprintln!("{}", report.styled());
    ExitCode::from(BAD_CONFIGURATION)
}

fn fail(why: &str) -> ExitCode {
    anstream::eprintln!("pgweir: {why}");
    ExitCode::from(FAILED)
}

fn exit_code(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(FAILED))
}
