//! `host=db port=5432 password='it''s'`: the connection strings of `[databases]` and `[users]`.

/// The pairs in order. Blanks separate them; a value in single quotes may hold blanks, and `''` for a quote.
///
/// # Errors
/// A sentence that quotes no value, since it may be a password.
pub fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut pairs = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (name, behind) = rest.split_once('=').ok_or("expected key=value pairs")?;
        let name = name.trim_end();
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
            return Err("expected key=value pairs with keys in lower case".to_owned());
        }
        let (value, behind) = take_value(behind.trim_start())?;
        if value.is_empty() {
            return Err(format!("{name} has no value (leave the key out instead)"));
        }
        pairs.push((name.to_owned(), value));
        rest = behind.trim_start();
    }
    Ok(pairs)
}

fn take_value(text: &str) -> Result<(String, &str), String> {
    let Some(mut rest) = text.strip_prefix('\'') else {
        let end = text.find(' ').unwrap_or(text.len());
        return Ok((text[..end].to_owned(), &text[end..]));
    };
    let mut value = String::new();
    loop {
        let (part, behind) = rest.split_once('\'').ok_or("a quoted value has no end")?;
        value.push_str(part);
        match behind.strip_prefix('\'') {
            Some(more) => {
                value.push('\'');
                rest = more;
            }
            None => return Ok((value, behind)),
        }
    }
}
