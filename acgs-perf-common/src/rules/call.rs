//! The downstream call on a connection that a service opened: for which request, to whom, and whether the answer is due.
//!
//! In: nothing. Out: the part of a socket's state that belongs to the client's end; `rules::downstream` has the rules.

use crate::attribution::PEER_SLOTS;
use crate::endpoint::CALLED_SHIFT;

/// Nothing was called on this connection yet, or the last call has been answered.
pub const QUIET: u32 = 0;
/// The connection is being opened.
pub const CONNECTING: u32 = 1;
/// A call was sent and nothing has come back.
pub const CALLED: u32 = 2;
/// A call was sent, nothing has come back, and another request has sent on the connection meanwhile.
pub const MIXED: u32 = 3;

/// The client's end of a connection.
#[repr(C)]
pub struct DownstreamCall {
    /// For whom the call is; see `Activity`.
    pub request: u64,
    /// When it was read; see `Activity`.
    pub began: u64,
    /// When the call was sent, the connection was established, or the last answer was read.
    pub since: u64,
    /// `QUIET`, `CONNECTING`, `CALLED` or `MIXED`.
    pub phase: u32,
    /// Slot of the peer, and above [`CALLED_SHIFT`] the number of what was asked for.
    pub peer: u32,
    /// Thread that has sent the call.
    pub by: u32,
    /// For whole words.
    pub padding: u32,
}

impl DownstreamCall {
    /// Slot of the peer.
    #[inline(always)]
    #[must_use]
    pub const fn slot(&self) -> u32 {
        self.peer & (PEER_SLOTS as u32 - 1)
    }

    /// From now on it is for this endpoint of the peer.
    #[inline(always)]
    pub const fn asks_for(&mut self, endpoint: u32) {
        self.peer = self.slot() | endpoint << CALLED_SHIFT;
    }
}
