//! Logins of clients by each method.

use super::super::respond::{Account as Us, AllowedMethods, ChannelBinding, Reply, Responder};
use super::super::secret::Secret;
use super::super::users::Users;
use super::*;

const SEED: Seed = [9; 18];

/// Users who all have to log in by one method.
struct Door {
    roster: Roster,
    method: Method,
}

impl std::ops::Deref for Door {
    type Target = Roster;

    fn deref(&self) -> &Roster {
        &self.roster
    }
}

impl Door {
    fn login<'r>(&'r self, user: &'r str) -> Turn<'r> {
        self.roster.login(user, self.method, None, SEED, None)
    }
}

fn roster(method: Method, secrets: &[(&str, &str)]) -> Door {
    let secrets = secrets.iter().map(|(user, secret)| (user.to_string(), Secret::new(*secret))).collect();
    Door { roster: Roster::new(&Users { secrets, ..Users::default() }, [3; 32]).unwrap(), method }
}

fn verifier(password: &str) -> String {
    postgres_protocol::password::scram_sha_256(password.as_bytes())
}

fn md5(password: &str, user: &str) -> String {
    postgres_protocol::password::md5(password.as_bytes(), user)
}

/// A whole login as the other side sees it: the kinds of questions, and how it ended.
#[derive(Debug, PartialEq)]
struct Seen {
    questions: Vec<String>,
    derivations: usize,
    end: Result<Method, Fault>,
}

/// Logs in with our own client role.
fn log_in(roster: &Door, user: &str, password: &str) -> Seen {
    let secret = Secret::new(password);
    let us = Us {
        user,
        password: Some(&secret),
        keyring: None,
        allowed: AllowedMethods { md5: true, cleartext: true, ..AllowedMethods::default() },
        channel_binding: ChannelBinding::Prefer,
        end_point: None,
    };
    let mut responder = Responder::new(us, [8; 18]);
    let mut seen = Seen { questions: Vec::new(), derivations: 0, end: Err(Fault::Internal) };
    let mut turn = roster.login(user);
    loop {
        turn = match turn {
            Turn::Ask { message, question } => {
                let request = Authentication::read(&message[5..]).unwrap();
                seen.questions.push(match request {
                    // The salt is fixed for each user; the rest of it is random or the client's.
                    Authentication::SaslContinue(data) => {
                        let text = String::from_utf8_lossy(data);
                        let iterations = text.split(",i=").nth(1).unwrap();
                        format!("SaslContinue {} i={iterations}", data.len())
                    }
                    other => format!("{other:?}"),
                });
                let answer = match responder.hear(request).unwrap() {
                    Reply::Send(answer) => answer.to_vec(),
                    Reply::Derive(salting) => {
                        let keys = Derivation::new(password.as_bytes(), salting).run();
                        responder.derived(&keys).unwrap()
                    }
                    other => panic!("{other:?}"),
                };
                assert!(answer.len() - 5 <= question.limit());
                question.answer(&answer[5..])
            }
            Turn::Derive { derivation, pending } => {
                seen.derivations += 1;
                pending.derived(&derivation.run())
            }
            Turn::Admitted { authenticated, message, .. } => {
                assert_eq!(authenticated.user(), user);
                if let Some(body) = message.get(5..) {
                    responder.hear(Authentication::read(body).unwrap()).unwrap();
                }
                responder.hear(Authentication::Ok).unwrap();
                seen.end = Ok(authenticated.method());
                return seen;
            }
            Turn::Refused(fault) => {
                seen.end = Err(fault);
                return seen;
            }
        }
    }
}

fn failed(user: &str) -> Result<Method, Fault> {
    Err(Fault::LoginFailed { user: user.to_owned() })
}

#[test]
fn each_method_with_each_kind_of_secret() {
    use Method::{Cleartext, Md5, ScramSha256, Trust};
    let (verifier, hash) = (verifier("right"), md5("right", "ann"));
    for (method, secret, proved_by) in [
        (Trust, "right", Some(Trust)),
        (Cleartext, "right", Some(Cleartext)),
        (Cleartext, &hash, Some(Cleartext)),
        (Cleartext, &verifier, Some(Cleartext)),
        (Md5, "right", Some(Md5)),
        (Md5, &hash, Some(Md5)),
        (Md5, &verifier, Some(ScramSha256)),
        (ScramSha256, "right", Some(ScramSha256)),
        (ScramSha256, &hash, None),
        (ScramSha256, &verifier, Some(ScramSha256)),
    ] {
        let roster = roster(method, &[("ann", secret)]);
        let expected = proved_by.ok_or_else(|| Fault::LoginFailed { user: "ann".into() });
        assert_eq!(log_in(&roster, "ann", "right").end, expected, "{method:?} {secret}");
        if method != Trust {
            assert_eq!(log_in(&roster, "ann", "wrong").end, failed("ann"), "{method:?} {secret}");
            assert_eq!(log_in(&roster, "ann", "").end, failed("ann"), "{method:?} {secret}");
        }
    }
}

#[test]
fn who_was_vouched_for_is_asked_nothing() {
    for method in [Method::Trust, Method::Cert, Method::Peer] {
        assert_eq!(log_in(&roster(method, &[]), "anyone", "").end, Ok(method));
    }
    assert_eq!(log_in(&roster(Method::Reject, &[("ann", "right")]), "ann", "right").end, failed("ann"));
}

#[test]
fn f114_an_unknown_user_sees_what_a_known_one_sees() {
    for method in [Method::Cleartext, Method::Md5, Method::ScramSha256] {
        for secret in ["right", &verifier("right"), &md5("right", "ann")] {
            let roster = roster(method, &[("ann", secret)]);
            let underived: Vec<_> = roster.underived().collect();
            for (user, derivation) in underived {
                roster.derived(user, &derivation, &derivation.run());
            }
            let known = log_in(&roster, "ann", "wrong");
            let unknown = log_in(&roster, "bob", "wrong");
            assert_eq!(unknown.end, failed("bob"));
            assert_eq!((&known.questions, known.derivations), (&unknown.questions, unknown.derivations));
            assert_eq!(log_in(&roster, "bob", "right").end, failed("bob"));
        }
    }
}

#[test]
fn f114_a_made_up_salt_is_stable_and_the_users_own() {
    let salt = |user: &str| {
        let roster = roster(Method::ScramSha256, &[]);
        match roster.find(user, Method::ScramSha256, None).entry() {
            Entry::Scram(verifier) => verifier.salting.clone(),
            _ => panic!("SCRAM is usual where nothing is known"),
        }
    };
    assert_eq!(salt("ann"), salt("ann"));
    assert_ne!(salt("ann"), salt("bob"));
    assert_eq!(salt("ann").salt.len(), 16);
}

#[test]
fn f113_a_password_is_derived_once() {
    let roster = roster(Method::ScramSha256, &[("ann", "right")]);
    assert_eq!(roster.underived().count(), 1);
    assert_eq!(log_in(&roster, "ann", "wrong").derivations, 1);
    assert_eq!(log_in(&roster, "ann", "right").derivations, 0);
    assert_eq!(roster.underived().count(), 0);
}

#[test]
fn any_of_several_passwords_is_right() {
    let secrets = [("ann".to_owned(), Secret::new("new"))].into();
    let others = [("ann".to_owned(), vec![Secret::new("old"), Secret::new("older")])].into();
    let users = Users { secrets, others };
    for method in [Method::Cleartext, Method::Md5, Method::ScramSha256] {
        for derived_ahead in [false, true] {
            let door = Door { roster: Roster::new(&users, [3; 32]).unwrap(), method };
            let underived: Vec<_> = door.underived().filter(|_| derived_ahead).collect();
            for (user, derivation) in underived {
                door.derived(user, &derivation, &derivation.run());
            }
            for (password, right) in [("older", true), ("new", true), ("old", true), ("newer", false)] {
                let expected = if right { Ok(method) } else { failed("ann") };
                assert_eq!(log_in(&door, "ann", password).end, expected, "{method:?} {password}");
            }
        }
    }
}

#[test]
fn an_empty_secret_opens_nothing() {
    for method in [Method::Cleartext, Method::Md5, Method::ScramSha256] {
        assert_eq!(log_in(&roster(method, &[("ann", "")]), "ann", "").end, failed("ann"));
    }
}

#[test]
fn a_malformed_verifier_is_named() {
    let secrets = [("ann".to_owned(), Secret::new("SCRAM-SHA-256$4096:x"))].into();
    let users = Users { secrets, ..Users::default() };
    let error = Roster::new(&users, [0; 32]).err().unwrap();
    assert_eq!(error.to_string(), "the SCRAM verifier of user \"ann\" is malformed");
}

#[test]
fn f115_a_malformed_answer_is_a_violation() {
    let roster = roster(Method::ScramSha256, &[("ann", "right")]);
    for user in ["ann", "bob"] {
        for body in [&b""[..], b"SCRAM-SHA-256-PLUS\0\0\0\0\0", b"SCRAM-SHA-256\0\0\0\0\x03n,,", b"\xff\xff"]
        {
            let Turn::Ask { question, .. } = roster.login(user) else { panic!() };
            let refused = matches!(question.answer(body), Turn::Refused(Fault::ProtocolViolation(_)));
            assert!(refused, "{body:?}");
        }
    }
}
