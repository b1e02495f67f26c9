//! One logged-in connection to a PostgreSQL backend.

use super::lend::Backend;

/// Socket and what the backend has.
#[derive(Debug)]
pub struct Connection(());

impl Backend for Connection {
    fn idle_check(&mut self) -> bool {
        false
    }

    async fn close(self: Box<Self>) {}

    async fn abandon(self: Box<Self>) {}
}
