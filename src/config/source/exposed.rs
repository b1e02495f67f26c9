//! Files that hold passwords and that everybody on the machine may read.
//!
//! Only a note: a file that an orchestrator mounts is often open to all who are in the container, which is pgweir alone.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::config::layer::Setting;
use crate::config::source::url::Url;
use crate::config::value::Raw;

/// What to say about `path`, which holds a secret.
pub(in crate::config) fn note(path: &Path) -> Option<String> {
    let mode = fs::metadata(path).ok().filter(fs::Metadata::is_file)?.permissions().mode();
    (mode & 0o004 != 0).then(|| {
        let path = path.display();
        format!("{path} holds passwords, and everybody on this machine can read it: chmod o-rwx {path}")
    })
}

/// Whether one of these settings, all of one file, is a secret that stands in the file itself.
pub(in crate::config) fn holds_secret(settings: &[Setting]) -> bool {
    settings.iter().any(|Setting { key, raw, .. }| match raw {
        // A file of its own.
        Raw::Untyped(_) => false,
        _ if key.name == "url" => {
            raw.text().is_some_and(|text| Url::parse(text).is_ok_and(|url| url.password.is_some()))
        }
        _ => key.about().is_some_and(|about| (about.is_secret)()),
    })
}
