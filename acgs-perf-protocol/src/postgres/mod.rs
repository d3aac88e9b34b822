//! Version 3 of the protocol of PostgreSQL (<https://www.postgresql.org/docs/current/protocol.html>).
//!
//! A simple query is one request, and so is each execution of a prepared statement; both are named by the statement's text without its
//! values. What a client sends to prepare, to bind and to describe is none: it is answered, but by the server in passing. But where a client
//! waits for the answer to what it only prepares, that is a request, as it is with MySQL. After an error the server answers nothing up to
//! the next `Sync`, which is a mark for that reason.

pub mod reply;
pub mod request;

/// [`crate::Stream::reply_rule`]: the reply ends when the server is ready for the next query.
pub const QUERY: u8 = 1;
/// It ends with the result of one execution.
pub const EXECUTE: u8 = 2;
/// `Sync`: its answer is a mark.
pub const SYNC: u8 = 3;
/// Part of how a connection is opened: the server asks for more, or is ready.
pub const HANDSHAKE: u8 = 4;
/// Whether the connection is to be encrypted: a byte.
pub const ENCRYPT: u8 = 5;
/// A `Sync` behind what was only prepared: the reply ends when the server is ready.
pub const PREPARE: u8 = 6;
/// A `Flush` behind what was prepared and is to be described: the reply ends with the description.
pub const DESCRIBE: u8 = 7;

/// Longer messages are none.
const LONGEST: u32 = 1 << 30;
