//! The stages as a table, and the shell with clients that only wait for their strings to be pulled.

use tokio::sync::mpsc;

use super::*;
use crate::observe::readiness::NotReady;

const LONG: Duration = Duration::from_secs(3600);
const AT_ONCE: Shutdown = Shutdown { delay: Duration::ZERO, timeout: LONG };

fn walk(settings: &Shutdown, events: &[Event]) -> Stage {
    let now = Instant::now();
    events.iter().fold(Stage::Serving, |stage, event| stage.next(*event, now, settings))
}

#[test]
fn every_event_in_every_stage() {
    use Event::{Gone, Over, Stop};
    let now = Instant::now();
    let settings = Shutdown { delay: Duration::from_secs(5), timeout: Duration::from_secs(30) };
    let announced = Stage::Announced { until: now + settings.delay };
    let finishing = Stage::Finishing { until: now + settings.timeout };
    let ending = |because| Stage::Ending { until: now + LAST_WORDS, because };
    let (forced, timed_out) = (ending(Outcome::Forced), ending(Outcome::TimedOut));
    let ended = Stage::Ended;
    let table = [
        (Stage::Serving, [(Stop, announced), (Over, Stage::Serving), (Gone, Stage::Serving)]),
        (announced, [(Stop, forced), (Over, finishing), (Gone, announced)]),
        (finishing, [(Stop, forced), (Over, timed_out), (Gone, ended(Outcome::Finished))]),
        (forced, [Stop, Over, Gone].map(|event| (event, ended(Outcome::Forced)))),
        (timed_out, [Stop, Over, Gone].map(|event| (event, ended(Outcome::TimedOut)))),
        (ended(Outcome::Forced), [Stop, Over, Gone].map(|event| (event, ended(Outcome::Forced)))),
    ];
    for (stage, row) in table {
        for (event, next) in row {
            assert_eq!(stage.next(event, now, &settings), next, "{event:?} in {stage:?}");
        }
    }
}

#[test]
fn without_a_delay_finishing_comes_at_once() {
    assert!(matches!(walk(&AT_ONCE, &[Event::Stop]), Stage::Finishing { .. }));
}

#[test]
fn every_stage_on_the_way_out_has_an_end_in_time() {
    let settings = Shutdown { delay: LONG, timeout: LONG };
    let ways: [&[Event]; 3] =
        [&[Event::Stop], &[Event::Stop, Event::Over], &[Event::Stop, Event::Over, Event::Over]];
    for way in ways {
        assert!(walk(&settings, way).until().is_some(), "{way:?}");
    }
}

/// A drain under way: `ask` stops it.
struct Draining {
    strings: Strings,
    ask: mpsc::Sender<()>,
    outcome: tokio::task::JoinHandle<Outcome>,
}

impl Draining {
    fn start(settings: Shutdown, strings: Strings) -> Self {
        let (ask, mut asked) = mpsc::channel(8);
        let pulled = strings.clone();
        let outcome = tokio::spawn(async move {
            let poll_stop = |cx: &mut Context<'_>| match asked.poll_recv(cx) {
                Poll::Ready(Some(())) => Poll::Ready(()),
                Poll::Ready(None) | Poll::Pending => Poll::Pending,
            };
            pulled.run(&settings, poll_stop).await
        });
        strings.readiness.accepting();
        Self { strings, ask, outcome }
    }

    async fn stop(&self) {
        self.ask.send(()).await.expect("the drain listens");
    }

    async fn outcome(self) -> Outcome {
        self.outcome.await.expect("the drain doesn't panic")
    }
}

/// A listener that tells, when it closes, whether idle clients had been sent away before.
fn listener(strings: &Strings) -> tokio::task::JoinHandle<bool> {
    let (close, drain) = (strings.close.clone(), strings.drain.clone());
    strings.listeners.spawn(async move {
        close.cancelled().await;
        tokio::task::yield_now().await;
        drain.is_cancelled()
    })
}

/// A client that goes when `string` is pulled.
fn client(strings: &Strings, string: &CancellationToken) {
    let string = string.clone();
    strings.clients.spawn(async move { string.cancelled().await });
}

#[tokio::test]
async fn f61_listeners_close_before_idle_clients_go_and_workers_finish() {
    let draining = Draining::start(AT_ONCE, Strings::default());
    let strings = draining.strings.clone();
    let listener = listener(&strings);
    client(&strings, &strings.drain);
    let work = CancellationToken::new();
    client(&strings, &work);

    draining.stop().await;
    strings.drain.cancelled().await;
    assert!(!listener.await.expect("the listener closes"), "idle clients went first");
    assert_eq!(strings.readiness.check(false), Err(NotReady::Draining));
    assert!(!strings.end.is_cancelled() && !draining.outcome.is_finished());

    work.cancel();
    assert_eq!(draining.outcome().await, Outcome::Finished);
    assert!(!strings.end.is_cancelled());
}

#[tokio::test]
async fn f61_who_works_for_too_long_is_ended() {
    let settings = Shutdown { delay: Duration::ZERO, timeout: Duration::from_millis(1) };
    let draining = Draining::start(settings, Strings::default());
    client(&draining.strings, &draining.strings.end);
    draining.stop().await;
    assert_eq!(draining.outcome().await, Outcome::TimedOut);
}

#[tokio::test]
async fn f62_the_second_signal_stops_now() {
    let draining = Draining::start(AT_ONCE, Strings::default());
    client(&draining.strings, &draining.strings.end);
    draining.stop().await;
    draining.strings.drain.cancelled().await;
    draining.stop().await;
    assert_eq!(draining.outcome().await, Outcome::Forced);
}

#[tokio::test]
async fn a_client_that_hears_nothing_does_not_hold_the_process() {
    let draining = Draining::start(AT_ONCE, Strings::default());
    client(&draining.strings, &CancellationToken::new());
    draining.stop().await;
    draining.stop().await;
    draining.stop().await;
    assert_eq!(draining.outcome().await, Outcome::Forced);
}

#[tokio::test]
async fn with_a_delay_only_readyz_changes_at_first() {
    let draining = Draining::start(Shutdown { delay: LONG, timeout: LONG }, Strings::default());
    let strings = draining.strings.clone();
    client(&strings, &strings.end);
    draining.stop().await;
    while strings.readiness.check(false).is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!strings.close.is_cancelled() && !strings.drain.is_cancelled());
    draining.stop().await;
    assert_eq!(draining.outcome().await, Outcome::Forced);
}

#[tokio::test]
async fn without_clients_the_end_comes_at_once() {
    let draining = Draining::start(AT_ONCE, Strings::default());
    draining.stop().await;
    assert_eq!(draining.outcome().await, Outcome::Finished);
}
