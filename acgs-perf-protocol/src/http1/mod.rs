//! HTTP/1.0 and 1.1 (RFC 9112).
//!
//! A request is named by its method and the words of its path; what looks like a value there is `{}`. It is known once its first line has
//! ended, because a server may answer before the body has come. A reply begins with a status that is not of the class 1, and ends by its
//! length, by its last chunk, or with the connection.

pub mod chunk;
mod header;
pub mod reply;
pub mod request;

pub use chunk::is_between_chunks;
pub use reply::lasts_until_close;

/// [`crate::Stream::reply_rule`]: the reply's header says how long it is.
pub const PLAIN: u8 = 0;
/// To `HEAD`: the header tells of a body that does not come.
pub const HEAD: u8 = 1;
/// To `CONNECT`: behind it another protocol begins, unless it is refused.
pub const CONNECT: u8 = 2;
