//! `pgweir healthcheck`: `GET /healthz` of the pgweir next to us, for container images without a shell.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

use crate::config::{self, Environment, TcpAddress};

use super::args::Options;
use super::{fail, inputs};

/// For connecting and for each read and write.
const PATIENCE: Duration = Duration::from_secs(3);
/// In bytes; the answer's body says nothing that counts here.
const LONGEST_ANSWER: u64 = 64 << 10;

/// The upstream is of no interest here, and may be unknown: only the address of the endpoint counts.
pub(super) fn healthcheck(options: Options, environment: Environment) -> ExitCode {
    let Some(address) = config::http_address(inputs(options, environment)) else {
        return fail("http.listen is off: there is no endpoint to ask");
    };
    match is_alive(&address) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => fail(&format!("http://{address}/healthz did not answer 200")),
        Err(error) => fail(&format!("http://{address}/healthz: {error}")),
    }
}

fn is_alive(address: &TcpAddress) -> io::Result<bool> {
    let mut stream = connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut status = [0; "HTTP/1.1 200".len()];
    stream.read_exact(&mut status)?;
    // To close with bytes unread would reset the connection while the endpoint may still be writing.
    let _ = io::copy(&mut stream.take(LONGEST_ANSWER), &mut io::sink());
    Ok(&status == b"HTTP/1.1 200")
}

/// An address that means "all of them" is reached by loopback.
fn connect(address: &TcpAddress) -> io::Result<TcpStream> {
    let host = match address.host.as_str() {
        "0.0.0.0" => "127.0.0.1",
        "::" => "::1",
        host => host,
    };
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in (host, address.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}
