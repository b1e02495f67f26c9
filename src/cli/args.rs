//! What may be typed.

use std::path::PathBuf;

use clap::{Args as ClapArgs, CommandFactory, Parser, Subcommand, ValueHint};
use clap_complete::Shell;

use crate::config::keys::{Key, Scope};
use crate::config::layer::Setting;
use crate::config::origin::Origin;
use crate::config::source::environment::wildcard;
use crate::config::value::Raw;

const AFTER_HELP: &str = "\
The upstream is the URL argument, else PGWEIR_UPSTREAM, else DATABASE_URL. Every key of the configuration can be given \
in the environment: pool.size is PGWEIR_POOL__SIZE. A flag counts more than the environment, the environment more than \
the file. Exit codes: 0 stopped as asked, 1 failed at run time, 2 bad usage or configuration.";

/// A PostgreSQL connection pooler.
#[derive(Debug, Parser)]
#[command(name = "pgweir", version, after_help = AFTER_HELP, args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
    #[command(flatten)]
    pub(super) options: Options,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Validate the configuration and print it with each value's source; secrets are hidden
    Check(Options),
    /// Start a throw-away PostgreSQL, pgweir and load, and show what pooling does
    Demo(DemoOptions),
    /// Print the pgweir.toml that equals a pgbouncer.ini, its passwords included
    Import {
        /// The pgbouncer.ini
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Print the SQL by which pgweir may look up users that its configuration doesn't name; for a superuser to run
    AuthSql(AuthSqlOptions),
    /// Ask the HTTP endpoint of the pgweir that runs here whether it is alive; exit code 0 or 1
    Healthcheck(Options),
    /// Show live how the pgweir that runs here and its pools are doing; plain text, once, where there is no terminal
    Top(Options),
    /// Print the completions for a shell
    Completions { shell: Shell },
    /// Print the manual page
    Man,
}

#[derive(Debug, ClapArgs)]
pub(super) struct AuthSqlOptions {
    /// The role that will ask; else the one that the configuration says: auth.user, or the URL's user
    #[arg(long, value_name = "ROLE")]
    pub(super) role: Option<String>,
    #[command(flatten)]
    pub(super) options: Options,
}

#[derive(Debug, ClapArgs)]
pub(super) struct DemoOptions {
    /// Clients that connect
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) clients: u32,
    /// Servers behind pgweir
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) servers: u32,
    /// How long the load runs
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) seconds: u32,
    /// Leave PostgreSQL and pgweir running at the end, until Ctrl-C
    #[arg(long)]
    pub(super) keep: bool,
}

/// What a run may be told. Values are text: the configuration reads them, wherever they come from.
#[derive(Debug, ClapArgs)]
pub(super) struct Options {
    /// The upstream, for example postgres://app:secret@db:5432/app
    #[arg(value_name = "URL")]
    url: Option<String>,
    /// pgweir.toml, or a pgbouncer.ini (by its extension)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) config: Option<PathBuf>,
    /// Address for clients, host:port or unix:DIR; may be repeated
    #[arg(long, value_name = "ADDR")]
    listen: Vec<String>,
    /// Address of the HTTP endpoint, or off
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,
    /// Servers that a pool may open
    #[arg(long, value_name = "N")]
    pool_size: Option<String>,
    /// transaction, session or statement
    #[arg(long, value_name = "MODE")]
    pool_mode: Option<String>,
    /// text or json
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

impl Options {
    /// The command that was typed, or nearly, where only a URL can stand: flags of the run went before it.
    pub(super) fn misplaced_command(&self) -> Option<String> {
        let typed = self.url.as_deref()?;
        let is_it = |name: &str| strsim::damerau_levenshtein(typed, name) <= 1;
        Args::command().get_subcommands().map(|known| known.get_name().to_owned()).find(|name| is_it(name))
    }

    /// The same as settings.
    pub(super) fn settings(self) -> Vec<Setting> {
        let flag = |name, key: &str, raw| Setting {
            key: Key::new(Scope::Process, key),
            raw,
            origin: Origin::Flag(name),
        };
        let texts = [
            ("--http", "http.listen", self.http),
            ("--pool-size", "pool.size", self.pool_size),
            ("--pool-mode", "pool.mode", self.pool_mode),
            ("--log-format", "log.format", self.log_format),
            ("--log-level", "log.level", self.log_level),
        ];
        let given =
            |(name, key, text): (_, _, Option<String>)| text.map(|text| flag(name, key, Raw::Untyped(text)));
        let mut settings: Vec<_> = texts.into_iter().filter_map(given).collect();
        if !self.listen.is_empty() {
            settings.push(flag("--listen", "listen", Raw::List(self.listen)));
        }
        let upstream =
            |url| Setting { key: wildcard("url"), raw: Raw::Untyped(url), origin: Origin::Argument };
        settings.extend(self.url.map(upstream));
        settings
    }
}
