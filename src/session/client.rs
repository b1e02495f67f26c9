//! What one client believes: its statements, its settings, what it was told of the server's parameters.

use std::sync::Arc;

use super::params::Params;
use super::pins::Pins;
use super::replies::About;
use super::settings::Settings;
use super::statements::client::ClientStatements;
use super::statements::shared::Statement;
use crate::sql::{Analysis, Effects};
use crate::wire::fault::Fault;

/// The only startup parameter that is no part of the profile: it is set on whatever server a client gets.
pub const APPLICATION_NAME: &str = "application_name";

#[derive(Debug)]
pub struct ClientState {
    /// The process id that it was told to have.
    pub pid: i32,
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
    /// Why its query is being cancelled, when it was not its own wish.
    pub cancel_reason: Option<Box<Fault>>,
    /// Portals whose texts name prepared statements. They end with their transaction.
    pub portals: Option<Box<NamingPortals>>,
}

impl ClientState {
    pub fn new(settings: Arc<Settings>, told: Params, application_name: Option<Box<str>>) -> Self {
        Self {
            pid: 0,
            statements: ClientStatements::default(),
            settings,
            application_name,
            told,
            touch: Touch::default(),
            pins: Pins::default(),
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
    /// Settings whose value may be another now, in lower case.
    pub names: Vec<Box<str>>,
}

impl Touch {
    pub fn add(&mut self, analysis: &Analysis) {
        if analysis.effects.is_empty() {
            return;
        }
        self.effects |= analysis.effects;
        for name in &analysis.names {
            self.add_name(name);
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
        self.names.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{Dialect, Extent, NoWords, analyse};

    fn touched(text: &str) -> Touch {
        let mut touch = Touch::default();
        touch.add(&analyse(text.as_bytes(), Dialect::default(), Extent::Whole, &NoWords));
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
    fn a_reported_identity_is_no_setting() {
        for name in ["session_authorization", "is_superuser"] {
            let mut touch = Touch::default();
            touch.add_name(name);
            assert_eq!(touch, Touch { effects: Effects::IDENT, names: vec![] });
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
