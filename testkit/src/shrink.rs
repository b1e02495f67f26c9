//! Makes a script that fails smaller, as long as it fails.

/// What separates messages of a line and statements of a text.
const SEPARATOR: &str = "; ";

/// The smallest script that was found: without another step, message or statement it wouldn't fail. `fails` is asked
/// of scripts that may not be of the language, too. A step of several lines stays whole: one of them may wait for what
/// another one does.
pub fn shrink(script: Vec<String>, mut fails: impl FnMut(&[String]) -> bool) -> Vec<String> {
    let mut script = script;
    loop {
        let before = script.clone();
        script = without_chunks(script, &mut fails);
        for at in (0..script.len()).filter(|&at| !script[at].contains('\n')).collect::<Vec<_>>() {
            let pieces = script[at].split(SEPARATOR).map(str::to_owned).collect();
            let with = |pieces: &[String]| {
                let mut candidate = script.clone();
                candidate[at] = pieces.join(SEPARATOR);
                candidate
            };
            script[at] = without_chunks(pieces, &mut |pieces| fails(&with(pieces))).join(SEPARATOR);
        }
        if script == before {
            return script;
        }
    }
}

/// Leaves out halves, quarters, … and at last single items, those at the end first.
fn without_chunks(mut items: Vec<String>, fails: &mut impl FnMut(&[String]) -> bool) -> Vec<String> {
    let mut size = items.len() / 2;
    while size > 0 {
        let mut end = items.len();
        while end > 0 {
            let start = end.saturating_sub(size);
            let candidate: Vec<String> = [&items[..start], &items[end..]].concat();
            if !candidate.is_empty() && fails(&candidate) {
                items = candidate;
            }
            end = start;
        }
        size /= 2;
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_needed_goes() {
        let script: Vec<String> = (0..20).map(|n| format!("a> Query \"{n}; x{n}\"; Sync; Flush")).collect();
        let fails = |lines: &[String]| {
            let text = lines.join("\n");
            text.matches('"').count().is_multiple_of(2) && text.contains("x3") && text.contains("Query \"17")
        };
        assert_eq!(shrink(script, fails), ["a> Query \"3; x3\"", "a> Query \"17; x17\""]);
    }

    #[test]
    fn one_line_stays() {
        assert_eq!(shrink(vec!["a; b".into(), "c".into()], |_| true), ["a".to_owned()]);
    }
}
