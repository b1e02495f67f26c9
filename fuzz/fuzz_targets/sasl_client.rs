//! We are the client, the server is an impostor: it never proves itself, and costs no more than is allowed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgweir::auth::scram::client::Client;
use pgweir::auth::scram::{Binding, Keys, MAX_ITERATIONS, MAX_SALT, Verifier};
use pgweir::wire::authentication::Authentication;

fuzz_target!(|bytes: &[u8]| {
    let _ = std::str::from_utf8(bytes).map(Verifier::parse);
    let data = match Authentication::read(bytes) {
        Ok(Authentication::SaslContinue(data)) => data,
        _ => bytes,
    };
    let (first, last) = data.split_at(data.iter().position(|&byte| byte == b'\n').unwrap_or(data.len()));
    let client = Client::start(&[7; 18], Binding::None);
    // The server knows our nonce by now.
    let nonce = client.client_first().rsplit('=').next().unwrap_or_default().to_owned();
    let first = match first.strip_prefix(b"+") {
        Some(rest) => [b"r=", nonce.as_bytes(), rest].concat(),
        None => first.to_vec(),
    };
    let Ok(challenge) = client.server_first(&first) else { return };
    let salting = challenge.salting();
    assert!(salting.iterations <= MAX_ITERATIONS && (1..=MAX_SALT).contains(&salting.salt.len()));
    let (_, answered) = challenge.answer(&Keys::new([1; 32], [2; 32]));
    assert!(answered.server_final(last.strip_prefix(b"\n").unwrap_or(last)).is_err());
});
