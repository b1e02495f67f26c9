//! All certificates of the process: read at the start, looked at again every 30 s and at SIGHUP.
//!
//! What can't be used never replaces what could: it is told in the log, once, and counted.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use parking_lot::Mutex;
use thiserror::Error;
use tokio::signal::unix::Signal;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use crate::config::Plan;
use crate::meter::counters::{Counters, Done};
use crate::net::tls::TlsError;
use crate::net::tls::inbound::Inbound;
use crate::net::tls::outbound::Outbound;

/// Kubernetes replaces files without telling anyone.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Certificates at the start that can't be used.
#[derive(Debug, Error)]
#[error("TLS for {whom}: {error}")]
pub struct CertificateError {
    whom: String,
    #[source]
    error: TlsError,
}

#[derive(Debug)]
pub struct Certificates {
    pub inbound: Option<Arc<Inbound>>,
    /// By database, `*` for the wildcard.
    outbound: HashMap<String, Arc<Outbound>>,
}

impl Certificates {
    /// Reads the files that `plan` names; blocks.
    pub fn read(plan: &Plan) -> Result<Self, CertificateError> {
        let inbound = Inbound::new(&plan.client_tls)
            .map_err(|error| CertificateError { whom: "clients".to_owned(), error })?;
        if inbound.as_ref().is_some_and(|inbound| !inbound.is_valid_now()) {
            tracing::warn!(
                "the certificate for clients is not valid now: those that verify it won't connect"
            );
        }
        let mut outbound = HashMap::new();
        for database in plan.databases.iter() {
            let upstream = &database.upstream;
            let read = Outbound::new(&upstream.tls, upstream.tcp_hosts()).map_err(|error| {
                let whom = format!("the servers of database {:?}", database.name);
                CertificateError { whom, error }
            })?;
            outbound.insert(database.name.clone(), Arc::new(read));
        }
        Ok(Self { inbound: inbound.map(Arc::new), outbound })
    }

    pub fn outbound(&self, database: &str) -> Option<Arc<Outbound>> {
        self.outbound.get(database).cloned()
    }

    /// Looks at the files again and again.
    pub async fn watch(self, counters: Arc<Counters>, mut hangup: Signal) {
        let certificates = Arc::new(self);
        let told = Arc::new(Mutex::default());
        let mut ticks = interval(LOOK_AGAIN);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            poll_fn(|cx| match (ticks.poll_tick(cx), hangup.poll_recv(cx)) {
                (Poll::Pending, Poll::Pending) => Poll::Pending,
                _ => Poll::Ready(()),
            })
            .await;
            let (certificates, counters, told) = (certificates.clone(), counters.clone(), Arc::clone(&told));
            // A panic there is told by the hook; the next look is a new one.
            let _ = spawn_blocking(move || certificates.look(&counters, &mut told.lock())).await;
        }
    }

    fn look(&self, counters: &Counters, told: &mut Told) {
        if let Some(inbound) = &self.inbound {
            tell(counters, told, None, inbound.reload());
            counters.client_certificate_end.set(inbound.not_after().as_secs());
        }
        for (database, outbound) in &self.outbound {
            tell(counters, told, Some(database), outbound.reload());
        }
        let ends = self.outbound.values().filter_map(|outbound| outbound.not_after());
        counters.server_certificate_end.set(ends.min().unwrap_or_default().as_secs());
    }
}

/// The last error about the clients' certificates, and about those of each database.
type Told = HashMap<Option<String>, String>;

fn tell(counters: &Counters, told: &mut Told, database: Option<&str>, reloaded: Result<bool, TlsError>) {
    let whom = database.map(str::to_owned);
    match &reloaded {
        Ok(false) => return,
        Ok(true) => {
            told.remove(&whom);
            tracing::info!(database, "new TLS certificates");
        }
        Err(error) => {
            let error = error.to_string();
            if told.insert(whom, error.clone()).as_ref() != Some(&error) {
                tracing::error!(database, error, "new TLS certificates can't be used, the old ones stay");
            }
        }
    }
    counters.certificate_reloads.inc(Done::of(&reloaded).text());
}
