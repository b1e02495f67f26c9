//! How much of what was written to a TCP connection still waits in our kernel, because its peer doesn't read.
//!
//! A kernel takes megabytes for a peer that reads nothing, and then calls the socket writable again only when a
//! third of them has gone: to a slow reader's pooler that looks like a stop of minutes. The kernel tells the truth
//! when it is asked, by the netlink protocol of `ss` (sock_diag(7)). It costs a few microseconds, so it is asked
//! only when a client is suspected to have stopped reading.

use std::net::{IpAddr, SocketAddr};

#[cfg(target_os = "linux")]
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};

/// Bytes written and not acknowledged; `None` where the kernel doesn't say.
#[cfg(target_os = "linux")]
pub(super) fn unsent(local: SocketAddr, peer: SocketAddr) -> Option<u32> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let kernel =
        socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(netlink::SOCK_DIAG)).ok()?;
    send(&kernel, &request(local, peer), SendFlags::empty()).ok()?;
    // The answer is there when the request has been taken.
    let mut answer = [0; 512];
    let (_, length) = recv(&kernel, &mut answer, RecvFlags::empty()).ok()?;
    answer.get(..length).and_then(written_queue)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn unsent(_: SocketAddr, _: SocketAddr) -> Option<u32> {
    None
}

const BY_FAMILY: u16 = 20;
const REQUEST: u16 = 1;
const INET: u8 = 2;
const INET6: u8 = 10;
const TCP: u8 = 6;
const ANY_STATE: u32 = u32::MAX;
/// No cookie: the addresses say which connection is meant.
const NO_COOKIE: [u8; 8] = [0xff; 8];
/// `struct nlmsghdr`, and `struct inet_diag_req_v2` behind it.
const REQUEST_LENGTH: u32 = 16 + 56;
/// Where `idiag_wqueue` stands in the answer: behind `struct nlmsghdr`, and 60 bytes of `struct inet_diag_msg`.
const WRITTEN_QUEUE: usize = 16 + 60;

fn request(local: SocketAddr, peer: SocketAddr) -> Vec<u8> {
    let family = if local.is_ipv4() { INET } else { INET6 };
    let mut out = Vec::with_capacity(REQUEST_LENGTH as usize);
    out.extend(REQUEST_LENGTH.to_ne_bytes());
    out.extend(BY_FAMILY.to_ne_bytes());
    out.extend(REQUEST.to_ne_bytes());
    out.extend([0; 8]); // sequence, port
    out.extend([family, TCP, 0, 0]);
    out.extend(ANY_STATE.to_ne_bytes());
    out.extend(local.port().to_be_bytes());
    out.extend(peer.port().to_be_bytes());
    out.extend(sixteen_bytes(local.ip()));
    out.extend(sixteen_bytes(peer.ip()));
    out.extend([0; 4]); // interface
    out.extend(NO_COOKIE);
    out
}

fn sixteen_bytes(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V6(address) => address.octets(),
        IpAddr::V4(address) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&address.octets());
            bytes
        }
    }
}

fn written_queue(answer: &[u8]) -> Option<u32> {
    let kind = answer.get(4..6)?.try_into().map(u16::from_ne_bytes).ok()?;
    let field = answer.get(WRITTEN_QUEUE..WRITTEN_QUEUE + 4)?;
    (kind == BY_FAMILY).then_some(())?;
    field.try_into().map(u32::from_ne_bytes).ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn what_the_peer_has_not_read_is_counted() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (mut ours, _) = listener.accept().unwrap();
            let look = || unsent(ours.local_addr().unwrap(), ours.peer_addr().unwrap());
            let Some(at_first) = look() else { continue };
            assert_eq!(at_first, 0);
            ours.set_nonblocking(true).unwrap();
            let mut written = 0;
            while let Ok(count) = (&ours).write(&[0; 65536]) {
                written += count;
            }
            assert!(look().unwrap() > 0);
            peer.read_exact(&mut vec![0; written]).unwrap();
            while look().unwrap() > 0 {
                std::thread::yield_now();
            }
            drop(ours.flush());
        }
    }

    #[test]
    fn a_connection_that_is_none_has_no_queue() {
        let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
        assert_eq!(unsent(nobody, nobody), None);
    }
}
