//! The HTTP server of the status page, `/status.json`, `/pins.json`, `/metrics`, `/healthz` (`/livez`) and `/readyz`.
//!
//! It has one thread with its own runtime and serves until it is stopped, while the process drains too. What a
//! stranger can take is bounded: connections at once, bytes of a request, time of a connection. Each connection
//! carries one request.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::board::Board;
use super::page::Page;
use super::{exposition, pins, scrape, status};

/// Connections at once; the next ones wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 16;
/// Bytes of a request's head (hyper allows no less).
const MAX_REQUEST_BYTES: usize = 8 * 1024;
const MAX_HEADERS: usize = 64;
/// For a request's head to arrive.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// For a whole connection, a slow reader's too.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// After an accept that failed, most likely for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the server could not be set up.
#[derive(Debug, Error)]
#[error("can't serve HTTP on {address}: {source}")]
pub struct HttpError {
    pub address: String,
    pub source: io::Error,
}

/// A server that is bound and doesn't answer yet.
#[derive(Debug)]
pub struct Http {
    runtime: Runtime,
    listener: tokio::net::TcpListener,
    address: SocketAddr,
}

impl Http {
    /// Binds `address` (`host:port`; port 0 takes a free one). The first address of a name that can be bound
    /// is used. Blocks for the name's resolution.
    pub fn bind(address: &str) -> Result<Self, HttpError> {
        Self::try_bind(address).map_err(|source| HttpError { address: address.to_owned(), source })
    }

    fn try_bind(address: &str) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _entered = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        Ok(Self { runtime, listener, address })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts to answer, on a thread of its own.
    pub fn serve(self, board: Arc<Board>) -> Result<Serving, HttpError> {
        let Self { runtime, listener, address } = self;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let thread = thread::Builder::new()
            .name("pgweir-http".to_owned())
            .spawn(move || {
                runtime.block_on(stopped.run_until_cancelled(accept(listener, board)));
            })
            .map_err(|source| HttpError { address: address.to_string(), source })?;
        Ok(Serving { stop, thread: Some(thread) })
    }
}

/// A server that answers; it stops when this is dropped.
#[must_use]
#[derive(Debug)]
pub struct Serving {
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop.cancel();
        // A panic of that thread has been reported by the panic hook.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// All that the routes need.
struct Shown {
    board: Arc<Board>,
    page: Page,
}

async fn accept(listener: tokio::net::TcpListener, board: Arc<Board>) -> Infallible {
    let seats = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let shown = Arc::new(Shown { board, page: Page::new() });
    loop {
        let seat = Arc::clone(&seats).acquire_owned().await.expect("the semaphore is never closed");
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(converse(stream, Arc::clone(&shown), seat));
            }
            Err(error) => {
                tracing::debug!(%error, "HTTP: accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One connection: one request, one answer.
async fn converse(stream: TcpStream, shown: Arc<Shown>, _seat: OwnedSemaphorePermit) {
    let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| {
        let answer = answer(request.method(), request.uri().path(), request.uri().query(), &shown);
        std::future::ready(Ok::<_, Infallible>(answer))
    });
    let conversation = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .keep_alive(false)
        .max_buf_size(MAX_REQUEST_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(CONNECTION_TIMEOUT, conversation).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "HTTP: connection failed"),
        Err(_) => tracing::debug!("HTTP: connection took too long"),
    }
}

/// The routes. hyper leaves the body away when the method is HEAD.
fn answer(method: &Method, path: &str, query: Option<&str>, shown: &Shown) -> Response<Full<Bytes>> {
    let route: fn(Option<&str>, &Shown) -> Response<Full<Bytes>> = match path {
        "/" => |_, shown| page(&shown.page),
        "/metrics" => |_, shown| metrics(&shown.board),
        "/status.json" => |query, shown| status_json(query, &shown.board),
        "/pins.json" => |_, shown| pins(&shown.board),
        "/healthz" | "/livez" => |_, _| text(StatusCode::OK, "ok\n"),
        "/readyz" => |query, shown| readyz(query, &shown.board),
        _ => return text(StatusCode::NOT_FOUND, "not found\n"),
    };
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    route(query, shown)
}

fn page(page: &Page) -> Response<Full<Bytes>> {
    let mut response = text(StatusCode::OK, page.html());
    for (name, value) in page.headers() {
        response.headers_mut().insert(name, value);
    }
    response
}

fn metrics(board: &Board) -> Response<Full<Bytes>> {
    let mut response = text(StatusCode::OK, scrape::page(board));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(exposition::CONTENT_TYPE));
    response
}

/// `since=N`: histories begin with point N.
fn status_json(query: Option<&str>, board: &Board) -> Response<Full<Bytes>> {
    let since = query.and_then(|q| q.split('&').find_map(|part| part.strip_prefix("since=")?.parse().ok()));
    let status = status::read::status(board, since.unwrap_or(0));
    json(serde_json::to_vec(&status).expect("numbers, texts and lists of them"))
}

fn pins(board: &Board) -> Response<Full<Bytes>> {
    json(pins::page((board.pinned)()))
}

fn json(body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = text(StatusCode::OK, body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn readyz(query: Option<&str>, board: &Board) -> Response<Full<Bytes>> {
    let startup = query.is_some_and(|q| q.split('&').any(|part| part.split('=').next() == Some("startup")));
    match board.readiness.check(startup) {
        Ok(()) => text(StatusCode::OK, "ready\n"),
        Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests;
