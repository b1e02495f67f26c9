//! Signals, in a process of their own: handlers stay for a process's life and would keep Ctrl-C from the others.

use std::future::poll_fn;
use std::task::Poll;

use pgweir::lifecycle::signals::Signals;
use rustix::process::{Signal, getpid, kill_process};

#[tokio::test]
async fn f62_both_signals_ask_to_stop_and_a_hangup_does_not() {
    let mut signals = Signals::listen().expect("handlers can be set");
    let send = |signal| kill_process(getpid(), signal).expect("our own process");

    for signal in [Signal::TERM, Signal::INT] {
        send(Signal::HUP);
        send(signal);
        poll_fn(|cx| signals.poll_stop(cx)).await;
        // The hangup came first, so it is here as well.
        let asked = poll_fn(|cx| Poll::Ready(signals.poll_stop(cx))).await;
        assert_eq!(asked, Poll::Pending);
    }
}
