//! Rows and copy data that flow are written in larger pieces, but none waits for what doesn't come.

use std::sync::{Mutex, mpsc};

use pgweir_testkit::client::PATIENCE;
use pgweir_testkit::frontend::*;

use super::kit::House;
use super::kit::fake::{self, Fake};

/// More than is passed on piece by piece, less than is worth a write of its own.
const PIECES: usize = 45;

fn row() -> Vec<u8> {
    message(b'D', &[&[0, 1, 0, 0, 3, 232][..], &[b'x'; 1000]].concat())
}

#[test]
fn rows_arrive_though_the_next_ones_take_long() {
    let (go_on, told) = mpsc::channel();
    let told = Mutex::new(told);
    let server = Fake::new(move |line, _| {
        if line.welcome() {
            while let Some((b'Q', _)) = line.message() {
                line.send(&message(b'T', &[0, 0]));
                line.send(&row().repeat(PIECES));
                told.lock().expect("not poisoned").recv().expect("the test lives");
                line.send(&[row(), message(b'C', b"SELECT 46\0"), fake::ready(b'I')].concat());
            }
        }
    });
    let house = House::before_fake(server.address, 1, "");
    let mut client = house.client();
    client.tell(&query("select"));
    client.hear(b'T');
    (0..PIECES).for_each(|_| assert_eq!(client.hear(b'D').len(), 1));
    go_on.send(()).expect("the server lives");
    assert_eq!(client.hear(b'Z').len(), 3);
    house.all_is_well();
}

#[test]
fn copy_data_arrives_though_the_client_pauses() {
    let (tell, arrived) = mpsc::channel();
    let server = Fake::new(move |line, _| {
        if line.welcome() {
            while let Some((tag, _)) = line.message() {
                match tag {
                    b'Q' => line.send(&message(b'G', &[0, 0, 1, 0, 0])),
                    b'd' => tell.send(()).expect("the test lives"),
                    _ => line.send(&[message(b'C', b"COPY 45\0"), fake::ready(b'I')].concat()),
                }
            }
        }
    });
    let house = House::before_fake(server.address, 1, "");
    let mut client = house.client();
    client.tell(&query("copy t from stdin"));
    client.hear(b'G');
    client.tell(&copy_data(&"x".repeat(1000)).repeat(PIECES));
    (0..PIECES).for_each(|_| arrived.recv_timeout(PATIENCE).expect("it arrives"));
    client.tell(&copy_done());
    assert_eq!(client.hear(b'Z').len(), 2);
    house.all_is_well();
}
