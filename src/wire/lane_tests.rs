//! Lanes: order, segmentation, long messages, memory.

use super::*;
use crate::wire::write;

fn feed(lane: &mut Lane, bytes: &[u8]) {
    lane.room()[..bytes.len()].copy_from_slice(bytes);
    lane.filled(bytes.len());
}

fn drain(lane: &mut Lane) -> Vec<u8> {
    let (made, run) = lane.output();
    let all = [made, run].concat();
    lane.wrote(all.len());
    all
}

fn query(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write::query(&mut out, text);
    out
}

#[test]
fn messages_leave_untouched_and_in_order() {
    let mut lane = Lane::default();
    let (one, two) = (query(b"select 1"), query(b"select 2"));
    feed(&mut lane, &[one.clone(), two.clone()].concat());
    for expected in [&one, &two] {
        let frame = lane.frame().unwrap().unwrap();
        assert_eq!((frame.tag, frame.total, frame.is_whole()), (b'Q', expected.len(), true));
        lane.forward(expected.len());
    }
    assert_eq!(lane.output().0, b"", "nothing was copied");
    assert_eq!(drain(&mut lane), [one, two].concat());
    assert!(lane.is_empty());
}

#[test]
fn messages_alike_leave_together_up_to_another_or_a_part() {
    let mut lane = Lane::default();
    let (one, two, sync) = (query(b"1"), query(b"22"), [b'S', 0, 0, 0, 4]);
    feed(&mut lane, &[&one[..], &two, &sync, &one, &two[..7]].concat());
    lane.forward_alike(b'Q');
    assert_eq!(drain(&mut lane), [&one[..], &two].concat());
    lane.forward_alike(b'Q');
    assert!(!lane.has_output(), "a Sync stands in front");
    lane.forward(sync.len());
    lane.forward_alike(b'Q');
    assert_eq!(drain(&mut lane), [&sync[..], &one].concat());
    assert_eq!(lane.unjudged(), 7);
    feed(&mut lane, &[&two[7..], &[b'Q', 0, 0, 0, 3]].concat());
    lane.forward_alike(b'Q');
    assert_eq!(drain(&mut lane), two);
    assert!(lane.frame().is_err(), "an impossible length is left to be told of");
}

#[test]
fn what_is_made_stands_where_it_was_made() {
    let mut lane = Lane::default();
    let (one, two, three) = (query(b"1"), query(b"22"), query(b"333"));
    feed(&mut lane, &[one.clone(), two.clone(), three.clone()].concat());
    lane.forward(one.len());
    lane.out().extend_from_slice(b"<made>");
    lane.discard(two.len());
    lane.forward(three.len());
    assert_eq!(drain(&mut lane), [&one[..], b"<made>", &three].concat());
}

#[test]
fn a_message_longer_than_the_buffer_passes_in_pieces() {
    let mut lane = Lane::default();
    let long = query(&vec![b'x'; 3 * LARGE]);
    let mut out = Vec::new();
    let mut sent = 0;
    while sent < long.len() {
        let room = lane.room();
        let count = room.len().min(long.len() - sent);
        room[..count].copy_from_slice(&long[sent..sent + count]);
        lane.filled(count);
        sent += count;
        if let Some(frame) = lane.frame().unwrap() {
            assert!(Lane::must_stream(frame.total));
            let total = frame.total;
            lane.forward(total);
        }
        out.extend(drain(&mut lane));
    }
    assert!(!lane.is_passing());
    assert_eq!(out, long);
    assert!(lane.buffer.len() <= LARGE);
}

#[test]
fn a_long_message_can_be_dropped_while_it_arrives() {
    let mut lane = Lane::default();
    let (first, long) = (query(b"keep"), query(&[b'x'; 20_000]));
    feed(&mut lane, &[&first[..], &long[..4000]].concat());
    lane.forward(first.len());
    lane.discard(long.len());
    for piece in long[4000..].chunks(3000) {
        feed(&mut lane, piece);
    }
    assert!(lane.frame().unwrap().is_none());
    assert_eq!(drain(&mut lane), first);
    assert!(lane.is_empty());
}

#[test]
fn the_buffer_grows_by_what_arrives_not_by_what_is_claimed() {
    let mut lane = Lane::default();
    let mut head = vec![b'P'];
    head.extend_from_slice(&(16i32 << 20).to_be_bytes());
    feed(&mut lane, &head);
    lane.gather(16 << 20);
    assert_eq!(lane.buffer.len(), SMALL);
    let room = lane.room().len();
    lane.filled(room);
    lane.gather(16 << 20);
    assert_eq!(lane.buffer.len(), 2 * SMALL);
}

#[test]
fn a_cleared_lane_gives_back_what_it_grew() {
    let mut lane = Lane::default();
    lane.grow(1 << 20);
    lane.out().resize(1 << 20, 0);
    lane.clear();
    assert_eq!(lane.buffer.len(), SMALL);
    assert_eq!(lane.out.capacity(), 0);
}

proptest::proptest! {
    /// However the bytes are cut, and whatever is written when, what comes out is what was judged.
    #[test]
    fn any_segmentation_gives_the_same_stream(
        texts in proptest::collection::vec((proptest::collection::vec(1u8..255, 0..9000), 0u8..4), 1..12),
        cuts in proptest::collection::vec(1usize..4000, 1..200),
        drains in proptest::collection::vec(proptest::bool::ANY, 200),
    ) {
        let mut input = Vec::new();
        let mut expected = Vec::new();
        for (text, fate) in &texts {
            let message = query(text);
            input.extend_from_slice(&message);
            match fate {
                0 => {}
                1 => { expected.extend_from_slice(b"made"); expected.extend_from_slice(&message); }
                _ => expected.extend_from_slice(&message),
            }
        }
        let mut lane = Lane::default();
        let (mut at, mut turn, mut judged, mut out) = (0, 0, 0, Vec::new());
        while at < input.len() || !lane.is_empty() {
            let room = lane.room();
            let count = room.len().min(cuts[turn % cuts.len()]).min(input.len() - at);
            room[..count].copy_from_slice(&input[at..at + count]);
            lane.filled(count);
            at += count;
            while let Some(frame) = lane.frame().unwrap() {
                if !frame.is_whole() && !Lane::must_stream(frame.total) { break }
                let total = frame.total;
                match texts[judged].1 {
                    0 => lane.discard(total),
                    1 => { lane.out().extend_from_slice(b"made"); lane.forward(total) }
                    _ => lane.forward(total),
                }
                judged += 1;
            }
            if drains[turn % drains.len()] || at == input.len() { out.extend(drain(&mut lane)) }
            turn += 1;
        }
        proptest::prop_assert_eq!(out, expected);
    }
}
