//! A network that breaks on demand: one hop of TCP, in user space, on either side of pgweir.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use socket2::SockRef;

/// What happens to bytes on their way.
#[derive(Clone, Copy, Debug)]
pub enum Weather {
    Pass,
    /// Each chunk waits that long.
    Delay(Duration),
    /// Segments of that many bytes.
    Slice(usize),
    /// Nothing moves.
    Stall,
    /// That many more bytes pass on a connection; then both its ends get RST.
    CutAfter(usize),
}

/// Both ways of all its connections; the test may change them at any time.
#[derive(Clone, Copy)]
struct Ways {
    up: Weather,
    down: Weather,
}

/// Listens on a port of its own and passes on to one address.
pub struct Network {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    ways: Mutex<Ways>,
    target: Mutex<SocketAddr>,
    accepted: AtomicUsize,
    over: AtomicBool,
}

/// How often a quiet direction looks at the test's wishes.
const LOOK: Duration = Duration::from_millis(5);

impl Network {
    pub fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let shared = Arc::new(Shared {
            ways: Mutex::new(Ways { up: Weather::Pass, down: Weather::Pass }),
            target: Mutex::new(target),
            accepted: AtomicUsize::new(0),
            over: AtomicBool::new(false),
        });
        let network = Self { address, shared: shared.clone() };
        thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                if shared.over.load(Ordering::Relaxed) {
                    return;
                }
                shared.accepted.fetch_add(1, Ordering::Relaxed);
                let target = *shared.target.lock().expect("not poisoned");
                let Ok(server) = TcpStream::connect(target) else { continue };
                connect(client, server, &shared);
            }
        });
        network
    }

    /// What happens from now on: `up` to bytes for the target, `down` to those that come back.
    pub fn is(&self, up: Weather, down: Weather) {
        *self.shared.ways.lock().expect("not poisoned") = Ways { up, down };
    }

    /// Where new connections go from now on.
    pub fn leads_to(&self, target: SocketAddr) {
        *self.shared.target.lock().expect("not poisoned") = target;
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

/// The two directions share the sockets, not copies of them, so that the last one to go resets both.
fn connect(client: TcpStream, server: TcpStream, shared: &Arc<Shared>) {
    let pair = Arc::new((client, server));
    let cut = Arc::new(AtomicBool::new(false));
    for stream in [&pair.0, &pair.1] {
        let _ = stream.set_nodelay(true);
        let _ = stream.set_read_timeout(Some(LOOK));
    }
    for up in [true, false] {
        let (pair, cut, shared) = (pair.clone(), cut.clone(), shared.clone());
        thread::spawn(move || {
            let (from, to) = if up { (&pair.0, &pair.1) } else { (&pair.1, &pair.0) };
            let way = || {
                let ways = shared.ways.lock().expect("not poisoned");
                if up { ways.up } else { ways.down }
            };
            carry(from, to, way, &cut);
        });
    }
}

/// Carries bytes one way until either end is closed or the connection is cut.
fn carry(mut from: &TcpStream, mut to: &TcpStream, way: impl Fn() -> Weather, cut: &AtomicBool) {
    let mut passed = 0;
    let mut since_cut = None;
    let mut chunk = [0; 16 * 1024];
    while !cut.load(Ordering::Relaxed) {
        if matches!(way(), Weather::Stall) {
            thread::sleep(LOOK);
            continue;
        }
        let read = match from.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
            Err(_) => break,
        };
        while matches!(way(), Weather::Stall) && !cut.load(Ordering::Relaxed) {
            thread::sleep(LOOK);
        }
        let bytes = &chunk[..read];
        let written = match way() {
            Weather::Pass | Weather::Stall => to.write_all(bytes),
            Weather::Delay(delay) => {
                thread::sleep(delay);
                to.write_all(bytes)
            }
            Weather::Slice(size) => bytes.chunks(size).try_for_each(|slice| {
                thread::sleep(Duration::from_micros(100)); // a segment of its own
                to.write_all(slice)
            }),
            Weather::CutAfter(limit) => {
                let left = limit - (passed - *since_cut.get_or_insert(passed)).min(limit);
                let written = to.write_all(&bytes[..read.min(left)]);
                if read >= left {
                    for stream in [from, to] {
                        let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
                    }
                    cut.store(true, Ordering::Relaxed);
                }
                written
            }
        };
        passed += read;
        if written.is_err() {
            break;
        }
    }
    if !cut.load(Ordering::Relaxed) {
        let _ = to.shutdown(std::net::Shutdown::Write);
    }
}
