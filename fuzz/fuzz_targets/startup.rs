//! The first packet of a connection, from anyone.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgweir::wire::startup::{HEAD_LEN, Head, Request, head, read_negotiation, request, write_negotiation};

fuzz_target!(|bytes: &[u8]| {
    // What is said of a whole head has to hold for each beginning of it: bytes may come one by one.
    for end in 0..HEAD_LEN.min(bytes.len()) {
        if let (Ok(early), Ok(late)) = (head(&bytes[..end]), head(bytes)) {
            assert!(early == Head::More || early == late);
        }
    }
    let Ok(Head::Packet { code, body }) = head(bytes) else { return };
    assert!(body <= 10_000);
    let rest = &bytes[HEAD_LEN..];
    match request(code, &rest[..body.min(rest.len())]) {
        Ok(Request::Cancel(key)) => {
            let mut again = Vec::new();
            key.write_request(&mut again);
            let Ok(Head::Packet { code, .. }) = head(&again) else { panic!("our own packet") };
            assert_eq!(request(code, &again[HEAD_LEN..]), Ok(Request::Cancel(key)));
        }
        Ok(Request::Startup(startup)) => {
            assert!(!startup.user.is_empty() && !startup.user.contains('\0'));
            if let Some(negotiation) = &startup.negotiation {
                write_negotiation(&mut Vec::new(), startup.minor, negotiation);
            }
        }
        Ok(Request::Ssl | Request::Gss) | Err(_) => {}
    }
    read_negotiation(rest);
});
