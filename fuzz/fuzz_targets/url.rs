//! Connection URLs: what is shown of one is one, and says the same but for the password.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgweir::config::source::url::Url;

fuzz_target!(|text: &str| {
    let Ok(url) = Url::parse(text) else { return };
    let mut again = Url::parse(&url.redacted()).expect("a URL");
    assert_eq!(again.password.is_some(), url.password.is_some() && url.user.is_some());
    again.password = url.password.clone();
    assert_eq!(again, url);
});
