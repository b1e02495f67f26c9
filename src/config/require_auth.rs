//! libpq's `require_auth`: which login methods a server may ask of us.
//!
//! Source: PostgreSQL documentation, "Parameter Key Words" (libpq). A positive list is the whole truth; a negative one
//! takes away from what is allowed otherwise, which here, unlike in libpq, is neither MD5 nor clear text.

use std::fmt;

use crate::auth::respond::AllowedMethods;

use super::nearest;
use super::value::{Kind, Raw, Wrong, quote};

/// A list that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequireAuth {
    /// As it was written.
    text: String,
    negative: bool,
    named: AllowedMethods,
}

const NOTHING: AllowedMethods = AllowedMethods { scram: false, md5: false, cleartext: false, none: false };
const METHODS: &[(&str, AllowedMethods)] = &[
    ("scram-sha-256", AllowedMethods { scram: true, ..NOTHING }),
    ("md5", AllowedMethods { md5: true, ..NOTHING }),
    ("password", AllowedMethods { cleartext: true, ..NOTHING }),
    ("none", AllowedMethods { none: true, ..NOTHING }),
    // Methods of libpq's that pgweir hasn't: they are never allowed.
    ("gss", NOTHING),
    ("sspi", NOTHING),
    ("oauth", NOTHING),
];

impl RequireAuth {
    pub fn parse(text: &str) -> Result<Self, String> {
        let names: Vec<_> = text.split(',').map(str::trim).collect();
        let negative = text.trim_start().starts_with('!');
        let mut named = NOTHING;
        for (index, name) in names.iter().enumerate() {
            if name.starts_with('!') != negative {
                return Err("either all methods have a ! in front, or none".to_owned());
            }
            let word = name.trim_start_matches('!');
            let known = METHODS.iter().find(|(known, _)| *known == word);
            let (_, method) = known.ok_or_else(|| {
                format!(
                    "unknown method \"{word}\"; {}",
                    nearest::advice(word, METHODS.iter().map(|(known, _)| *known))
                )
            })?;
            if names.iter().take(index).any(|earlier| earlier == name) {
                return Err(format!("\"{word}\" is given twice"));
            }
            named = either(named, *method);
        }
        match !negative && named == NOTHING {
            true => Err("none of these methods is one of pgweir's".to_owned()),
            false => Ok(Self { text: text.to_owned(), negative, named }),
        }
    }

    /// What is allowed, where `otherwise` would be without it.
    pub fn applied_to(&self, otherwise: AllowedMethods) -> AllowedMethods {
        let AllowedMethods { scram, md5, cleartext, none } = self.named;
        match self.negative {
            false => self.named,
            true => AllowedMethods {
                scram: otherwise.scram && !scram,
                md5: otherwise.md5 && !md5,
                cleartext: otherwise.cleartext && !cleartext,
                none: otherwise.none && !none,
            },
        }
    }
}

fn either(a: AllowedMethods, b: AllowedMethods) -> AllowedMethods {
    AllowedMethods {
        scram: a.scram || b.scram,
        md5: a.md5 || b.md5,
        cleartext: a.cleartext || b.cleartext,
        none: a.none || b.none,
    }
}

impl fmt::Display for RequireAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Such a list as the value of a key.
pub(super) struct Methods;

impl Kind for Methods {
    type Value = RequireAuth;

    fn accepts(&self) -> String {
        "methods separated by commas: scram-sha-256, md5, password, none; or with ! in front of each"
            .to_owned()
    }

    fn read(&self, raw: &Raw) -> Result<RequireAuth, Wrong> {
        let text = match raw {
            Raw::List(names) => names.join(","),
            raw => raw.text().ok_or_else(|| self.wrong_type(raw))?.to_owned(),
        };
        RequireAuth::parse(&text).map_err(Wrong::Other)
    }

    fn show(&self, value: &RequireAuth) -> Option<String> {
        Some(quote(&value.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(text: &str) -> Result<String, String> {
        let allowed = RequireAuth::parse(text)?.applied_to(AllowedMethods::default());
        let AllowedMethods { scram, md5, cleartext, none } = allowed;
        let names = [(scram, "scram"), (md5, "md5"), (cleartext, "cleartext"), (none, "none")];
        Ok(names.iter().filter(|(allowed, _)| *allowed).map(|(_, name)| *name).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn lists_of_either_kind() {
        for (text, allowed) in [
            ("scram-sha-256", "scram"),
            ("password, md5", "md5 cleartext"),
            ("none,gss", "none"),
            ("!none", "scram"),
            ("!password,!md5,!gss", "scram none"),
            ("!scram-sha-256, !none", ""),
        ] {
            assert_eq!(applied(text).as_deref(), Ok(allowed), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_meant() {
        for (text, told) in [
            ("md5,!password", "either all methods"),
            ("!md5,password", "either all methods"),
            ("md5,md5", "\"md5\" is given twice"),
            ("scram", "unknown method \"scram\"; did you mean \"scram-sha-256\"?"),
            ("", "unknown method \"\""),
            ("gss,sspi", "none of these methods"),
        ] {
            let error = applied(text).unwrap_err();
            assert!(error.starts_with(told), "{text}: {error}");
        }
    }
}
