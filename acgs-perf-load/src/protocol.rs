//! What a client and a server speak: how a request carries its number, and how the end of a reply is known.
//!
//! In: bytes of a connection as they come. Out: replies, each once it is whole.

use std::fmt;
use std::fmt::Debug;

use crate::error::ReplyError;

/// One way to speak. A client has one request at a time under way on each connection.
pub trait Protocol: Debug + Send + Sync {
    /// Puts the number of a request into its bytes, where there is a place for it.
    fn number(&self, _request: &mut [u8], _id: u64) {}

    /// What is said on a new connection before its first request; each of these messages has one reply.
    fn greeting(&self) -> &[Vec<u8>] {
        &[]
    }

    /// A reader for the replies on one connection.
    fn reader(&self) -> Box<dyn ReplyReader>;
}

/// Where in a reply a connection is.
pub trait ReplyReader: Send {
    /// Takes the bytes that came; a reply when it is whole. `id` is the number of the request that was sent.
    fn feed(&mut self, bytes: &[u8], id: u64) -> Result<Option<Reply>, ReplyError>;

    /// The connection was closed; a reply where that is its end.
    fn end(&mut self) -> Option<Reply> {
        None
    }

    /// What is to be sent before the reply can be whole: a server that is greeted may ask something.
    fn answer(&mut self) -> Option<Vec<u8>> {
        None
    }

    /// What the last reply that was an error said.
    fn said(&self) -> &str {
        ""
    }
}

/// A whole reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status, else 0.
    pub status: u16,
    /// The server will close the connection, which cannot be used again.
    pub close: bool,
    /// What the server calls the error that this reply is, where the protocol has a word for it.
    pub error: Option<Code>,
}

impl Reply {
    /// A reply that has no status, on a connection that stays.
    pub const PLAIN: Self = Self { status: 0, close: false, error: None };
}

/// The word of a protocol for an error, such as `WRONGTYPE` or `42P01`; of a longer one its begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Code {
    bytes: [u8; Self::MOST],
    len: u8,
}

impl Code {
    const MOST: usize = 15;

    /// The word with which a text begins: letters, digits and underscores, for others may have written it.
    #[must_use]
    pub fn of(text: &[u8]) -> Self {
        let mut code = Self::default();
        let word = text.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_');
        for (to, from) in code.bytes.iter_mut().zip(word) {
            *to = *from;
            code.len += 1;
        }
        code
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.bytes[..usize::from(self.len)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_a_word_of_bounded_length() {
        assert_eq!(Code::of(b"WRONGTYPE Operation against").to_string(), "WRONGTYPE");
        assert_eq!(Code::of(b"\x1b[2J").to_string(), "");
        assert_eq!(Code::of(&[b'A'; 40]).to_string().len(), Code::MOST);
    }
}
