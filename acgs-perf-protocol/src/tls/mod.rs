//! Records of TLS (RFC 5246, RFC 8446), both ways: which may be of a request or a reply, and which are none.
//!
//! In version 1.2 a record's type says what it is. In version 1.3 nearly all have the type of data (RFC 8446, 5.2): the end of the handshake
//! is told by its place and its length, tickets by their place (before the client has sent any data), a close notice by its length. What
//! the data say nobody knows here. So a request is not told from the next one: whoever drives the steps does that by behaviour.

pub mod reply;
pub mod request;

use crate::stream::Stream;
use crate::window::Window;

/// Types of records.
const CHANGE: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const DATA: u8 = 23;
const HEARTBEAT: u8 = 24;

/// States of a direction, beside [`crate::Stream::START`]: messages of the handshake have come.
const HELLO: u8 = 1;
/// And the keys have changed, if it is version 1.2.
const CHANGED: u8 = 2;
/// And more of the handshake of version 1.3, as data.
const FINISHING: u8 = 3;
/// This side has finished its handshake.
const READY: u8 = 4;
/// It has sent data since.
const SPOKEN: u8 = 5;
/// The client has sent data before its handshake was finished.
const EARLY: u8 = 6;

/// Bit of `flags`: it is version 1.2, or an earlier one.
const IS_OLD: u8 = 1;

/// Bytes of the record that ends a side's handshake in version 1.2 at most; those of a hello are more.
const LONGEST_FINISHED: u32 = 100;
/// Bytes of a record with a close notice in version 1.3: two, its type, and the code that protects it.
const NOTICE: u32 = 2 + 1 + 16;
/// The same in version 1.2: two, and what protects them, of which AES-GCM has the most (RFC 5288, 3). Longer ones, of ciphers that
/// version 1.3 has done away with, are not known as such.
const OLD_NOTICE: u32 = 8 + 2 + 16;

/// The head of a record, which has five bytes.
pub(crate) struct Head {
    kind: u8,
    length: u32,
}

impl Head {
    /// Bytes of a head.
    pub(crate) const BYTES: u32 = 5;
    /// Bytes of a record at most.
    const LONGEST: u32 = (1 << 14) + 2048;
    /// Bytes of one with data of version 1.3 at least, of others nearly.
    pub(crate) const SHORTEST: u32 = 17;

    /// The head at the beginning of the window, which has so many bytes; `None` if it is none.
    #[inline(always)]
    pub(crate) fn of(window: &Window) -> Option<Self> {
        let word = window.word(0);
        let (kind, version, length) = (word as u8, (word >> 8) as u16, ((word >> 24) as u16).swap_bytes());
        let head = Self { kind, length: u32::from(length) };
        let is_known = matches!(kind, CHANGE..=HEARTBEAT) && matches!(version, 0x0003 | 0x0103 | 0x0203 | 0x0303);
        (is_known && length != 0 && head.length <= Self::LONGEST).then_some(head)
    }

    /// Whether it is one of data.
    pub(crate) fn has_data(&self) -> bool {
        self.kind == DATA && self.length >= Self::SHORTEST
    }

    /// Whether it is as long as one that ends a side's handshake in version 1.3: of four bytes and a digest of 32 or 48, its type, and the
    /// code that protects it, of 16 bytes or 8.
    #[inline(always)]
    fn is_finished(&self) -> bool {
        matches!(self.length, 45 | 53 | 69)
    }
}

/// Whether what comes next belongs to a record of data that has been found.
#[inline(always)]
#[must_use]
pub fn is_in_data(stream: &Stream) -> bool {
    stream.skip != 0 && stream.value != 0
}

/// How many bytes that have arrived may be a close notice and nothing else; 0 where none can come.
#[inline(always)]
#[must_use]
pub fn most_of_notice(stream: &Stream) -> u32 {
    let may_come = stream.skip == 0 && stream.carried == 0 && matches!(stream.state, READY | SPOKEN);
    match may_come {
        false => 0,
        true if stream.flags & IS_OLD != 0 => Head::BYTES + OLD_NOTICE,
        true => Head::BYTES + NOTICE,
    }
}

/// The state of a side behind a record of the handshake, and whether it is that of an earlier version.
#[inline(always)]
fn behind_handshake(state: u8, length: u32) -> (u8, bool) {
    match state {
        0 => (HELLO, false),
        CHANGED if length <= LONGEST_FINISHED => (READY, true),
        // The client was asked for another hello, and has sent what nobody reads in front of it.
        CHANGED => (HELLO, false),
        _ => (state, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_may_come_between_two_records_and_only_behind_the_handshake() {
        let most = |state, flags, skip| most_of_notice(&Stream { state, flags, skip, ..Stream::default() });
        assert_eq!((most(READY, 0, 0), most(SPOKEN, 0, 0)), (24, 24));
        assert_eq!(most(SPOKEN, IS_OLD, 0), 31);
        assert_eq!((most(SPOKEN, 0, 1), most(HELLO, 0, 0), most(Stream::START, 0, 0)), (0, 0, 0));
    }
}
