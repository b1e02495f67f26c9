//! We are the server, the client is anybody: whatever it sends, without the password it doesn't get in.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pgweir::auth::scram::server::{Channel, Server};
use pgweir::auth::scram::{Derivation, Salting, Verifier};
use pgweir::wire::authentication::{AnswerHead, MAX_SASL, answer_head, read_password, read_sasl_initial};

static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    let salting = Salting { salt: b"sixteen bytes...".as_slice().into(), iterations: 4_096 };
    Verifier::new(salting.clone(), &Derivation::new(b"a password that nobody guesses", salting).run())
});

fuzz_target!(|bytes: &[u8]| {
    let Some((&choice, bytes)) = bytes.split_first() else { return };
    let _ = read_password(bytes);
    if let Some((header, _)) = bytes.split_first_chunk::<5>()
        && let Ok(AnswerHead::Body(length)) = answer_head(*header, MAX_SASL)
    {
        assert!(length <= MAX_SASL);
    }
    let (initial, answer) = bytes.split_at(bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len()));
    let first = match read_sasl_initial(initial) {
        Ok((_, first)) => first,
        Err(_) => initial,
    };
    let channel = match choice % 3 {
        0 => Channel::NotOffered,
        1 => Channel::NotChosen,
        _ => Channel::Chosen(b"the hash of a certificate"),
    };
    let Ok(server) = Server::start(first, &VERIFIER.salting, &[7; 18], channel) else { return };
    assert!(server.server_first().is_ascii());
    // The nonce is ours to choose, so the client is helped to it.
    let answer = match answer.strip_prefix(b"\n+") {
        Some(rest) => {
            let nonce = server.server_first().split(',').next().unwrap_or_default();
            [b"c=biws,", nonce.as_bytes(), b",p=", rest].concat()
        }
        None => answer.to_vec(),
    };
    if let Ok(proof) = server.client_final(&answer) {
        assert!(proof.verify(&VERIFIER).is_none());
    }
});
