//! Logging in to servers, hostile ones among them.

use super::super::keyring::Proven;
use super::super::scram::server::{Channel, Server};
use super::super::scram::{Derivation, Verifier};
use super::*;

const SEED: Seed = [4; 18];

fn responder(password: Option<&Secret>, md5: bool, cleartext: bool) -> Responder<'_> {
    let (channel_binding, end_point) = (ChannelBinding::Prefer, None);
    let (keyring, allowed) = (None, AllowedMethods { md5, cleartext, ..AllowedMethods::default() });
    Responder::new(Account { user: "ann", password, keyring, allowed, channel_binding, end_point }, SEED)
}

#[test]
fn f117_weak_methods_are_refused_unless_allowed() {
    let secret = Secret::new("secret");
    for (message, md5, cleartext) in [
        (Authentication::CleartextPassword, false, true),
        (Authentication::Md5Password { salt: [1; 4] }, true, false),
    ] {
        let refused = responder(Some(&secret), !md5, !cleartext).hear(message);
        assert!(matches!(refused, Err(Refusal::NotAllowed(_))));
        let answered = responder(Some(&secret), md5, cleartext).hear(message);
        assert!(matches!(answered, Ok(Reply::Send(_))));
        let nothing_to_say = responder(None, md5, cleartext).hear(message);
        assert!(matches!(nothing_to_say, Err(Refusal::NoPassword)));
    }
}

#[test]
fn what_we_cannot_do_is_refused() {
    let secret = Secret::new("secret");
    let mut answers = [
        Authentication::Sasl { scram_sha_256: false, plus: true },
        Authentication::Other(7),
        Authentication::SaslContinue(b"r=x"),
        Authentication::SaslFinal(b"v=x"),
    ]
    .map(|message| responder(Some(&secret), true, true).hear(message).unwrap_err());
    answers.sort_by_key(|refusal| refusal.to_string());
    assert!(answers.contains(&Refusal::NoMechanism) && answers.contains(&Refusal::Unsupported(7)));
    let sasl = Authentication::Sasl { scram_sha_256: true, plus: false };
    assert_eq!(responder(None, true, true).hear(sasl).unwrap_err(), Refusal::NoPassword);
}

#[test]
fn required_channel_binding_takes_nothing_less() {
    let secret = Secret::new("secret");
    let hear = |channel_binding, end_point, message| {
        let account = Account {
            user: "ann",
            password: Some(&secret),
            keyring: None,
            allowed: AllowedMethods { md5: true, cleartext: true, ..AllowedMethods::default() },
            channel_binding,
            end_point,
        };
        let mut out = Vec::new();
        match Responder::new(account, SEED).hear(message)? {
            Reply::Send(answer) => out.extend_from_slice(&answer),
            other => panic!("{other:?}"),
        }
        let (mechanism, first) = wire::read_sasl_initial(&out[5..]).unwrap();
        Ok::<_, Refusal>((mechanism, first[..2].to_vec()))
    };
    let both = Authentication::Sasl { scram_sha_256: true, plus: true };
    let plain = Authentication::Sasl { scram_sha_256: true, plus: false };
    let (disable, prefer) = (ChannelBinding::Disable, ChannelBinding::Prefer);
    let (require, hash) = (ChannelBinding::Require, Some(&b"hash"[..]));
    let (scram, scram_plus) = (Mechanism::ScramSha256, Mechanism::ScramSha256Plus);
    assert_eq!(hear(require, hash, both), Ok((scram_plus, b"p=".to_vec())));
    assert_eq!(hear(prefer, hash, both), Ok((scram_plus, b"p=".to_vec())));
    assert_eq!(hear(prefer, hash, plain), Ok((scram, b"y,".to_vec())));
    assert_eq!(hear(prefer, None, both), Ok((scram, b"n,".to_vec())));
    assert_eq!(hear(disable, hash, both), Ok((scram, b"n,".to_vec())));
    for message in [plain, Authentication::Ok, Authentication::CleartextPassword] {
        assert_eq!(hear(require, hash, message), Err(Refusal::NotBound));
    }
    assert_eq!(hear(require, None, both), Err(Refusal::NotBound));
}

#[test]
fn trust_is_believed_only_at_the_start() {
    let mut trusted = responder(None, false, false);
    assert!(matches!(trusted.hear(Authentication::Ok), Ok(Reply::LoggedIn)));
    assert_eq!(trusted.hear(Authentication::Ok).unwrap_err(), Refusal::OutOfOrder);
}

#[test]
fn f116_authentication_ok_before_the_servers_proof_is_a_failure() {
    let secret = Secret::new("secret");
    let salting = Salting { salt: [5; 16].into(), iterations: 4096 };
    let keys = Derivation::new(b"secret", salting.clone()).run();
    let verifier = Verifier::new(salting.clone(), &keys);
    // The server says Ok after so many steps of the exchange.
    for honest_steps in 1..=4 {
        let mut us = responder(Some(&secret), false, false);
        let Ok(Reply::Send(first)) = us.hear(Authentication::Sasl { scram_sha_256: true, plus: false })
        else {
            panic!()
        };
        let mut last = Ok(());
        if honest_steps > 1 {
            let (_, client_first) = wire::read_sasl_initial(&first[5..]).unwrap();
            let server = Server::start(client_first, &salting, &[6; 18], Channel::NotOffered).unwrap();
            let message = Authentication::SaslContinue(server.server_first().as_bytes());
            let Ok(Reply::Derive(asked)) = us.hear(message) else { panic!() };
            assert_eq!(asked, salting);
            if honest_steps > 2 {
                let client_final = us.derived(&keys).unwrap();
                let verified = server.client_final(&client_final[5..]).unwrap().verify(&verifier).unwrap();
                if honest_steps > 3 {
                    let message = Authentication::SaslFinal(verified.server_final.as_bytes());
                    last = us.hear(message).map(|_| ());
                }
            }
        }
        assert_eq!(last, Ok(()));
        let believed = matches!(us.hear(Authentication::Ok), Ok(Reply::LoggedIn));
        assert_eq!(believed, honest_steps == 4, "after {honest_steps} steps");
    }
}

/// A server with a verifier, and what a client of pgweir proved by the same one.
fn log_in_by_keyring(
    verifier: &Verifier,
    keyring: &Keyring,
    end_point: Option<&[u8]>,
) -> Result<(), Refusal> {
    let account = Account {
        user: "ann",
        password: None,
        keyring: Some(keyring),
        allowed: AllowedMethods { cleartext: true, ..AllowedMethods::default() },
        channel_binding: ChannelBinding::Prefer,
        end_point,
    };
    let mut responder = Responder::new(account, SEED);
    let plus = end_point.is_some();
    let Reply::Send(initial) = responder.hear(Authentication::Sasl { scram_sha_256: true, plus })? else {
        panic!()
    };
    let (_, first) = wire::read_sasl_initial(&initial[5..]).unwrap();
    let channel = end_point.map_or(Channel::NotOffered, Channel::Chosen);
    let server = Server::start(first, &verifier.salting, &[1; 18], channel).unwrap();
    let Reply::Derive(salting) =
        responder.hear(Authentication::SaslContinue(server.server_first().as_bytes()))?
    else {
        panic!()
    };
    let keys = keyring.keys("ann", &salting).ok_or(Refusal::NotProven)?;
    let answer = responder.derived(&keys)?;
    let verified = server.client_final(&answer[5..]).unwrap().verify(verifier).expect("the right proof");
    responder.hear(Authentication::SaslFinal(verified.server_final.as_bytes()))?;
    assert!(matches!(responder.hear(Authentication::Ok)?, Reply::LoggedIn));
    Ok(())
}

#[test]
fn a_recovered_key_logs_in_where_the_verifier_is_the_same() {
    let verifier = |salt: &[u8]| {
        let salting = Salting { salt: salt.into(), iterations: 4096 };
        Verifier::new(salting.clone(), &Derivation::new(b"pencil", salting).run())
    };
    let (same, other) = (verifier(b"one"), verifier(b"two"));
    let client = Client::start(&SEED, Binding::None);
    let server =
        Server::start(client.client_first().as_bytes(), &same.salting, &[2; 18], Channel::NotOffered)
            .unwrap();
    let challenge = client.server_first(server.server_first().as_bytes()).unwrap();
    let (proof, _) = challenge.answer(&Derivation::new(b"pencil", same.salting.clone()).run());
    let keys = server.client_final(proof.as_bytes()).unwrap().verify(&same).unwrap().keys;
    let keyring = Keyring::default();
    keyring.keep("ann", Proven::Scram { salting: same.salting.clone(), keys });
    for end_point in [None, Some(&b"certificate"[..])] {
        assert_eq!(log_in_by_keyring(&same, &keyring, end_point), Ok(()));
        assert_eq!(log_in_by_keyring(&other, &keyring, end_point), Err(Refusal::NotProven));
    }
}

#[test]
fn an_md5_hash_answers_an_md5_request_and_nothing_else() {
    let keyring = Keyring::default();
    let hear = |md5, message| {
        let (channel_binding, end_point) = (ChannelBinding::Prefer, None);
        let keyring = Some(&keyring);
        let account = Account {
            user: "ann",
            password: None,
            keyring,
            allowed: AllowedMethods { md5, cleartext: true, ..AllowedMethods::default() },
            channel_binding,
            end_point,
        };
        Responder::new(account, SEED).hear(message).map(drop)
    };
    let request = || Authentication::Md5Password { salt: [1; 4] };
    assert_eq!(hear(true, request()), Err(Refusal::NotProven));
    keyring.keep("ann", Proven::Md5(Md5Hash::new(b"secret", "ann")));
    assert_eq!(hear(true, request()), Ok(()));
    assert!(matches!(hear(false, request()), Err(Refusal::NotAllowed(_))));
    assert_eq!(hear(true, Authentication::CleartextPassword), Err(Refusal::NoPassword));
}
