//! Secrets that stand in files of their own: `password_file = "/run/secrets/app"` in place of `password`.

use std::path::Path;

use zeroize::Zeroizing;

use crate::config::keys::Key;
use crate::config::value::Raw;

/// A secret this long is some other file.
const MAX_SIZE: u64 = 64 << 10;

/// The key whose value the file named by `key` holds; `None`: `key` names no secret's file.
pub(in crate::config) fn held_key(key: &Key) -> Option<Key> {
    let name = key.name.strip_suffix("_file")?;
    let held = Key::new(key.scope.clone(), name);
    held.about().is_some_and(|about| (about.is_secret)()).then_some(held)
}

/// The file's text without the newline at its end. A relative path starts at `base`.
pub(in crate::config) fn read(base: &Path, path: &Raw) -> Result<Raw, String> {
    let path = path.text().ok_or_else(|| format!("expected a file's path, found {}", path.type_name()))?;
    let path = base.join(path);
    let failed = |why: String| format!("can't read {}: {why}", path.display());
    let metadata = std::fs::metadata(&path).map_err(|error| failed(error.to_string()))?;
    if metadata.len() > MAX_SIZE {
        return Err(failed(format!("it has more than {MAX_SIZE} bytes")));
    }
    let text = Zeroizing::new(std::fs::read_to_string(&path).map_err(|error| failed(error.to_string()))?);
    let text = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    Ok(Raw::Untyped(text.to_owned()))
}
