//! SCRAM in both roles: vectors, cross-checks, hostile peers.

use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use proptest::collection::vec;
use proptest::prelude::*;

use super::client::Client;
use super::server::{Channel, Server};
use super::*;

const SEED: Seed = *b"eighteen bytes of.";

fn salting() -> Salting {
    Salting { salt: b"sixteen bytes of".as_slice().into(), iterations: DEFAULT_ITERATIONS }
}

fn keys(password: &str) -> Keys {
    Derivation::new(password.as_bytes(), salting()).run()
}

/// RFC 7677, section 3. Its nonces aren't base64 of 18 bytes, so the parts are put together here.
#[test]
fn the_example_of_rfc_7677() {
    let salting = Salting { salt: decode(b"W22ZaJ0SNY7soEsUEjb6gQ==").unwrap().into(), iterations: 4096 };
    let keys = Derivation::new(b"pencil", salting.clone()).run();
    let bare = b"n=user,r=rOprNGfwEbeRWgbNEkqO";
    let server_first =
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    let without_proof = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    let signed = auth_message(bare, server_first, without_proof);
    let proof = xor(&keys.client, &hmac(&keys.stored(), &signed));
    assert_eq!(encode(&proof), "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
    assert_eq!(encode(&hmac(&keys.server, &signed)), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
}

#[test]
fn both_roles_agree_on_the_right_password_only() {
    for (password, right) in [("pencil", true), ("pencil ", false), ("", false)] {
        let client = Client::start(&SEED, Binding::None);
        let verifier = Verifier::new(salting(), &keys("pencil"));
        let server =
            Server::start(client.client_first().as_bytes(), &verifier.salting, &[7; 18], Channel::NotOffered)
                .unwrap();
        let challenge = client.server_first(server.server_first().as_bytes()).unwrap();
        assert_eq!(*challenge.salting(), salting());
        let (client_final, answered) = challenge.answer(&keys(password));
        let verified = server.client_final(client_final.as_bytes()).unwrap().verify(&verifier);
        assert_eq!(verified.is_some(), right, "{password:?}");
        if let Some(verified) = verified {
            assert_eq!(answered.server_final(verified.server_final.as_bytes()), Ok(()));
            assert_eq!(verified.keys.client, keys("pencil").client);
        }
    }
}

/// Another implementation of the client's role logs in to ours of the server's.
#[test]
fn postgres_protocols_client_is_understood() {
    for channel_binding in [ChannelBinding::unsupported, ChannelBinding::unrequested] {
        for password in ["pencil", "naïve\u{a0}pass\u{ad}word", "\u{7}bell", "x\u{221}unassigned"] {
            let verifier = Verifier::new(salting(), &keys(password));
            let mut client = ScramSha256::new(password.as_bytes(), channel_binding());
            let server =
                Server::start(client.message(), &verifier.salting, &SEED, Channel::NotOffered).unwrap();
            client.update(server.server_first().as_bytes()).unwrap();
            let verified = server.client_final(client.message()).unwrap().verify(&verifier).unwrap();
            client.finish(verified.server_final.as_bytes()).unwrap();
        }
    }
}

#[test]
fn a_verifier_is_read_as_written() {
    let verifier = Verifier::new(salting(), &keys("pencil"));
    let text = verifier.to_string();
    assert_eq!(Verifier::parse(&text).as_ref(), Some(&verifier));
    assert!(verifier.matches(&keys("pencil")) && !verifier.matches(&keys("Pencil")));
    assert_eq!(format!("{verifier:?}{:?}", keys("pencil")), "******");
    for broken in [
        "SCRAM-SHA-256$0:c2FsdA==$",
        "SCRAM-SHA-256$4096:$",
        "SCRAM-SHA-1$4096:c2FsdA==$x:y",
        "",
        text.trim_end_matches('='),
        &text.replace("4096", "-1"),
        &text.replace("4096", "4294967295"),
        &text.replace(':', ";"),
    ] {
        assert_eq!(Verifier::parse(broken), None, "{broken}");
    }
}

#[test]
fn postgres_protocols_verifier_is_read() {
    let text = postgres_protocol::password::scram_sha_256(b"pencil");
    let verifier = Verifier::parse(&text).unwrap();
    assert!(verifier.matches(&Derivation::new(b"pencil", verifier.salting.clone()).run()));
}

/// Another implementation of the client's role, bound to the certificate that it saw.
#[test]
fn a_proof_is_bound_to_the_certificate_that_the_client_saw() {
    let verifier = Verifier::new(salting(), &keys("pencil"));
    for (seen, right) in [(b"ours", true), (b"else", false)] {
        let binding = ChannelBinding::tls_server_end_point(seen.to_vec());
        let mut client = ScramSha256::new(b"pencil", binding);
        let chosen = Channel::Chosen(b"ours");
        let server = Server::start(client.message(), &verifier.salting, &SEED, chosen).unwrap();
        client.update(server.server_first().as_bytes()).unwrap();
        let finished = server.client_final(client.message());
        assert_eq!(finished.is_ok_and(|proof| proof.verify(&verifier).is_some()), right, "{seen:?}");
    }
}

#[test]
fn both_roles_agree_about_the_channel() {
    let offers = [
        (Binding::None, Channel::NotOffered, true),
        (Binding::None, Channel::NotChosen, true),
        (Binding::NotOffered, Channel::NotOffered, true),
        (Binding::NotOffered, Channel::NotChosen, false),
        (Binding::EndPoint(b"ours".to_vec()), Channel::Chosen(b"ours"), true),
        (Binding::EndPoint(b"ours".to_vec()), Channel::NotOffered, false),
        (Binding::None, Channel::Chosen(b"ours"), false),
    ];
    for (binding, channel, right) in offers {
        let first = Client::start(&SEED, binding.clone()).client_first();
        let started = Server::start(first.as_bytes(), &salting(), &SEED, channel);
        assert_eq!(started.is_ok(), right, "{binding:?} {channel:?}");
    }
}

#[test]
fn f115_a_downgrade_is_noticed() {
    let first = Client::start(&SEED, Binding::NotOffered).client_first();
    let started = Server::start(first.as_bytes(), &salting(), &SEED, Channel::NotChosen);
    assert_eq!(started.err(), Some(ScramError::Downgrade));
}

#[test]
fn f115_a_client_must_follow_the_grammar() {
    let start = |message: &[u8]| Server::start(message, &salting(), &SEED, Channel::NotOffered).map(|_| ());
    assert_eq!(start(b"n,,n=,r=x"), Ok(()));
    assert_eq!(start(b"y,,n=ann,r=x,x=extension"), Ok(()));
    assert_eq!(start(b"p=tls-server-end-point,,n=,r=x"), Err(ScramError::ChannelBinding));
    assert_eq!(start(b"n,a=root,n=,r=x"), Err(ScramError::AuthorizationIdentity));
    for message in [
        &b""[..],
        b"n",
        b"n,",
        b"x,,n=,r=x",
        b"n,,r=x",
        b"n,,n=",
        b"n,,n=,r=",
        b"n,,n=,r=a\0b",
        b"n,,n=,r=\xff",
        b"n,,m=1,n=,r=x",
        b"n,,n=,m=1,r=x",
    ] {
        assert!(matches!(start(message), Err(ScramError::Malformed(_))), "{message:?}");
    }
}

#[test]
fn f115_a_client_must_finish_what_it_began() {
    let finish = |first: &[u8], change: &dyn Fn(&str) -> String| {
        let server = Server::start(first, &salting(), &SEED, Channel::NotOffered).unwrap();
        let nonce = format!("x{}", encode(&SEED));
        let good = format!("c=biws,r={nonce},p={}", encode(&[0; 32]));
        server.client_final(change(&good).as_bytes()).map(|_| ())
    };
    let first = b"n,,n=,r=x";
    assert_eq!(finish(first, &|good| good.to_owned()), Ok(()));
    assert_eq!(finish(first, &|good| good.replace("biws", "eSws")), Err(ScramError::ChannelBinding));
    assert_eq!(finish(b"y,,n=,r=x", &|good| good.to_owned()), Err(ScramError::ChannelBinding));
    assert_eq!(finish(first, &|good| good.replace("r=x", "r=y")), Err(ScramError::Nonce));
    assert_eq!(finish(first, &|good| good.replace(",p=", "A,p=")), Err(ScramError::Nonce));
    for change in [
        &(|good: &str| good.replace(",p=", ",q=")) as &dyn Fn(&str) -> String,
        &|good| good.replace("p=A", "p="),
        &|good| format!("{good},x=y"),
        &|good| format!("x=y,{good}"),
        &|good| good[..good.len() - 4].to_owned(),
        &|_| String::new(),
        &|_| ",p=".to_owned(),
    ] {
        assert!(matches!(finish(first, change), Err(ScramError::Malformed(_))));
    }
}

#[test]
fn f116_a_server_may_not_ask_for_anything() {
    let hear =
        |message: &str| Client::start(&SEED, Binding::None).server_first(message.as_bytes()).map(|_| ());
    let ours = encode(&SEED);
    let long = "x".repeat(MAX_NONCE);
    let salt = encode(&[1; MAX_SALT + 1]);
    assert_eq!(hear(&format!("r={ours}x,s=c2FsdA==,i=4096")), Ok(()));
    assert_eq!(hear(&format!("r={ours}x,s=c2FsdA==,i=600000")), Ok(()));
    for iterations in [0, 1, 4095, 600_001, 2_147_483_648] {
        let refused = hear(&format!("r={ours}x,s=c2FsdA==,i={iterations}"));
        assert_eq!(refused, Err(ScramError::Iterations(iterations)));
    }
    for nonce in [&ours, "x", &format!("x{ours}"), &format!("{ours}{long}")] {
        assert_eq!(hear(&format!("r={nonce},s=c2FsdA==,i=4096")), Err(ScramError::Nonce));
    }
    assert_eq!(hear(&format!("r={ours}x,s=,i=4096")), Err(ScramError::Salt));
    assert_eq!(hear(&format!("r={ours}x,s={salt},i=4096")), Err(ScramError::Salt));
    for message in [
        "",
        "e=unknown-user",
        &format!("m=1,r={ours}x,s=c2FsdA==,i=4096"),
        &format!("r={ours}x,s=!,i=4096"),
        &format!("r={ours}x,s=c2FsdA=="),
        &format!("r={ours}x,s=c2FsdA==,i=99999999999"),
        &format!("r={ours}x,s=c2FsdA==,i=-1"),
    ] {
        assert!(matches!(hear(message), Err(ScramError::Malformed(_))), "{message}");
    }
}

#[test]
fn f116_a_server_must_prove_itself() {
    let hear = |message: &str| {
        let server_first = format!("r={}x,s={},i=4096", encode(&SEED), encode(&salting().salt));
        let challenge = Client::start(&SEED, Binding::None).server_first(server_first.as_bytes()).unwrap();
        challenge.answer(&keys("pencil")).1.server_final(message.as_bytes())
    };
    assert_eq!(hear(&format!("v={}", encode(&[0; 32]))), Err(ScramError::ServerSignature));
    assert_eq!(hear("e=other-error"), Err(ScramError::RefusedByServer));
    assert!(matches!(hear("v=AA=="), Err(ScramError::Malformed(_))));
    assert!(matches!(hear(""), Err(ScramError::Malformed(_))));
}

proptest! {
    #[test]
    fn any_bytes_from_a_client_are_judged(first in vec(any::<u8>(), 0..60), last in vec(any::<u8>(), 0..90)) {
        let _ = Server::start(&first, &salting(), &SEED, Channel::NotOffered);
        let server = Server::start(b"n,,n=,r=x", &salting(), &SEED, Channel::NotOffered).unwrap();
        prop_assert!(server.client_final(&last).is_err());
    }

    #[test]
    fn any_bytes_from_a_server_are_judged(tail in vec(any::<u8>(), 0..60)) {
        let mut message = format!("r={}", encode(&SEED)).into_bytes();
        message.extend(&tail);
        let _ = Client::start(&SEED, Binding::None).server_first(&message);
    }
}
