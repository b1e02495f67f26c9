//! What a database said of its users, for a while.
//!
//! The database is asked at each login, so that a change there is in force at once. What is kept here spares it in two
//! cases: logins that come while the same question is on its way share its answer, and a name that comes very often is
//! asked for a bounded number of times a second. And it bridges an outage: what was said last stands for a moment while nobody
//! answers. Names that nobody knows are kept like the others, or they could be told apart.
//!
//! Depends on `lookup`; time is a value. Invariant: bounded in number and in time, and no answer is used for a login
//! that came after it was asked for, but in the cases above.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::lookup::{Answer, LookedUp, Usual};
use super::roster::most_common;

/// How long an answer is used while no newer one can be had.
pub const STANDS: Duration = Duration::from_secs(30);
/// Questions about one name within each [`PERIOD`]; more logins than that share the last answer of it.
pub const QUESTIONS: u32 = 200;
pub const PERIOD: Duration = Duration::from_secs(1);
/// Answers kept, of users that exist and of names that don't, each. Beyond that all of its kind are forgotten, so that
/// a flood of invented names costs no user's answer.
pub const KEPT: usize = 4_096;

/// As soon as so many users are known it is settled what most of them have.
const SAMPLE: usize = 64;

/// A user's name, and the database's that they want to go to.
pub type Name = (Box<str>, Box<str>);

/// The answers of one database.
#[derive(Debug, Default)]
pub struct Answers {
    known: HashMap<Name, Kept, foldhash::fast::RandomState>,
    unknown: HashMap<Name, Kept, foldhash::fast::RandomState>,
    usual: Usual,
}

#[derive(Debug)]
struct Kept {
    answer: Option<Arc<LookedUp>>,
    /// When the question was sent.
    asked: Instant,
    /// When the first question of this period was, and how many there were.
    period: Instant,
    questions: u32,
}

impl Answers {
    /// An answer for a login that came at `arrived`; `None`: the database has to be asked.
    pub fn look(&self, now: Instant, arrived: Instant, name: &Name) -> Option<Answer> {
        let kept = self.find(name)?;
        let is_shared = kept.asked >= arrived;
        let is_spared = kept.questions >= QUESTIONS && now.saturating_duration_since(kept.period) < PERIOD;
        (is_shared || is_spared).then(|| self.answer(kept))
    }

    /// The last answer, for when the database can't be asked.
    pub fn last(&self, now: Instant, name: &Name) -> Option<Answer> {
        self.find(name)
            .filter(|kept| now.saturating_duration_since(kept.asked) < STANDS)
            .map(|kept| self.answer(kept))
    }

    /// Takes in what was said to a question that was sent at `asked`. Returns what stood before, if it is something
    /// else: keys that go with it open nothing any more.
    pub fn learn(
        &mut self,
        asked: Instant,
        name: Name,
        answer: Option<LookedUp>,
    ) -> (Answer, Option<Arc<LookedUp>>) {
        let before = self.known.remove(&name).or_else(|| self.unknown.remove(&name));
        let (period, questions) = match &before {
            Some(kept) if asked.saturating_duration_since(kept.period) < PERIOD => {
                (kept.period, kept.questions.saturating_add(1))
            }
            _ => (asked, 1),
        };
        let kept = Kept { answer: answer.map(Arc::new), asked, period, questions };
        let old = before.and_then(|kept| kept.answer);
        let same =
            old.as_ref().zip(kept.answer.as_ref()).is_some_and(|(old, new)| old.has_the_password_of(new));
        let is_known = kept.answer.is_some();
        let place = if is_known { &mut self.known } else { &mut self.unknown };
        if place.len() >= KEPT {
            place.clear();
        }
        let answer = kept.answer.clone();
        place.insert(name, kept);
        if is_known && !same && self.known.len() <= SAMPLE {
            self.usual = self.most_usual();
        }
        let answer = answer.map_or(Answer::Unknown { like: self.usual }, Answer::Known);
        (answer, old.filter(|_| !same))
    }

    /// What was said before doesn't stand any more, and nothing else is known.
    pub fn forget(&mut self, name: &Name) {
        self.known.remove(name);
        self.unknown.remove(name);
    }

    /// For one whom nobody can be asked about.
    pub fn stranger(&self) -> Answer {
        Answer::Unknown { like: self.usual }
    }

    fn find(&self, name: &Name) -> Option<&Kept> {
        self.known.get(name).or_else(|| self.unknown.get(name))
    }

    fn answer(&self, kept: &Kept) -> Answer {
        kept.answer.clone().map_or(Answer::Unknown { like: self.usual }, Answer::Known)
    }

    fn most_usual(&self) -> Usual {
        let usual = self.known.values().filter_map(|kept| kept.answer.as_ref()).map(|found| found.usual());
        most_common(usual).unwrap_or_default()
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;
    use crate::auth::lookup;
    use crate::auth::roster::Kind;

    fn name(user: &str) -> Name {
        (user.into(), "app".into())
    }

    fn found(user: &str, secret: &str) -> LookedUp {
        let column = |text: &str| Some(text.as_bytes().to_vec());
        let door = ["t"; 3].map(column);
        lookup::read(user, &door, &[vec![column(user), column(secret)]]).unwrap().unwrap()
    }

    fn md5(digit: &str) -> String {
        format!("md5{}", digit.repeat(32))
    }

    fn is_known(answer: Option<Answer>) -> Option<bool> {
        answer.map(|answer| matches!(answer, Answer::Known(_)))
    }

    #[test]
    fn an_answer_serves_the_logins_that_came_before_its_question() {
        let mut answers = Answers::default();
        let start = Instant::now();
        let later = start + Duration::from_millis(1);
        assert!(answers.look(start, start, &name("ann")).is_none());
        answers.learn(start, name("ann"), Some(found("ann", &md5("a"))));
        answers.learn(start, name("eve"), None);
        for (user, known) in [("ann", true), ("eve", false)] {
            assert_eq!(is_known(answers.look(later, start, &name(user))), Some(known));
            assert_eq!(is_known(answers.look(later, later, &name(user))), None, "a later login asks anew");
            assert_eq!(is_known(answers.last(later, &name(user))), Some(known));
            assert_eq!(is_known(answers.last(start + STANDS, &name(user))), None);
            answers.forget(&name(user));
            assert_eq!(is_known(answers.last(later, &name(user))), None);
        }
        assert!(answers.look(later, start, &("ann".into(), "other".into())).is_none(), "another database");
    }

    #[test]
    fn a_name_that_comes_very_often_is_asked_for_a_bounded_number_of_times_a_second() {
        for user in ["ann", "eve"] {
            let mut answers = Answers::default();
            let start = Instant::now();
            let mut asked = 0;
            for at in (0..1_500).map(|ms| start + Duration::from_millis(ms)) {
                if answers.look(at, at, &name(user)).is_none() {
                    asked += 1;
                    answers.learn(at, name(user), (user == "ann").then(|| found("ann", &md5("a"))));
                }
            }
            assert_eq!(asked, 2 * QUESTIONS, "{user}");
        }
    }

    #[test]
    fn what_is_said_otherwise_is_told() {
        let mut answers = Answers::default();
        let now = Instant::now();
        let mut learn = |secret: Option<String>| {
            let answer = secret.map(|secret| found("ann", &secret));
            answers.learn(now, name("ann"), answer).1.is_some()
        };
        assert_eq!(
            [Some(md5("a")), Some(md5("a")), Some(md5("b")), None, Some(md5("b"))].map(&mut learn),
            [false, false, true, true, false]
        );
    }

    #[test]
    fn a_flood_of_names_costs_no_users_answer() {
        let mut answers = Answers::default();
        let now = Instant::now();
        answers.learn(now, name("ann"), Some(found("ann", &md5("a"))));
        for n in 0..3 * KEPT {
            answers.learn(now, name(&n.to_string()), None);
            assert!(answers.unknown.len() <= KEPT);
        }
        assert_eq!(is_known(answers.last(now, &name("ann"))), Some(true));
        for n in 0..3 * KEPT {
            let user = format!("u{n}");
            answers.learn(now, name(&user), Some(found(&user, &md5("a"))));
            assert!(answers.known.len() <= KEPT);
        }
    }

    #[test]
    fn strangers_look_as_most_users_do() {
        let mut answers = Answers::default();
        let now = Instant::now();
        let kind = |answers: &Answers| match answers.stranger() {
            Answer::Unknown { like } => like.kind,
            Answer::Known(_) => panic!(),
        };
        assert_eq!(kind(&answers), Kind::Scram);
        answers.learn(now, name("ann"), Some(found("ann", &md5("a"))));
        assert_eq!(kind(&answers), Kind::Md5);
        let verifier = postgres_protocol::password::scram_sha_256(b"secret");
        for user in ["bob", "cid"] {
            answers.learn(now, name(user), Some(found(user, &verifier)));
        }
        assert_eq!(kind(&answers), Kind::Scram);
    }
}
