//! `pgweir auth-sql`: the function by which an ordinary role may look up users, as a script for psql.

use std::collections::BTreeSet;
use std::process::ExitCode;

use crate::catalog::users;
use crate::config::{Environment, Plan};

use super::args::AuthSqlOptions;
use super::{BAD_CONFIGURATION, load, refuse, say};

pub(super) fn auth_sql(options: AuthSqlOptions, environment: Environment) -> ExitCode {
    let role = match options.role {
        Some(role) => role,
        None => match load(options.options, environment) {
            Ok(loaded) => match role(&loaded.plan) {
                Some(role) => role,
                None => {
                    return tell("the configuration names no one role that looks up users: give --role ROLE");
                }
            },
            Err(report) => {
                anstream::eprintln!("The configuration says which role it is; or give --role ROLE.\n");
                return refuse(&report);
            }
        },
    };
    if role.is_empty() || role.contains('\0') {
        return tell("--role: this is no name of a role");
    }
    say(users::install(&role).as_bytes())
}

/// The one that all databases have in common.
fn role(plan: &Plan) -> Option<String> {
    let lookups = plan.databases.iter().filter_map(|database| database.lookup.as_ref());
    let mut roles: BTreeSet<_> = lookups.map(|lookup| lookup.user.clone()).collect();
    roles.pop_first().filter(|_| roles.is_empty())
}

fn tell(why: &str) -> ExitCode {
    anstream::eprintln!("error: {why}");
    ExitCode::from(BAD_CONFIGURATION)
}
