//! SQLSTATE codes by name (PostgreSQL documentation, appendix "PostgreSQL Error Codes").

use std::fmt;

/// A five-character SQLSTATE.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SqlState(pub [u8; 5]);

impl SqlState {
    pub const PROTOCOL_VIOLATION: Self = Self(*b"08P01");
    pub const CONNECTION_FAILURE: Self = Self(*b"08006");
    pub const TRANSACTION_RESOLUTION_UNKNOWN: Self = Self(*b"08007");
    pub const FEATURE_NOT_SUPPORTED: Self = Self(*b"0A000");
    pub const INVALID_AUTHORIZATION: Self = Self(*b"28000");
    pub const INVALID_PASSWORD: Self = Self(*b"28P01");
    pub const IDLE_IN_TRANSACTION_TIMEOUT: Self = Self(*b"25P03");
    pub const INVALID_STATEMENT_NAME: Self = Self(*b"26000");
    pub const INVALID_CATALOG_NAME: Self = Self(*b"3D000");
    pub const DUPLICATE_STATEMENT: Self = Self(*b"42P05");
    pub const INSUFFICIENT_PRIVILEGE: Self = Self(*b"42501");
    pub const TOO_MANY_CONNECTIONS: Self = Self(*b"53300");
    pub const PROGRAM_LIMIT_EXCEEDED: Self = Self(*b"54000");
    pub const OBJECT_NOT_IN_PREREQUISITE_STATE: Self = Self(*b"55000");
    pub const QUERY_CANCELED: Self = Self(*b"57014");
    pub const ADMIN_SHUTDOWN: Self = Self(*b"57P01");
    pub const CANNOT_CONNECT_NOW: Self = Self(*b"57P03");
    pub const IDLE_SESSION_TIMEOUT: Self = Self(*b"57P05");
    pub const INTERNAL_ERROR: Self = Self(*b"XX000");

    /// The code as text; peers may send any five bytes, so what isn't ASCII reads as `?????`.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("?????")
    }
}

impl fmt::Display for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
