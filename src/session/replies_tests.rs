//! The reply queue.

use proptest::prelude::*;

use super::*;

fn slot(awaits: Awaits) -> Slot {
    Slot { awaits, fate: Fate::Forward, in_batch: false, statement: None, undo: Undo::Nothing }
}

fn queue(sent: &[Awaits]) -> Replies {
    let mut replies = Replies::default();
    sent.iter().for_each(|awaits| replies.sent(slot(*awaits)));
    replies
}

/// Receives all of `tags`; gives the kinds of slots that they ended.
fn receive(replies: &mut Replies, tags: &[u8]) -> Vec<Awaits> {
    let mut ended = Vec::new();
    for tag in tags {
        match replies.receive(*tag).unwrap_or_else(|mismatch| panic!("{mismatch}")) {
            Reply::Done(slot) => ended.push(slot.awaits),
            Reply::Failed(slot) => {
                ended.push(slot.awaits);
                while replies.skipped().is_some() {}
            }
            Reply::Aside { .. } | Reply::More(_) | Reply::LateReady => {}
        }
    }
    ended
}

use Awaits::{Bind, Close, CopyEnd, Describe, Execute, FunctionCall, Parse, Query, Sync};

#[test]
fn each_message_is_ended_by_its_own_reply() {
    for (awaits, replies) in [
        (Parse, &b"1"[..]),
        (Bind, b"2"),
        (Describe, b"tT"),
        (Describe, b"tn"),
        (Describe, b"n"),
        (Execute, b"DDC"),
        (Execute, b"I"),
        (Execute, b"Ds"),
        (Execute, b"HddcC"),
        (Close, b"3"),
        (Sync, b"Z"),
        (Sync, b"EZ"),
        (Query, b"TDDCTDCZ"),
        (Query, b"IZ"),
        (Query, b"TDEZ"),
        (Query, b"HddcCZ"),
        (FunctionCall, b"VZ"),
        (FunctionCall, b"EZ"),
    ] {
        let mut queue = queue(&[awaits]);
        assert_eq!(receive(&mut queue, replies), [awaits], "{awaits:?}");
        assert!(queue.is_empty());
    }
}

#[test]
fn a_reply_that_was_not_asked_for_is_a_mismatch() {
    for (awaits, got) in
        [(Parse, b'2'), (Bind, b'1'), (Sync, b'C'), (Query, b'2'), (Execute, b'Z'), (Close, b'T')]
    {
        assert_eq!(queue(&[awaits]).receive(got).err(), Some(Mismatch { awaited: Some(awaits), got }));
    }
    for got in *b"12DCZTE" {
        assert_eq!(Replies::default().receive(got).err(), Some(Mismatch { awaited: None, got }));
    }
    for unknown in *b"RKvW@" {
        assert!(queue(&[Query]).receive(unknown).is_err());
    }
}

#[test]
fn notices_notifications_and_parameters_belong_to_nobody() {
    let mut queue = queue(&[Parse, Sync]);
    assert_eq!(receive(&mut queue, b"NSA1NSAZ"), [Parse, Sync]);
    assert!(matches!(queue.receive(b'N'), Ok(Reply::Aside { ours: false })));
}

#[test]
fn an_error_skips_to_the_sync_and_a_query_with_it() {
    let mut queue = queue(&[Parse, Bind, Execute, Query, Parse, Sync, Query]);
    assert_eq!(receive(&mut queue, b"1E"), [Parse, Bind]);
    assert!(!queue.is_skipping(), "the Sync is on its way");
    assert_eq!(receive(&mut queue, b"ZTDCZ"), [Sync, Query]);
    assert!(queue.is_empty());
}

#[test]
fn skipping_lasts_until_a_sync_is_sent() {
    let mut queue = queue(&[Parse, Bind]);
    receive(&mut queue, b"E");
    assert!(queue.is_skipping() && queue.is_empty());
    queue.sent(slot(Sync));
    assert!(!queue.is_skipping());
    assert_eq!(receive(&mut queue, b"Z"), [Sync]);
}

#[test]
fn skipped_requests_are_given_back_last_first() {
    let mut replies = queue(&[Bind, Execute, Parse, Sync]);
    assert!(matches!(replies.receive(b'E'), Ok(Reply::Failed(slot)) if slot.awaits == Bind));
    let skipped: Vec<Awaits> = std::iter::from_fn(|| replies.skipped()).map(|slot| slot.awaits).collect();
    assert_eq!(skipped, [Parse, Execute]);
}

#[test]
fn a_sync_before_the_data_is_part_of_the_copy() {
    let mut replies = queue(&[Parse, Bind, Execute, Sync]);
    receive(&mut replies, b"12G");
    assert!(replies.is_copying_in());
    replies.sent(slot(Sync));
    replies.sent(slot(CopyEnd));
    assert!(!replies.is_copying_in(), "what follows is for the server itself");
    replies.sent(slot(Sync));
    assert_eq!(receive(&mut replies, b"CZ"), [Execute, Sync]);
    assert!(replies.is_empty() && !replies.is_doubtful());
}

#[test]
fn copy_data_may_be_on_its_way_before_the_copy_begins() {
    let mut replies = queue(&[Parse, Bind, Execute, CopyEnd, Sync]);
    assert_eq!(receive(&mut replies, b"12GCZ"), [Parse, Bind, Execute, Sync]);
    let mut replies = queue(&[Query, CopyEnd, Query]);
    assert_eq!(receive(&mut replies, b"GCZTDCZ"), [Query, Query]);
    assert!(replies.is_empty());
}

#[test]
fn a_copy_that_never_began_leaves_its_data_to_nobody() {
    let mut replies = queue(&[Parse, CopyEnd, Sync]);
    assert_eq!(receive(&mut replies, b"EZ"), [Parse, Sync]);
    let mut replies = queue(&[Query, CopyEnd, Query]);
    assert_eq!(receive(&mut replies, b"EZTDCZ"), [Query, Query]);
}

#[test]
fn two_copies_in_one_text_end_one_after_the_other() {
    let mut replies = queue(&[Query, CopyEnd, CopyEnd]);
    receive(&mut replies, b"GC");
    assert!(!replies.is_copying());
    receive(&mut replies, b"GCTDC");
    assert_eq!(receive(&mut replies, b"Z"), [Query]);
    assert!(replies.is_empty());
}

#[test]
fn a_failed_copy_with_a_sync_in_it_is_doubtful() {
    let mut replies = queue(&[Parse, Bind, Execute, Sync]);
    receive(&mut replies, b"12GE");
    assert!(replies.is_doubtful());
    assert!(matches!(replies.receive(b'Z'), Ok(Reply::LateReady)), "the server had not read it as copy data");
    assert!(!replies.is_doubtful());
    assert!(replies.receive(b'Z').is_err());
}

/// A request and whether the model server fails it.
fn requests() -> impl Strategy<Value = Vec<(Awaits, bool)>> {
    let kind = prop_oneof![
        Just(Parse),
        Just(Bind),
        Just(Describe),
        Just(Execute),
        Just(Close),
        Just(Sync),
        Just(Query),
        Just(FunctionCall)
    ];
    proptest::collection::vec((kind, proptest::bool::weighted(0.2)), 0..60)
}

/// What PostgreSQL answers, request by request: after an error of the extended protocol nothing up to the Sync.
fn answers(requests: &[(Awaits, bool)]) -> Vec<Vec<u8>> {
    let mut skipping = false;
    let answer = |(awaits, fails): &(Awaits, bool)| {
        if *awaits == Sync {
            skipping = false;
        }
        if skipping {
            return Vec::new();
        }
        let ends_itself = matches!(awaits, Query | FunctionCall | Sync);
        skipping = *fails && !ends_itself;
        let text: &[u8] = match (awaits, fails) {
            (Query | FunctionCall | Sync, true) => b"EZ",
            (_, true) => b"E",
            (Parse, _) => b"1",
            (Bind, _) => b"2",
            (Describe, _) => b"tT",
            (Execute, _) => b"DDC",
            (Close, _) => b"3",
            (Sync, _) => b"Z",
            (Query, _) => b"TDCZ",
            (FunctionCall, _) => b"VZ",
            (CopyEnd, _) => b"",
        };
        text.to_vec()
    };
    requests.iter().map(answer).collect()
}

proptest! {
    /// However far the server lags behind, the queue follows it to the end, and what a skipping server ignores is
    /// dropped in the same way whether the error was known when it was sent or not.
    #[test]
    fn the_queue_follows_any_pipeline(requests in requests(), lags in proptest::collection::vec(0usize..6, 60)) {
        let answers = answers(&requests);
        let mut replies = Replies::default();
        let (mut answered, mut ready) = (0, 0);
        let settle = |replies: &mut Replies, upto: usize, answered: &mut usize, ready: &mut usize| {
            while *answered < upto {
                for tag in &answers[*answered] {
                    let ended = receive(replies, &[*tag]);
                    *ready += usize::from(*tag == b'Z' && ended.len() == 1);
                }
                *answered += 1;
            }
        };
        for (at, (awaits, _)) in requests.iter().enumerate() {
            if !replies.is_skipping() || *awaits == Sync {
                replies.sent(slot(*awaits));
            }
            let upto = (at + 1).saturating_sub(lags[at % lags.len()]);
            settle(&mut replies, upto, &mut answered, &mut ready);
        }
        settle(&mut replies, requests.len(), &mut answered, &mut ready);
        prop_assert!(replies.is_empty());
        prop_assert_eq!(ready, answers.iter().flatten().filter(|tag| **tag == b'Z').count());
    }
}
