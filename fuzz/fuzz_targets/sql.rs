//! The text of statements, in every dialect; and texts with names exchanged.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgweir::sql::{
    Dialect, Extent, Language, NoWords, analyse, fold_identifier, quote_identifier, read_body, rename_statements,
    tag_changes_catalog,
};

fuzz_target!(|text: &[u8]| {
    for flags in 0..4 {
        let dialect =
            Dialect { standard_conforming_strings: flags & 1 == 0, ascii_safe_encoding: flags & 2 == 0 };
        let _ = analyse(text, dialect, Extent::Head, &NoWords);
        let analysis = analyse(text, dialect, Extent::Whole, &NoWords);
        let mut out = b"before".to_vec();
        let renamed = rename_statements(text, &analysis, |_| None, &mut out);
        assert!(renamed.is_empty() && out == b"before");
        let renamed = rename_statements(text, &analysis, |_| Some("new".to_owned()), &mut out);
        assert_eq!(renamed.is_empty(), analysis.statements.is_empty());
        let [mut last, length] = [0, out.len()];
        for position in 1..length.min(200) {
            let before = renamed.position_before(position);
            assert!(before >= last, "positions keep their order");
            last = before;
        }
    }
    for language in [Language::Sql, Language::PlPgSql, Language::Other] {
        let _ = read_body(text, language, |_| ());
    }
    let _ = tag_changes_catalog(text);
    let mut quoted = Vec::new();
    quote_identifier(&fold_identifier(text), &mut quoted);
});
