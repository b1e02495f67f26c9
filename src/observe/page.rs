//! The status page: one document, made of the files in `page/` when the HTTP server starts.
//!
//! It asks `/status.json` and nothing else. Its headers forbid it to do more: style and script run because they are the
//! ones whose hashes are given here, nothing may be loaded or sent elsewhere, and text can't become markup.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::body::Bytes;
use hyper::header::{
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY, X_FRAME_OPTIONS,
};
use sha2::{Digest, Sha256};

const HTML: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str =
    concat!(include_str!("page/words.js"), include_str!("page/elements.js"), include_str!("page/page.js"));
/// Where the others stand in the first.
const STYLE_GOES: &str = "/* page.css */";
const SCRIPT_GOES: &str = "/* page.js */";

/// The page as it is served.
#[derive(Debug)]
pub struct Page {
    html: Bytes,
    policy: HeaderValue,
}

impl Page {
    #[expect(clippy::new_without_default, reason = "it isn't empty")]
    pub fn new() -> Self {
        let html = HTML.replace(STYLE_GOES, STYLE).replace(SCRIPT_GOES, SCRIPT);
        let policy = format!(
            "default-src 'none'; style-src {}; script-src {}; connect-src 'self'; img-src data:; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
            source(STYLE),
            source(SCRIPT),
        );
        Self { html: html.into(), policy: policy.try_into().expect("visible ASCII") }
    }

    pub fn html(&self) -> Bytes {
        self.html.clone()
    }

    /// What a browser is told beside the page.
    pub fn headers(&self) -> [(HeaderName, HeaderValue); 4] {
        [
            (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
            (CONTENT_SECURITY_POLICY, self.policy.clone()),
            (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
            (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        ]
    }
}

/// The text of one `style` or `script` element, as a policy names it.
fn source(text: &str) -> String {
    format!("'sha256-{}'", BASE64.encode(Sha256::digest(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_all_its_parts_once() {
        let page = Page::new();
        let html = std::str::from_utf8(&page.html).expect("UTF-8");
        for (open, close, part) in
            [("<style>", "</style>", STYLE), ("<script type=\"module\">", "</script>", SCRIPT)]
        {
            let (_, rest) = html.split_once(open).expect("it is opened");
            assert_eq!(rest.split_once(close).expect("it is closed").0, part);
            assert_eq!(html.matches(close).count(), 1, "{close}");
        }
    }

    #[test]
    fn nothing_is_fetched_from_elsewhere_and_no_data_becomes_markup() {
        for part in [HTML, STYLE, SCRIPT] {
            let here = part.replace("http://www.w3.org/2000/svg", "");
            for forbidden in [
                "http:",
                "https:",
                "//cdn",
                "@import",
                "url(",
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
            ] {
                assert!(!here.contains(forbidden), "{forbidden}");
            }
        }
    }
}
