//! A network in user space: one hop that cuts, slices or stalls what passes.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// What befalls connections, those that exist and those that come.
#[derive(Default)]
struct Weather {
    /// A connection on which the server says this is cut before it is heard.
    cut_on: Mutex<Option<Vec<u8>>>,
    /// Bytes towards the client that still pass; negative: no limit.
    left_down: AtomicI64,
    /// Few bytes at a time.
    slices: AtomicBool,
}

pub struct Network {
    address: SocketAddr,
    weather: Arc<Weather>,
}

impl Network {
    pub fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let weather = Arc::new(Weather::default());
        weather.left_down.store(-1, Ordering::SeqCst);
        let shared = weather.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(server) else { continue };
                join(&client, &server, &shared);
            }
        });
        Self { address, weather }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn cut_on(&self, words: &[u8]) {
        *self.weather.cut_on.lock().expect("not poisoned") = Some(words.to_vec());
    }

    /// Cuts everything once so many bytes have come back.
    pub fn cut_after(&self, bytes: i64) {
        self.weather.left_down.store(bytes, Ordering::SeqCst);
    }

    pub fn slice(&self) {
        self.weather.slices.store(true, Ordering::SeqCst);
    }

    pub fn calm(&self) {
        *self.weather.cut_on.lock().expect("not poisoned") = None;
        self.weather.left_down.store(-1, Ordering::SeqCst);
        self.weather.slices.store(false, Ordering::SeqCst);
    }
}

fn join(client: &TcpStream, server: &TcpStream, weather: &Arc<Weather>) {
    for socket in [client, server] {
        let _ = socket.set_nodelay(true);
    }
    for (from, to, down) in [(client, server, false), (server, client, true)] {
        let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else { return };
        let weather = weather.clone();
        thread::spawn(move || {
            pass(&from, &to, down, &weather);
            for socket in [&from, &to] {
                let _ = socket.shutdown(Shutdown::Both);
            }
        });
    }
}

fn pass(mut from: &TcpStream, mut to: &TcpStream, down: bool, weather: &Weather) {
    let mut buffer = [0; 65536];
    loop {
        let size = if weather.slices.load(Ordering::SeqCst) { 3 } else { buffer.len() };
        let count = match from.read(&mut buffer[..size]) {
            Ok(0) | Err(_) => return,
            Ok(count) => count,
        };
        let mut bytes = &buffer[..count];
        if down {
            let cut = weather.cut_on.lock().expect("not poisoned");
            if cut.as_ref().is_some_and(|words| bytes.windows(words.len()).any(|window| window == words)) {
                return;
            }
            let left = weather.left_down.load(Ordering::SeqCst);
            if left >= 0 {
                bytes = &bytes[..count.min(left as usize)];
                weather.left_down.store(left - bytes.len() as i64, Ordering::SeqCst);
            }
        }
        if to.write_all(bytes).is_err() || (bytes.len() < count) {
            return;
        }
    }
}
