//! Message types by name. Frontend and backend codes collide (`D` is Describe and DataRow), so each side
//! has constants of its own. Source: "Message Formats".

/// What a client may send once it is logged in.
pub mod frontend {
    pub const BIND: u8 = b'B';
    pub const CLOSE: u8 = b'C';
    pub const COPY_DATA: u8 = b'd';
    pub const COPY_DONE: u8 = b'c';
    pub const COPY_FAIL: u8 = b'f';
    pub const DESCRIBE: u8 = b'D';
    pub const EXECUTE: u8 = b'E';
    pub const FLUSH: u8 = b'H';
    pub const FUNCTION_CALL: u8 = b'F';
    pub const PARSE: u8 = b'P';
    pub const QUERY: u8 = b'Q';
    pub const SYNC: u8 = b'S';
    pub const TERMINATE: u8 = b'X';

    /// `PQ_SMALL_MESSAGE_LIMIT`, and the type byte: a request that isn't longer is never too long.
    pub const SMALL: usize = 10_000 + 1;
    /// `PQ_LARGE_MESSAGE_LIMIT`, which is `MaxAllocSize - 1`, and the type byte.
    const LARGE: usize = 0x3fff_fffe + 1;

    /// Bytes that PostgreSQL reads of a message of this type, header included. It closes the connection over a
    /// longer one, so that one must not reach it.
    pub fn longest_request(tag: u8) -> usize {
        match tag {
            BIND | COPY_DATA | FUNCTION_CALL | PARSE | QUERY => LARGE,
            _ => SMALL,
        }
    }
}

/// What a server may send once we are logged in.
pub mod backend {
    pub const BIND_COMPLETE: u8 = b'2';
    pub const CLOSE_COMPLETE: u8 = b'3';
    pub const COMMAND_COMPLETE: u8 = b'C';
    pub const COPY_BOTH_RESPONSE: u8 = b'W';
    pub const COPY_DATA: u8 = b'd';
    pub const COPY_DONE: u8 = b'c';
    pub const COPY_IN_RESPONSE: u8 = b'G';
    pub const COPY_OUT_RESPONSE: u8 = b'H';
    pub const DATA_ROW: u8 = b'D';
    pub const EMPTY_QUERY_RESPONSE: u8 = b'I';
    pub const ERROR_RESPONSE: u8 = b'E';
    pub const FUNCTION_CALL_RESPONSE: u8 = b'V';
    pub const NO_DATA: u8 = b'n';
    pub const NOTICE_RESPONSE: u8 = b'N';
    pub const NOTIFICATION_RESPONSE: u8 = b'A';
    pub const PARAMETER_DESCRIPTION: u8 = b't';
    pub const PARAMETER_STATUS: u8 = b'S';
    pub const PARSE_COMPLETE: u8 = b'1';
    pub const PORTAL_SUSPENDED: u8 = b's';
    pub const READY_FOR_QUERY: u8 = b'Z';
    pub const ROW_DESCRIPTION: u8 = b'T';
}
