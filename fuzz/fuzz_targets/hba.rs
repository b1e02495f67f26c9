//! Rules and maps, and what they include: they are refused with a place, or mean the same when they are printed and read
//! again, and in a file of their own.
#![no_main]

use std::io;
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};

use libfuzzer_sys::fuzz_target;
use pgweir::auth::hba::{Allowed, Certificate, Files, Hba, HbaError, Line, Text, Visitor};

/// A disk with one file on it, `x`, and a folder, `d`, that holds the same.
struct Disk<'a>(&'a str);

impl Files for Disk<'_> {
    fn read(&self, path: &Path) -> io::Result<String> {
        match path.to_str() {
            Some("x" | "d/x.conf") => Ok(self.0.to_owned()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        match folder.to_str() {
            Some("d") => Ok(vec!["x.conf".into(), ".x.conf".into(), "x".into()]),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

fn read(rules: &str, maps: &str, included: &str) -> Result<Hba, HbaError> {
    let maps = Text::Inline("auth.ident", maps);
    Hba::read(Text::Inline("auth.hba", rules), Some(maps), Allowed::default(), &Disk(included))
}

/// What is made of all kinds of visitors.
fn verdicts(hba: &Hba) -> Vec<String> {
    let certificates = [None, Some("ann"), Some("a b")].map(|name| name.map(|name| Certificate { common_name: Some(name) }));
    let addresses = [[10, 0, 0, 1], [127, 0, 0, 1], [192, 0, 2, 1]].map(Into::into);
    let mut lines = vec![Line::Unix];
    for address in addresses.into_iter().chain([Ipv6Addr::LOCALHOST.into()]) {
        lines.push(Line::Tcp { address, tls: false, certificate: None });
        lines.extend(certificates.map(|certificate| Line::Tcp { address, tls: true, certificate }));
    }
    let mut verdicts = Vec::new();
    for line in lines {
        for (database, user) in [("shop", "ann"), ("ann", "ann"), ("all", "postgres"), ("", "a b")] {
            let visitor = Visitor { database, user, line };
            for system_user in [None, Some("root"), Some("ann")] {
                let verdict = hba.rule(&visitor).and_then(|rule| hba.judge(rule, &visitor, system_user));
                verdicts.push(format!("{verdict:?}"));
            }
        }
    }
    verdicts
}

fuzz_target!(|text: &str| {
    let mut parts = text.splitn(3, '\x0c');
    let [rules, maps, included] = [(); 3].map(|()| parts.next().unwrap_or_default());
    let hba = match read(rules, maps, included) {
        Ok(hba) => hba,
        Err(error) => return assert!(error.to_string().contains(": ")),
    };
    let most = rules.lines().count() + included.lines().count() * (rules.len() / "include x".len() + 1);
    assert!(hba.rules().len() <= most);
    let printed = |hba: &Hba| hba.rules().iter().map(|rule| format!("{rule}\n")).collect::<String>();
    let mapped = |hba: &Hba| hba.mappings().map(|mapping| format!("{mapping}\n")).collect::<String>();
    let (rules, maps, verdicts) = (printed(&hba), mapped(&hba), verdicts(&hba));
    for again in [read(&rules, &maps, ""), read("include x", &maps, &rules)] {
        let again = again.expect("what is printed can be read");
        assert_eq!((printed(&again), mapped(&again)), (rules.clone(), maps.clone()));
        assert_eq!(self::verdicts(&again), verdicts);
    }
});
