//! What one client believes: its statements, its settings, what it was told of the server's parameters.

use std::sync::Arc;

use super::params::Params;
use super::pins::Pins;
use super::replies::About;
use super::sequences::Mark;
use super::settings::Settings;
use super::statements::client::ClientStatements;
use super::statements::shared::Statement;
use crate::catalog::Moment;
use crate::sql::{Effects, MEANING};
use crate::wire::fault::Fault;

/// The only startup parameter that is no part of the profile: it is set on whatever server a client gets.
pub const APPLICATION_NAME: &str = "application_name";

#[derive(Debug)]
pub struct ClientState {
    pub statements: ClientStatements,
    /// What it has set, as PostgreSQL last confirmed.
    pub settings: Arc<Settings>,
    /// What RESET gives back to [`APPLICATION_NAME`].
    pub application_name: Option<Box<str>>,
    /// The parameters as it was last told.
    pub told: Params,
    pub touch: Touch,
    /// Why it keeps its server.
    pub pins: Pins,
    /// Its last use of a sequence.
    pub sequences: Option<Mark>,
    /// Why its query is being cancelled, when it was not its own wish.
    pub cancel_reason: Option<Box<Fault>>,
    /// Portals whose texts name prepared statements. They end with their transaction.
    pub portals: Option<Box<NamingPortals>>,
}

impl ClientState {
    pub fn new(settings: Arc<Settings>, told: Params, application_name: Option<Box<str>>) -> Self {
        Self {
            statements: ClientStatements::default(),
            settings,
            application_name,
            told,
            touch: Touch::default(),
            pins: Pins::default(),
            sequences: None,
            cancel_reason: None,
            portals: None,
        }
    }
}

/// Boxed, since hardly any client has some.
#[derive(Debug, Default)]
pub struct NamingPortals {
    pub list: Vec<NamingPortal>,
}

/// A portal of `EXECUTE`, `DEALLOCATE`, or the like.
#[derive(Debug)]
pub struct NamingPortal {
    pub name: Box<[u8]>,
    pub statement: Arc<Statement>,
    /// What it names, as it was when it was bound.
    pub about: About,
}

/// Signs that the session's state may have changed, collected since PostgreSQL was last asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touch {
    pub effects: Effects,
    pub(super) judged: Judged,
    /// Settings whose value may be another now, in lower case.
    pub names: Vec<Box<str>>,
    /// Settings that change what texts mean may hold for the transaction only.
    pub local_meaning: bool,
    /// The client was told that something of this is done, so it relies on it.
    pub(super) relied_on: bool,
}

/// Of texts that run no routine, so that no dictionary matters for them. (`CREATE TABLE AS` may; everything is asked for
/// after it, too.)
const RUNS_NOTHING: Effects = Effects::TX_BEGIN.or(Effects::TX_EXIT).or(Effects::CATALOG);
const RUNS_MORE: Effects = Effects::MULTI.or(Effects::OPAQUE);

/// By which dictionary texts were judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Judged {
    /// There was none.
    #[default]
    Nothing,
    /// By those that were right at this moment.
    At(Moment),
    AtMany,
}

impl Touch {
    /// A text was sent. `effects` were judged by the dictionary of `moment`, `names` stand in the text.
    pub fn add(&mut self, effects: Effects, names: &[Box<str>], moment: Moment) {
        let runs_nothing = effects.intersects(RUNS_NOTHING) && !effects.intersects(RUNS_MORE);
        match self.judged {
            _ if runs_nothing => {}
            Judged::At(known) if known == moment => {}
            Judged::Nothing => self.judged = Judged::At(moment),
            Judged::At(_) | Judged::AtMany => self.judged = Judged::AtMany,
        }
        if effects.is_empty() {
            return;
        }
        self.effects |= effects;
        for name in names {
            self.add_name(name);
        }
    }

    /// Whether texts were judged by a dictionary that wasn't right all the time from then to `now`.
    pub fn is_doubtful(&self, now: Moment) -> bool {
        match self.judged {
            Judged::Nothing => false,
            Judged::At(moment) => moment != now,
            Judged::AtMany => true,
        }
    }

    /// A setting changed, whatever did it.
    pub fn add_name(&mut self, name: &str) {
        if matches!(name, "session_authorization" | "is_superuser") {
            return self.effects |= Effects::IDENT;
        }
        self.effects |= Effects::GUC;
        if !self.names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            self.names.push(name.to_ascii_lowercase().into());
        }
    }

    /// Whether PostgreSQL has to be asked before the server may go to someone else.
    pub fn needs_settling(&self) -> bool {
        self.effects.intersects(Effects::STATE)
    }

    /// Whether texts may mean something else than under the client's settings as they were last confirmed.
    pub fn changes_meaning(&self) -> bool {
        const ANY: Effects = Effects::GUC_ALL.or(Effects::IDENT).or(Effects::OPAQUE);
        self.effects.intersects(ANY)
            || self.local_meaning
            || self.names.iter().any(|name| MEANING.contains(&&**name))
    }

    /// The client hears that all it has asked for is done.
    pub fn rely(&mut self) {
        self.relied_on |= self.needs_settling();
    }

    /// Whether the client would miss something if the server were gone before PostgreSQL was asked.
    pub fn is_relied_on(&self) -> bool {
        self.relied_on
    }

    /// Whether the way in which the server reads texts may be another than it last reported.
    pub fn changes_dialect(&self) -> bool {
        self.effects.intersects(Effects::GUC.or(Effects::GUC_ALL).or(Effects::OPAQUE))
            && (self.effects.contains(Effects::GUC_ALL)
                || self
                    .names
                    .iter()
                    .any(|name| matches!(&**name, "standard_conforming_strings" | "client_encoding")))
    }

    pub fn clear(&mut self) {
        self.effects = Effects::NONE;
        self.judged = Judged::Nothing;
        self.names.clear();
        self.local_meaning = false;
        self.relied_on = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{Dialect, Extent, NoWords, analyse};

    fn touched(text: &str) -> Touch {
        let mut touch = Touch::default();
        let analysis = analyse(text.as_bytes(), Dialect::default(), Extent::Whole, &NoWords);
        touch.add(analysis.effects, &analysis.names, Moment::numbered(1));
        touch
    }

    #[test]
    fn signs_add_up_until_they_are_cleared() {
        let mut touch = touched("SET Work_Mem = 1; SET work_mem = 2; LISTEN x");
        touch.add_name("DateStyle");
        touch.add_name("datestyle");
        assert_eq!(touch.names, ["work_mem".into(), "datestyle".into()]);
        assert!(touch.effects.contains(Effects::GUC | Effects::LISTEN) && touch.needs_settling());
        touch.clear();
        assert_eq!(touch, Touch::default());
    }

    #[test]
    fn what_was_judged_by_another_dictionary_is_doubtful() {
        let [one, two] = [1, 2].map(Moment::numbered);
        let mut touch = Touch::default();
        assert!(!touch.is_doubtful(one), "no text, no doubt");
        touch.add(Effects::DDL | Effects::CATALOG, &[], one);
        touch.add(Effects::TX_EXIT, &[], one);
        assert!(!touch.is_doubtful(two), "they run no routine");
        touch.add(Effects::NONE, &[], one);
        assert!(!touch.is_doubtful(one) && touch.is_doubtful(two));
        touch.add(Effects::NONE, &[], two);
        assert!(touch.is_doubtful(one) && touch.is_doubtful(two));
        touch.clear();
        assert_eq!(touch, Touch::default());
    }

    #[test]
    fn a_reported_identity_is_no_setting() {
        for name in ["session_authorization", "is_superuser"] {
            let mut touch = Touch::default();
            touch.add_name(name);
            assert_eq!(touch, Touch { effects: Effects::IDENT, ..Touch::default() });
        }
    }

    #[test]
    fn texts_are_read_with_care_while_their_reading_changes() {
        assert!(touched("SET standard_conforming_strings = off").changes_dialect());
        assert!(touched("SET NAMES 'SJIS'").changes_dialect());
        assert!(touched("RESET ALL").changes_dialect());
        assert!(!touched("SET work_mem = 1").changes_dialect());
        assert!(!touched("SELECT 1").changes_dialect());
    }
}
