//! The rules by which clients come in: read at the start, and again at SIGHUP. What stands in the configuration itself stays
//! as it was read with it; files are read anew, those that it includes, too.
//!
//! Rules that can't be used never replace those that could: it is told in the log, and counted.

use std::sync::Arc;

use tokio::signal::unix::Signal;
use tokio::task::spawn_blocking;

use crate::client::admission::Admission;
use crate::config::auth::Auth;
use crate::meter::counters::{Counters, Done};

/// Reads the rules again at each `hangup`.
pub(super) async fn watch(
    auth: Auth,
    has_ca: bool,
    admission: Arc<Admission>,
    counters: Arc<Counters>,
    mut hangup: Signal,
) {
    if !auth.has_rules() {
        return;
    }
    while hangup.recv().await.is_some() {
        let auth = auth.clone();
        // A panic there is told by the hook; the next signal is a new try.
        let Ok(read) = spawn_blocking(move || auth.rules(has_ca)).await else { continue };
        counters.rule_reloads.inc(Done::of(&read).text());
        match read {
            Ok(rules) => {
                tracing::info!(rules = rules.rules().len(), "HBA rules were read again");
                admission.replace(rules);
            }
            Err(error) => tracing::error!(%error, "new HBA rules can't be used, the old ones stay"),
        }
    }
}
