//! The protocol of MySQL and MariaDB (<https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html>).
//!
//! The server greets, the client logs in, and then sends one command at a time, as the first packet of a count that begins at 0. A query is
//! named by its text without its values, an execution by the text that was prepared; other commands by their own names. To prepare is a
//! request, because the client waits for the number by which the statement is known. What is compressed is not followed.

pub(crate) mod detect;
pub mod reply;
pub mod request;

/// [`crate::Stream::reply_rule`]: one packet that says whether it worked.
pub const STATE: u8 = 1;
/// Results, each of definitions and rows, or a packet that says whether it worked.
pub const RESULTS: u8 = 2;
/// The number of a statement, and definitions.
pub const STATEMENT: u8 = 3;
/// Part of how a connection is opened: the server asks for more, or lets the client in.
pub const HANDSHAKE: u8 = 4;
/// Rows.
pub const ROWS: u8 = 5;
/// One packet, whatever it says.
pub const PACKET: u8 = 6;

/// What stands for the statement that was prepared last. To MariaDB it does, too.
pub const LAST: u32 = u32::MAX;

/// Bytes of a packet that is full: the message goes on in the next one.
const FULL: u32 = 0xff_ffff;

/// The head of a packet, which has four bytes.
struct Head {
    /// Bytes behind it.
    length: u32,
    /// Which one of an exchange it is.
    number: u8,
}

impl Head {
    /// Bytes of a head.
    const BYTES: u32 = 4;

    /// The head in these bytes.
    #[inline(always)]
    fn of(word: u64) -> Self {
        Self { length: word as u32 & FULL, number: (word >> 24) as u8 }
    }
}
