//! What the log and the list of events hear. Each thing once; what clients can cause any number of times, a few times, with
//! the number of those that were kept back.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::pool::{Found, Judgement};
use crate::meter::counters::Counters;
use crate::meter::news::{EventKind, News, Severity};
use crate::pool::snapshot::PoolSnapshot;

pub(super) fn tell(counters: &Counters, pool: &PoolSnapshot, judgement: &Judgement, found: &Found) {
    let name = format!("{}/{}", pool.database, pool.user);
    let Judgement { text: why, advice, .. } = judgement;
    let advice = advice.as_ref().map_or("", |advice| &*advice.text);
    let note = |kind, severity, text: String| {
        counters.news.add(News {
            number: 0,
            at: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            kind,
            severity,
            pool: Some((pool.database.clone(), pool.user.clone())),
            text,
        });
    };
    match found {
        Found::ShortageBegan(verdict) => {
            tracing::warn!(pool = ?name, verdict = verdict.label(), why, advice, "saturation begins");
            note(EventKind::SaturationBegan, Severity::Warning, format!("{verdict}: {why}"));
        }
        Found::ShortageEnded { verdict, after, peak } => {
            let seconds = after.as_secs();
            tracing::info!(pool = ?name, verdict = verdict.label(), seconds, peak, "saturation ends");
            note(
                EventKind::SaturationEnded,
                Severity::Info,
                format!("after {seconds} s, with at most {peak} clients waiting at once: {verdict}"),
            );
        }
        Found::Verdict { verdict, before } => {
            let (verdict_label, before_label) = (verdict.label(), before.label());
            tracing::info!(pool = ?name, verdict = verdict_label, before = before_label, why, advice, "verdict");
            note(EventKind::VerdictChanged, Severity::Info, format!("{verdict}, before {before}: {why}"));
        }
        Found::Down(why) => {
            tracing::warn!(pool = ?name, why, "upstream down");
            note(EventKind::UpstreamDown, Severity::Warning, why.clone());
        }
        Found::Up { after } => {
            let seconds = after.as_secs();
            tracing::info!(pool = ?name, seconds, "upstream up");
            note(EventKind::UpstreamUp, Severity::Info, format!("after {seconds} s"));
        }
        Found::TimedOut(count) => {
            if let Some(suppressed) = counters.limiter.pass("queue timeout", Instant::now()) {
                tracing::warn!(pool = ?name, count, suppressed, "clients waited in vain");
                note(
                    EventKind::LimitHit,
                    Severity::Warning,
                    format!("{count} clients waited in vain for a server"),
                );
            }
        }
        Found::Refused { count, limit } => {
            if let Some(suppressed) = counters.limiter.pass("queue full", Instant::now()) {
                tracing::warn!(pool = ?name, count, limit, suppressed, "clients were refused: the queue is full");
                let text = format!("{count} clients were refused, since {limit} waited already");
                note(EventKind::LimitHit, Severity::Warning, text);
            }
        }
    }
}
