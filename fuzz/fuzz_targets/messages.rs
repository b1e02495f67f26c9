//! Bodies of messages, each by every reader that a peer's bytes can come to.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgweir::wire::error::{ErrorFields, with_position};
use pgweir::wire::frame::{self, HEAD};
use pgweir::wire::read;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Some(head)) = frame::head(bytes) {
        assert!(head.total >= HEAD);
    }
    let _ = read::parse(bytes);
    let _ = read::bind(bytes);
    let _ = read::bound_values(bytes).count();
    let _ = read::target(bytes, "Describe");
    let _ = read::parameter_status(bytes);
    if let Ok(row) = read::data_row(bytes) {
        assert!(row.len() <= usize::from(u16::MAX));
    }
    let fields = ErrorFields::read(bytes);
    let _ = (fields.is_fatal(), fields.message_text());
    with_position(bytes, 7);
});
