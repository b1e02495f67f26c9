//! A file of passwords as libpq reads it: `host:port:database:user:password`, a line each; `*` fits anything.
//!
//! A backslash takes the meaning of the character behind it away. The first line that fits counts. Source: PostgreSQL
//! documentation, "The Password File".

use super::secret::Secret;

/// The lines of a `.pgpass`. Its `Debug` shows no password.
#[derive(Clone, Debug, Default)]
pub struct Passfile(Vec<Entry>);

#[derive(Clone, Debug)]
struct Entry {
    /// Host, port, database, user; `None`: any.
    wanted: [Option<String>; 4],
    password: Secret,
}

impl Passfile {
    /// Lines that can't be understood are passed over, as libpq does.
    pub fn read(text: &str) -> Self {
        let lines = text.lines().map(|line| line.strip_suffix('\r').unwrap_or(line));
        Self(lines.filter(|line| !line.starts_with('#')).filter_map(Entry::read).collect())
    }

    /// The password for a server. `hosts`: the names that it goes by.
    pub fn find(&self, hosts: &[&str], port: u16, database: &str, user: &str) -> Option<&Secret> {
        let port = port.to_string();
        let entry = self.0.iter().find(|entry| {
            let [host, of_port, of_database, of_user] = &entry.wanted;
            let fits =
                |wanted: &Option<String>, name: &str| wanted.as_deref().is_none_or(|wanted| wanted == name);
            hosts.iter().any(|name| fits(host, name))
                && fits(of_port, &port)
                && fits(of_database, database)
                && fits(of_user, user)
        })?;
        Some(&entry.password)
    }
}

impl Entry {
    fn read(line: &str) -> Option<Self> {
        let mut rest = line.chars();
        let mut field = || -> Option<(String, bool)> {
            let (mut text, mut escaped) = (String::new(), false);
            loop {
                match rest.next() {
                    Some(':') => return Some((text, escaped)),
                    Some('\\') => {
                        text.extend(rest.next());
                        escaped = true;
                    }
                    Some(c) => text.push(c),
                    None => return None,
                }
            }
        };
        let mut wanted = || field().map(|(text, escaped)| (escaped || text != "*").then_some(text));
        let wanted = [wanted()?, wanted()?, wanted()?, wanted()?];
        let password = unescaped(rest.as_str());
        (!password.is_empty()).then(|| Self { wanted, password: Secret::new(password) })
    }
}

/// Up to a colon or the end; what stands behind a colon is libpq's for later.
fn unescaped(text: &str) -> String {
    let (mut password, mut rest) = (String::with_capacity(text.len()), text.chars());
    while let Some(c) = rest.next().filter(|c| *c != ':') {
        match c {
            '\\' => password.push(rest.next().unwrap_or('\\')),
            c => password.push(c),
        }
    }
    password
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(text: &str, host: &str, port: u16, database: &str, user: &str) -> Option<String> {
        let file = Passfile::read(text);
        file.find(&[host], port, database, user).map(|secret| secret.expose().to_owned())
    }

    #[test]
    fn the_first_line_that_fits_counts() {
        let text =
            "# db:5432:shop:app:no\n\nbroken:line\ndb:5432:shop:app:first\ndb:*:*:app:second\n*:*:*:*:last";
        assert_eq!(find(text, "db", 5432, "shop", "app").as_deref(), Some("first"));
        assert_eq!(find(text, "db", 5433, "shop", "app").as_deref(), Some("second"));
        assert_eq!(find(text, "other", 1, "x", "y").as_deref(), Some("last"));
        assert_eq!(find("db:5432:shop:app:", "db", 5432, "shop", "app"), None);
        assert_eq!(find("db:5432:shop:app:x", "db", 5432, "shop", "eve"), None);
    }

    #[test]
    fn backslashes_take_meanings_away() {
        let text = "\\:\\:1:*:a\\\\b:\\*:p\\:a\\\\ss:rest\r\n";
        assert_eq!(find(text, "::1", 1, "a\\b", "*").as_deref(), Some("p:a\\ss"));
        assert_eq!(find(text, "::1", 1, "a\\b", "x"), None);
    }

    #[test]
    fn a_socket_goes_by_two_names() {
        let file = Passfile::read("localhost:*:*:*:secret");
        assert!(file.find(&["/tmp", "localhost"], 5432, "d", "u").is_some());
        assert!(file.find(&["/run/pg"], 5432, "d", "u").is_none());
    }

    #[test]
    fn nothing_is_shown() {
        assert!(!format!("{:?}", Passfile::read("*:*:*:*:hunter2")).contains("hunter2"));
    }
}
