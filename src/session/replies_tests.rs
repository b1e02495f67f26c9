//! The reply queue: every row of `judge`, skipping, copies.

use proptest::prelude::*;

use super::*;

fn slot(awaits: Awaits) -> Slot {
    Slot::new(awaits, Fate::Forward, About::Nothing, Undo::Nothing)
}

/// A queue in which these were sent.
fn sent(sent: &[Awaits]) -> Replies {
    let mut replies = Replies::default();
    sent.iter().for_each(|awaits| replies.sent(slot(*awaits)));
    replies
}

/// Takes answers in, tags in a row, and tells what each was: `+` more, `.` done, `!` failed, `~` an aside,
/// `z` a late ReadyForQuery. Skipped slots are dropped.
fn told(replies: &mut Replies, tags: &[u8]) -> String {
    let one = |tag: &u8| {
        let told = match replies.receive(*tag).unwrap() {
            Reply::More(_) => '+',
            Reply::Done(_) => '.',
            Reply::Failed(_) => '!',
            Reply::Aside { .. } => '~',
            Reply::LateReady => 'z',
        };
        while told == '!' && replies.skipped().is_some() {}
        told
    };
    tags.iter().map(one).collect()
}

const BATCH: [Awaits; 4] = [Awaits::Parse, Awaits::Bind, Awaits::Execute, Awaits::Sync];
const ALL: [Awaits; 8] = [
    Awaits::Parse,
    Awaits::Bind,
    Awaits::Describe,
    Awaits::Execute,
    Awaits::Close,
    Awaits::Sync,
    Awaits::Query,
    Awaits::FunctionCall,
];

// -- what fits

#[test]
fn every_reply_fits_what_message_flow_says_and_nothing_else() {
    let more_and_done: [(Awaits, &[u8], &[u8]); 8] = [
        (Awaits::Parse, b"", b"1"),
        (Awaits::Bind, b"", b"2"),
        (Awaits::Describe, b"t", b"Tn"),
        (Awaits::Execute, b"DGHdc", b"CIs"),
        (Awaits::Close, b"", b"3"),
        (Awaits::Sync, b"E", b"Z"),
        (Awaits::Query, b"TDCIGHdcE", b"Z"),
        (Awaits::FunctionCall, b"VE", b"Z"),
    ];
    for (awaits, more, done) in more_and_done {
        for tag in 0..=u8::MAX {
            let mut replies = sent(&[awaits]);
            let fits = match replies.receive(tag) {
                Ok(Reply::More(_)) => more.contains(&tag),
                Ok(Reply::Done(_)) => done.contains(&tag),
                Ok(Reply::Failed(_)) => tag == b'E' && !more.contains(&tag),
                Ok(Reply::Aside { .. }) => b"NAS".contains(&tag),
                Ok(Reply::LateReady) => false,
                Err(Mismatch { awaited, got }) => {
                    awaited == Some(awaits) && got == tag && ![more, done, b"NASE"].concat().contains(&tag)
                }
            };
            assert!(fits, "{:?} to {awaits:?}", char::from(tag));
        }
    }
}

#[test]
fn nothing_fits_when_nothing_is_owed() {
    for tag in (0..=u8::MAX).filter(|tag| !b"NAS".contains(tag)) {
        assert_eq!(Replies::default().receive(tag).unwrap_err(), Mismatch { awaited: None, got: tag });
    }
}

#[test]
fn replies_come_in_the_order_of_requests() {
    let mut replies = sent(&[&BATCH[..], &[Awaits::Query, Awaits::Close, Awaits::Sync]].concat());
    assert_eq!(told(&mut replies, b"12DDCZTDCCZ3"), "..++..++++..");
    assert_eq!((replies.len(), replies.is_empty()), (1, false));
    assert_eq!(told(&mut replies, b"Z"), ".");
    assert!(replies.is_empty());
}

#[test]
fn asides_are_ours_while_the_front_is() {
    let mut replies = Replies::default();
    for fate in [Fate::Swallow, Fate::Hide, Fate::Forward] {
        replies.sent(Slot { fate, ..slot(Awaits::Parse) });
    }
    for ours in [true, true, false] {
        assert!(matches!(replies.receive(b'N'), Ok(Reply::Aside { ours: it }) if it == ours));
        assert_eq!(told(&mut replies, b"1"), ".");
    }
    assert!(matches!(replies.receive(b'S'), Ok(Reply::Aside { ours: false })));
}

// -- errors

#[test]
fn f13_an_error_skips_to_the_sync_a_query_too() {
    let mut replies =
        sent(&[&BATCH[..3], &[Awaits::Query, Awaits::FunctionCall, Awaits::Sync, Awaits::Query]].concat());
    let Ok(Reply::Failed(failed)) = replies.receive(b'E') else { panic!() };
    assert_eq!(failed.awaits, Awaits::Parse);
    let skipped: Vec<_> = std::iter::from_fn(|| replies.skipped()).map(|slot| slot.awaits).collect();
    assert_eq!(
        skipped,
        [Awaits::FunctionCall, Awaits::Query, Awaits::Execute, Awaits::Bind],
        "last one first"
    );
    assert!(!replies.is_skipping());
    assert_eq!(
        replies.behind_sync().map(|slot| slot.awaits).collect::<Vec<_>>(),
        [Awaits::Sync, Awaits::Query]
    );
    assert_eq!(told(&mut replies, b"ZIZ"), ".+.");
}

#[test]
fn without_a_sync_the_skipping_goes_on() {
    let mut replies = sent(&BATCH[..3]);
    assert_eq!(told(&mut replies, b"1E"), ".!");
    assert!(replies.is_skipping() && replies.is_empty());
    replies.sent(slot(Awaits::Sync));
    assert!(!replies.is_skipping());
    assert_eq!(told(&mut replies, b"Z"), ".");
}

#[test]
fn errors_of_query_function_and_sync_end_with_their_ready() {
    for awaits in [Awaits::Query, Awaits::FunctionCall, Awaits::Sync] {
        let mut replies = sent(&[awaits, Awaits::Parse]);
        assert_eq!(told(&mut replies, b"EZ1"), "+..");
        assert!(!replies.is_skipping());
    }
}

#[test]
fn f13_an_internal_error_to_a_query_in_a_batch_skips_to_the_sync() {
    let in_batch = || {
        let mut replies = sent(&[Awaits::Parse]);
        replies.sent(Slot { in_batch: true, ..slot(Awaits::Query) });
        assert_eq!(told(&mut replies, b"1"), ".");
        replies
    };
    let mut replies = in_batch();
    assert!(matches!(replies.receive_internal_error(), Ok(Reply::Failed(_))));
    assert!(replies.is_skipping());
    let mut replies = sent(&[Awaits::Query]);
    assert!(
        matches!(replies.receive_internal_error(), Ok(Reply::More(_))),
        "elsewhere it is an error like others"
    );
    assert_eq!(told(&mut in_batch(), b"EZ"), "+.");
}

#[test]
fn a_ready_is_due_up_to_the_last_sync() {
    assert!(sent(&[Awaits::Parse, Awaits::Sync, Awaits::Bind]).awaits_ready());
    assert!(!sent(&[Awaits::Parse, Awaits::Bind]).awaits_ready());
}

// -- certainty

#[test]
fn names_are_uncertain_between_their_sync_and_its_answer() {
    let named = || Slot {
        undo: Undo::Parsed {
            name: Some((*b"a").into()),
            id: crate::session::statements::shared::StatementId(7),
        },
        ..slot(Awaits::Parse)
    };
    let mut replies = Replies::default();
    replies.sent(named());
    assert!(replies.names_are_certain(), "what comes next would be skipped with it");
    replies.sent(slot(Awaits::Sync));
    assert!(!replies.names_are_certain() && replies.unnamed_is_certain());
    assert_eq!(told(&mut replies, b"1"), ".");
    assert!(!replies.names_are_certain());
    assert_eq!(told(&mut replies, b"Z"), ".");
    assert!(replies.names_are_certain());
    replies.sent(named());
    replies.sent(slot(Awaits::Query));
    assert!(!replies.names_are_certain());
    assert_eq!(told(&mut replies, b"E"), "!");
    assert!(replies.names_are_certain(), "skipped, and known to be");
}

#[test]
fn a_query_changes_the_unnamed_statement_and_ends_its_segment() {
    let mut replies = Replies::default();
    replies.sent(Slot { undo: Undo::Unnamed { client: None }, ..slot(Awaits::Query) });
    assert!(!replies.unnamed_is_certain() && replies.names_are_certain());
    assert_eq!(told(&mut replies, b"IZ"), "+.");
    assert!(replies.unnamed_is_certain());
}

#[test]
fn a_server_that_is_gone_leaves_nothing_uncertain() {
    let mut replies = sent(&[&BATCH[..], &BATCH[..2]].concat());
    assert_eq!(
        replies.abandon().map(|slot| slot.awaits).take(2).collect::<Vec<_>>(),
        [Awaits::Bind, Awaits::Parse]
    );
    drop(replies.abandon().last());
    assert!(replies.is_empty() && replies.names_are_certain());
}

// -- copies

#[test]
fn f88_a_copy_reads_the_syncs_in_front_of_its_data() {
    let mut replies = sent(&[Awaits::Execute, Awaits::Sync]);
    assert_eq!(told(&mut replies, b"G"), "+");
    assert!(replies.is_copying_in() && replies.len() == 1);
    replies.sent(slot(Awaits::Sync));
    assert_eq!(replies.len(), 1);
    replies.sent(slot(Awaits::CopyEnd));
    assert!(!replies.is_copying_in() && replies.is_copying());
    replies.sent(slot(Awaits::Sync));
    assert_eq!(told(&mut replies, b"CZ"), "..");
    assert!(replies.is_empty() && !replies.is_doubtful() && !replies.is_copying());
}

#[test]
fn copy_data_may_be_sent_before_the_server_asks_for_it() {
    let mut replies = sent(&[Awaits::Query, Awaits::CopyEnd, Awaits::Sync, Awaits::Query]);
    assert_eq!(told(&mut replies, b"GCZZIZ"), "++..+.");
    assert!(replies.is_empty());
    let mut replies = sent(&[Awaits::Execute, Awaits::Sync, Awaits::CopyEnd, Awaits::Sync, Awaits::Bind]);
    assert_eq!(told(&mut replies, b"GCZ2"), "+...");
}

#[test]
fn a_copy_that_never_began_reads_no_syncs() {
    let mut replies = sent(&[Awaits::Execute, Awaits::Sync, Awaits::CopyEnd, Awaits::Sync]);
    assert_eq!(told(&mut replies, b"EZZ"), "!..");
    assert!(replies.is_empty() && !replies.is_doubtful());
}

#[test]
fn two_copies_in_one_query_end_one_by_one() {
    let mut replies = sent(&[Awaits::Query, Awaits::CopyEnd, Awaits::CopyEnd, Awaits::Query]);
    assert_eq!(told(&mut replies, b"GCGCZIZ"), "++++.+.");
    let mut replies = sent(&[Awaits::Query, Awaits::CopyEnd, Awaits::CopyEnd, Awaits::Query]);
    assert_eq!(told(&mut replies, b"GEZIZ"), "++.+.", "the first failed");
}

#[test]
fn f87_late_ends_of_a_failed_copy_are_nobodys() {
    let mut replies = sent(&[Awaits::Query]);
    assert_eq!(told(&mut replies, b"GE"), "++");
    replies.sent(slot(Awaits::CopyEnd));
    assert_eq!(told(&mut replies, b"Z"), ".");
    assert!(replies.is_empty());
    replies.sent(slot(Awaits::Query));
    assert_eq!(told(&mut replies, b"IZ"), "+.");
}

#[test]
fn a_copy_out_comes_and_goes() {
    let mut replies = sent(&[Awaits::Query, Awaits::Execute]);
    assert_eq!(told(&mut replies, b"Hdd"), "+++");
    assert!(replies.is_copying() && !replies.is_copying_in());
    assert_eq!(told(&mut replies, b"cCHdcCZHcC"), "++++++.++.");
    assert!(!replies.is_copying());
}

// -- doubt: Syncs that a failed copy may have read or not

fn failed_copy(front: Awaits) -> Replies {
    let mut replies = sent(&[front, Awaits::Sync]);
    told(&mut replies, b"GE");
    assert!(replies.is_doubtful());
    replies
}

#[test]
fn a_late_ready_comes_or_does_not() {
    let mut came = failed_copy(Awaits::Query);
    assert_eq!(told(&mut came, b"ZZ"), ".z");
    assert!(!came.is_doubtful());
    let mut did_not = failed_copy(Awaits::Query);
    assert_eq!(told(&mut did_not, b"Z"), ".");
    assert!(did_not.is_doubtful() && did_not.is_empty());
    let mut resolved = failed_copy(Awaits::Query);
    resolved.resolved();
    assert!(!resolved.is_doubtful());
    did_not.sent(slot(Awaits::Close));
    did_not.sent(slot(Awaits::Sync));
    assert_eq!(told(&mut did_not, b"3Z"), "..");
    assert!(!did_not.is_doubtful());
}

#[test]
fn a_late_ready_is_not_the_next_ones() {
    for next in [Awaits::Query, Awaits::Parse, Awaits::FunctionCall] {
        let mut replies = failed_copy(Awaits::Query);
        replies.sent(slot(next));
        assert_eq!(told(&mut replies, b"ZZ"), ".z", "{next:?}");
        assert_eq!(replies.front().unwrap().awaits, next);
    }
    let mut replies = failed_copy(Awaits::Query);
    replies.sent(slot(Awaits::Query));
    assert_eq!(told(&mut replies, b"ZIZ"), ".+.", "and none came");
    assert!(replies.receive(b'Z').is_err());
}

#[test]
fn a_sync_takes_any_ready_and_the_doubt_stays() {
    let mut replies = failed_copy(Awaits::Execute);
    assert!(replies.is_skipping());
    replies.sent(slot(Awaits::Sync));
    assert_eq!(told(&mut replies, b"Z"), ".");
    assert!(replies.is_doubtful());
    assert_eq!(told(&mut replies, b"Z"), "z");
}

#[test]
fn a_late_ready_ends_the_skipping() {
    let mut replies = failed_copy(Awaits::Execute);
    assert_eq!(told(&mut replies, b"Z"), "z");
    assert!(!replies.is_skipping() && !replies.is_doubtful());
}

// -- any answers at all

proptest! {
    /// A server may send what it likes: the queue never panics, never grows by it, and once it is empty it
    /// accepts nothing but asides.
    #[test]
    fn no_answer_breaks_the_queue(
        messages in prop::collection::vec(prop::sample::select(&ALL[..]), 0..12),
        answers in prop::collection::vec(prop::sample::select(&b"123ZECDTtnIsGHdcVNASW"[..]), 0..40),
    ) {
        let mut replies = sent(&messages);
        for tag in answers {
            let before = replies.len();
            let (fits, failed) = match replies.receive(tag) {
                Ok(told) => (true, matches!(told, Reply::Failed(_))),
                Err(_) => (false, false),
            };
            while failed && replies.skipped().is_some() {}
            prop_assert!(replies.len() <= before);
            if before == 0 {
                prop_assert!(!fits || b"NASZ".contains(&tag));
            }
            if !fits {
                break;
            }
        }
    }
}
