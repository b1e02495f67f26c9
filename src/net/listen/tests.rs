//! Addresses and listeners.

use std::os::unix::net::UnixListener as StdUnixListener;

use socket2::SockRef;
use tokio::net::{TcpStream, UnixStream};

use super::super::stream::Peer;
use super::*;

fn tcp(host: &str, port: u16) -> Address {
    Address::Tcp { host: host.into(), port }
}

fn unix(directory: &Path) -> Address {
    Address::Unix { directory: directory.into(), port: 6432 }
}

async fn bind(addresses: &[Address]) -> Result<Listener, BindError> {
    Listener::bind(addresses, TcpOptions::default()).await
}

#[test]
fn addresses_are_read_as_written() {
    for (text, address) in [
        ("127.0.0.1:6432", tcp("127.0.0.1", 6432)),
        ("[::1]:0", tcp("::1", 0)),
        ("*:6432", tcp("*", 6432)),
        ("db.example:5432", tcp("db.example", 5432)),
        ("unix:/run/pgweir", unix(Path::new("/run/pgweir"))),
        ("unix:/tmp:5433", Address::Unix { directory: "/tmp".into(), port: 5433 }),
    ] {
        assert_eq!(text.parse(), Ok(address.clone()));
        assert_eq!(address.to_string(), text);
    }
    for text in
        ["", "6432", ":6432", "host:", "host:x", "host:65536", "::1:5", "unix:", "unix:/tmp:x", "[]:1"]
    {
        assert_eq!(text.parse::<Address>(), Err(BadAddress), "{text}");
    }
}

#[tokio::test]
async fn clients_come_by_every_socket() {
    let directory = tempfile::tempdir().unwrap();
    let addresses = [tcp("127.0.0.1", 0), unix(directory.path()), tcp("127.0.0.1", 0)];
    let mut listener = bind(&addresses).await.unwrap();
    let path = directory.path().join(".s.PGSQL.6432");
    let ports: Vec<_> = listener.tcp_addresses().collect();
    assert_eq!(ports.len(), 2);
    for address in ports {
        let client = TcpStream::connect(address).await.unwrap();
        let stream = listener.accept().await;
        assert_eq!(stream.peer(), Peer::Tcp(client.local_addr().unwrap()));
        let Stream::Tcp(socket) = stream else { panic!() };
        let socket = SockRef::from(&socket);
        assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), TcpOptions::default().idle);
    }
    let _client = UnixStream::connect(&path).await.unwrap();
    assert_eq!(listener.accept().await.peer(), Peer::Unix);
    drop(listener);
    assert!(!path.exists());
}

#[tokio::test]
async fn f59_only_a_stale_socket_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(".s.PGSQL.6432");

    drop(StdUnixListener::bind(&path).unwrap());
    let first = bind(&[unix(directory.path())]).await.unwrap();

    let error = bind(&[unix(directory.path())]).await.unwrap_err();
    assert_eq!(error.error.kind(), io::ErrorKind::AddrInUse);
    UnixStream::connect(&path).await.unwrap();

    drop(first);
    fs::write(&path, "no socket").unwrap();
    let error = bind(&[unix(directory.path())]).await.unwrap_err();
    assert_eq!(error.error.kind(), io::ErrorKind::AddrInUse);
    assert_eq!(fs::read(&path).unwrap(), b"no socket");
}

#[tokio::test]
async fn a_successors_socket_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(".s.PGSQL.6432");
    let listener = bind(&[unix(directory.path())]).await.unwrap();
    fs::rename(&path, directory.path().join("old")).unwrap();
    let _successor = StdUnixListener::bind(&path).unwrap();
    drop(listener);
    assert!(path.exists());
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let listener = bind(&[tcp("127.0.0.1", 0)]).await.unwrap();
    let port = listener.tcp_addresses().next().unwrap().port();
    let error = bind(&[tcp("127.0.0.1", port)]).await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("can't listen on 127.0.0.1:{port}: ")), "{error}");
}

#[test]
fn f65_exhaustion_is_told_from_a_client_that_went_away() {
    for code in [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE, rustix::io::Errno::NOMEM] {
        assert!(is_exhaustion(&io::Error::from_raw_os_error(code.raw_os_error())));
    }
    assert!(!is_exhaustion(&io::ErrorKind::ConnectionAborted.into()));
}
