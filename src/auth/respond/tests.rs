//! Logging in to servers, hostile ones among them.

use super::super::scram::server::{Channel, Server};
use super::super::scram::{Derivation, Verifier};
use super::*;

const SEED: Seed = [4; 18];

fn responder(password: Option<&Secret>, md5: bool, cleartext: bool) -> Responder<'_> {
    let (channel_binding, end_point) = (ChannelBinding::Prefer, None);
    let allowed = AllowedMethods { md5, cleartext, ..AllowedMethods::default() };
    Responder::new(Account { user: "ann", password, allowed, channel_binding, end_point }, SEED)
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
