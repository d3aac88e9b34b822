//! Which protocol a client speaks, by the first bytes of a request.
//!
//! In: a window at the beginning of a request: the first of a connection, or one behind a pause, where the connection is older than the
//! hooks. Out: the protocol. Each looks for what no other one begins with, so that none is taken for another.

use crate::found::Found;
use crate::protocol::Protocol;
use crate::window::Window;

/// The protocol, or [`Found::SHORT`] if more bytes are needed to tell.
#[inline(always)]
pub fn detect(window: &Window) -> Result<Protocol, Found> {
    let (first, left) = (window.first(), window.left());
    if first == b'*' {
        // The number of words of a request.
        if left < 2 {
            return Err(Found::SHORT);
        }
        let second = (window.word(0) >> 8) as u8;
        return Ok(if second.is_ascii_digit() { Protocol::Resp } else { Protocol::Unparsed });
    }
    Ok(Protocol::Unparsed)
}
