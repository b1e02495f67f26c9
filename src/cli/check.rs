//! `pgweir check`: what the configuration comes to, who said so, and whether the certificates that it names can be used.

use std::process::ExitCode;

use crate::auth::users::Method;
use crate::config::layer::Draft;
use crate::config::{Environment, Plan};

use super::args::Options;
use crate::lifecycle::certificates::Certificates;

use super::{BAD_CONFIGURATION, load, refuse, say};

/// Where the source of a value is written, for values no wider.
const COLUMN: usize = 52;

pub(super) fn check(options: Options, environment: Environment) -> ExitCode {
    let has_database_url = environment.get("DATABASE_URL").is_some_and(|url| !url.is_empty());
    match load(options, environment) {
        Ok(loaded) => {
            let printed = say(text(&loaded.plan, &loaded.draft, has_database_url).as_bytes());
            match Certificates::read(&loaded.plan) {
                Ok(_) => printed,
                Err(error) => {
                    anstream::eprintln!("error: {error}");
                    ExitCode::from(BAD_CONFIGURATION)
                }
            }
        }
        Err(report) => refuse(&report),
    }
}

/// TOML, with comments for what isn't a key.
fn text(plan: &Plan, draft: &Draft, has_database_url: bool) -> String {
    let mut text = String::new();
    let mut used_database_url = false;
    for shown in draft.shown() {
        let setting = format!("{} = {}", shown.key, shown.value);
        let origin = shown.origin.to_string();
        used_database_url |= origin == "environment DATABASE_URL";
        text += &format!("{setting:COLUMN$}  # {origin}\n");
    }
    let mut users: Vec<_> = plan.users.secrets.keys().map(|name| format!("{name:?}")).collect();
    users.sort();
    let trusts = plan.auth.method == Method::Trust && !plan.auth.has_rules();
    let looks_up = plan.databases.iter().any(|database| database.lookup.is_some());
    users.extend((looks_up && !trusts).then(|| "those that the database knows (auth.query)".to_owned()));
    text +=
        &format!("\n# Users that can log in: {}\n", if trusts { "all".to_owned() } else { users.join(", ") });
    text += &rules(plan);
    for name in draft.bent_names() {
        text += &format!(
            "# [{name}]: upper-casing would bend this name, so its keys can't be given by environment\n"
        );
    }
    if has_database_url && !used_database_url {
        text += "# DATABASE_URL is not used: something else says where the databases are\n";
    }
    for warning in &plan.warnings {
        text += &format!("# warning: {warning}\n");
    }
    text
}

/// As they were understood, with all that they include.
fn rules(plan: &Plan) -> String {
    let Some(hba) =
        plan.auth.rules(plan.client_tls.verifies_clients()).ok().filter(|_| plan.auth.has_rules())
    else {
        return String::new();
    };
    let rules = hba.rules().iter().map(|rule| format!("#   {rule}  ({})\n", rule.place()));
    let maps = hba.mappings().map(|mapping| format!("#   {mapping}\n"));
    let titled =
        |title: &str, lines: String| if lines.is_empty() { lines } else { format!("# {title}:\n{lines}") };
    titled("Rules", rules.collect()) + &titled("Maps", maps.collect())
}
