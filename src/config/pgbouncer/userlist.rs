//! `userlist.txt`, the file that `auth_file` names: `"user" "password"`, a line each.

/// The users up to the first line that can't be read, and that line's number from 1.
pub fn parse(text: &str) -> (Vec<(String, String)>, Option<usize>) {
    let mut users = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(';') {
            continue;
        }
        let pair = quoted(line).and_then(|(user, rest)| Some((user, quoted(rest.trim_start())?.0)));
        match pair {
            Some(pair) => users.push(pair),
            None => return (users, Some(index + 1)),
        }
    }
    (users, None)
}

/// A text in double quotes, `""` in it for one, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut rest = text.strip_prefix('"')?;
    let mut value = String::new();
    loop {
        let (part, behind) = rest.split_once('"')?;
        value.push_str(part);
        match behind.strip_prefix('"') {
            Some(more) => {
                value.push('"');
                rest = more;
            }
            None => return Some((value, behind)),
        }
    }
}
