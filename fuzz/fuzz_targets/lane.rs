//! Framing: however the bytes arrive and leave, what is forwarded comes out whole and in order, the rest doesn't.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgweir::wire::frame::{self, HEAD};
use pgweir::wire::lane::{LARGE, Lane};

/// Even types are passed on, odd ones dropped.
fn passes(tag: u8) -> bool {
    tag % 2 == 0
}

/// What has to come out.
fn expected(mut bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Ok(Some(head)) = frame::head(bytes) {
        let (message, rest) = bytes.split_at(head.total.min(bytes.len()));
        if message.len() < head.total && head.total <= LARGE {
            break;
        }
        if passes(head.tag) {
            out.extend_from_slice(message);
        }
        bytes = rest;
    }
    out
}

fuzz_target!(|input: &[u8]| {
    let Some((&chance, bytes)) = input.split_first() else { return };
    let (mut lane, mut rest) = (Lane::default(), bytes);
    let (mut out, mut turn) = (Vec::<u8>::new(), u32::from(chance));
    loop {
        turn = turn.wrapping_mul(1_103_515_245).wrapping_add(12_345);
        let chance = (turn >> 8) as usize;
        let room = lane.room();
        let count = (chance % 977 + 1).min(room.len()).min(rest.len());
        room[..count].copy_from_slice(&rest[..count]);
        rest = &rest[count..];
        lane.filled(count);
        let mut moved = count > 0;
        while let Ok(Some(frame)) = lane.frame() {
            let (tag, total) = (frame.tag, frame.total);
            assert!(total >= HEAD && frame.body.len() + HEAD <= total);
            if !frame.is_whole() && !Lane::must_stream(total) {
                lane.gather(total);
                break;
            }
            match passes(tag) {
                true => lane.forward(total),
                false => lane.discard(total),
            }
            moved = true;
        }
        if lane.frame().is_err() {
            break;
        }
        while lane.has_output() && (chance % 3 > 0 || !moved) {
            let (made, run) = lane.output();
            let count = (chance % 211 + 1).min(made.len() + run.len());
            out.extend(made.iter().chain(run).take(count));
            lane.wrote(count);
            moved = true;
        }
        assert!(lane.capacity() <= 2 * LARGE);
        if !moved && rest.is_empty() {
            break;
        }
    }
    let (made, run) = lane.output();
    out.extend(made.iter().chain(run));
    assert_eq!(out, expected(bytes));
});
