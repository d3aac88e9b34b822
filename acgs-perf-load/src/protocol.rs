//! What a client and a server speak: how a request carries its number, and how the end of a reply is known.
//!
//! In: bytes of a connection as they come. Out: replies, each once it is whole.

use std::fmt::Debug;

use crate::error::ReplyError;

/// One way to speak. A client has one request at a time under way on each connection.
pub trait Protocol: Debug + Send + Sync {
    /// Puts the number of a request into its bytes, where there is a place for it.
    fn number(&self, _request: &mut [u8], _id: u64) {}

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
}

/// A whole reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status, else 0.
    pub status: u16,
    /// The server will close the connection, which cannot be used again.
    pub close: bool,
}

impl Reply {
    /// A reply that has no status, on a connection that stays.
    pub const PLAIN: Self = Self { status: 0, close: false };
}
