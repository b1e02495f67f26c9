//! The SQL that gives a server the settings of a client: only the difference, in one Query, so in one transaction.
//!
//! Depends on `settings`. Invariant: a text that is sent without waiting for its answer ends the backend if it fails.

use std::fmt::Write as _;

use postgres_protocol::escape::{escape_identifier, escape_literal};

use super::settings::Overrides;

/// The SQL that turns a session with `from` into one with `to`; `None` when there is nothing to do.
///
/// One Query is one implicit transaction: if any part fails, nothing has changed. Identity is reset first,
/// since another role may lack the right to the settings, and set last.
pub fn replay(from: &Overrides, to: &Overrides) -> Option<String> {
    let mut sql = String::new();
    let identity_differs = from.role != to.role || from.session_authorization != to.session_authorization;
    if identity_differs && from.session_authorization.is_some() {
        sql.push_str("RESET SESSION AUTHORIZATION;");
    }
    if identity_differs && from.role.is_some() {
        sql.push_str("RESET ROLE;");
    }
    if let Some(calls) = calls(from, to) {
        let _ = write!(sql, "SELECT {calls};");
    }
    if identity_differs {
        if let Some(user) = &to.session_authorization {
            let _ = write!(sql, "SET SESSION AUTHORIZATION {};", escape_identifier(user));
        }
        if let Some(role) = &to.role {
            let _ = write!(sql, "SET ROLE {};", escape_identifier(role));
        }
    }
    (!sql.is_empty()).then_some(sql)
}

/// The calls that set and reset what differs; `None` if nothing does.
fn calls(from: &Overrides, to: &Overrides) -> Option<String> {
    let set = |name: &str, value: Option<&str>| {
        let value = value.map_or_else(|| "NULL".to_owned(), escape_literal);
        format!("pg_catalog.set_config({},{value},false)", escape_literal(name))
    };
    let calls: Vec<String> = differing(from, to).map(|(name, value)| set(name, value)).collect();
    (!calls.is_empty()).then(|| calls.join(","))
}

/// What `to` has otherwise than `from`; `None` is what the session began with.
fn differing<'a>(from: &'a Overrides, to: &'a Overrides) -> impl Iterator<Item = (&'a str, Option<&'a str>)> {
    let resets = from.values.keys().filter(|name| !to.values.contains_key(*name)).map(|name| (name, None));
    let sets = to.values.iter().filter(|&(name, value)| from.values.get(name) != Some(value));
    resets.chain(sets.map(|(name, value)| (name, Some(&**value)))).map(|(name, value)| (&**name, value))
}

/// Settings after which a client's request can't be sent before PostgreSQL has agreed: they change how its text has to be
/// read, or the catalogue, or what the session did before, may make it refuse what it took elsewhere.
const AWAITED: [&str; 7] = [
    "client_encoding",
    "default_table_access_method",
    "default_tablespace",
    "default_text_search_config",
    "standard_conforming_strings",
    "temp_buffers",
    "temp_tablespaces",
];
/// While a session has one, a replay could be cut off before its first call.
const TIMEOUTS: [&str; 2] = ["statement_timeout", "transaction_timeout"];

/// As [`replay`], for a client's request to follow without waiting. Should it fail all the same, the backend ends
/// (`exit_on_error`), so that nothing runs under other settings. `None`: the answer has to be awaited.
pub fn replay_ahead(from: &Overrides, to: &Overrides) -> Option<String> {
    let same_identity = from.role == to.role && from.session_authorization == to.session_authorization;
    let awaited = differing(from, to).any(|(name, _)| AWAITED.contains(&name));
    if !same_identity || awaited || TIMEOUTS.iter().any(|name| from.values.contains_key(*name)) {
        return None;
    }
    calls(from, to).map(|calls| format!("SELECT pg_catalog.set_config('exit_on_error','on',true),{calls};"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_difference_is_replayed() {
        let from = Overrides::of(&[("a", "1"), ("b", "2"), ("c", "3")]);
        let to = Overrides::of(&[("a", "1"), ("b", "it's"), ("d", "4")]);
        assert_eq!(
            replay(&from, &to).unwrap(),
            "SELECT pg_catalog.set_config('c',NULL,false),pg_catalog.set_config('b','it''s',false),\
             pg_catalog.set_config('d','4',false);"
        );
        assert_eq!(replay(&to, &to), None);
    }

    #[test]
    fn identity_is_reset_first_and_set_last() {
        let mut from = Overrides::of(&[]);
        from.role = Some("r1".into());
        let mut to = Overrides::of(&[("a", "1")]);
        to.session_authorization = Some("Us\"er".into());
        assert_eq!(
            replay(&from, &to).unwrap(),
            "RESET ROLE;SELECT pg_catalog.set_config('a','1',false);SET SESSION AUTHORIZATION \"Us\"\"er\";"
        );
    }

    #[test]
    fn a_request_follows_a_replay_that_will_not_fail() {
        let app = Overrides::of(&[("app.tenant", "7")]);
        let plain = Overrides::of(&[]);
        let sql = "SELECT pg_catalog.set_config('exit_on_error','on',true),\
                   pg_catalog.set_config('app.tenant','7',false);";
        assert_eq!(replay_ahead(&plain, &app).as_deref(), Some(sql));
        assert_eq!(replay_ahead(&app, &app), None);
        for (name, value) in [("client_encoding", "LATIN1"), ("default_tablespace", "fast")] {
            assert_eq!(replay_ahead(&plain, &Overrides::of(&[(name, value)])), None);
            assert_eq!(replay_ahead(&Overrides::of(&[(name, value)]), &app), None);
        }
        assert_eq!(replay_ahead(&Overrides::of(&[("statement_timeout", "1ms")]), &app), None);
        assert!(replay_ahead(&app, &Overrides::of(&[("statement_timeout", "1ms")])).is_some());
        assert_eq!(replay_ahead(&plain, &Overrides { role: Some("r1".into()), ..app }), None);
    }
}
