//! A configuration file: it has a meaning, or what is wrong can be shown.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pgweir::config::{Inputs, load};

static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a temporary folder"));

fuzz_target!(|text: &str| {
    let file = FOLDER.path().join("pgweir.toml");
    std::fs::write(&file, text).expect("a file");
    if let Err(report) = load(Inputs { file: Some(file), ..Inputs::default() }) {
        assert!(!report.to_string().is_empty());
    }
});
