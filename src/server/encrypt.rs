//! Asks a server for TLS. Source: PostgreSQL documentation, "Message Flow", "SSL Session Encryption".
//!
//! Exactly one byte is read in plain text, and nothing may stand behind it: what somebody put there can't pass for
//! something that came encrypted.

use std::io;

use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::net::stream::Stream;
use crate::net::tls::TlsError;
use crate::net::tls::outbound::Way;
use crate::wire::startup::write_ssl_request;

/// What became of the wish for TLS.
pub enum Answer {
    /// With the hash of the server's certificate, where one is defined.
    Encrypted(Stream, Option<Vec<u8>>),
    /// The server has none. Plain text may go on here.
    Refused(TcpStream),
}

#[derive(Debug, Error)]
pub enum EncryptError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Way(#[from] TlsError),
    /// What it says isn't told to anyone: nobody vouches for it.
    #[error("the server answered the request for TLS with an error")]
    Refused,
    #[error("the server answered the request for TLS with something else")]
    Nonsense,
    #[error("the server sent data behind its answer to the request for TLS")]
    Behind,
}

/// Encrypts a new connection.
pub async fn encrypt(mut socket: TcpStream, way: &Way) -> Result<Answer, EncryptError> {
    if !way.direct {
        let mut request = Vec::new();
        write_ssl_request(&mut request);
        socket.write_all(&request).await?;
        match socket.read_u8().await? {
            b'S' => {}
            b'N' => return Ok(Answer::Refused(socket)),
            b'E' => return Err(EncryptError::Refused),
            _ => return Err(EncryptError::Nonsense),
        }
        match socket.try_read(&mut [0]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(1..) => return Err(EncryptError::Behind),
            Ok(0) => return Err(EncryptError::Io(io::ErrorKind::UnexpectedEof.into())),
            Err(error) => return Err(error.into()),
        }
    }
    let (stream, end_point) = way.shake_hands(socket).await?;
    Ok(Answer::Encrypted(stream, end_point))
}
