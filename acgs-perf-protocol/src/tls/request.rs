//! What the client sends. Each record of data is found as a request, a notice as a farewell.
//!
//! `count` is how many records of its last messages of the handshake have come; `value` is 1 in a record of data.

use super::{ALERT, CHANGE, CHANGED, DATA, EARLY, FINISHING, HANDSHAKE, HELLO, Head, IS_OLD, NOTICE, READY, SPOKEN};
use crate::found::{Found, Kind};
use crate::name::Name;
use crate::protocol::Protocol;
use crate::stream::Stream;
use crate::window::Window;
use crate::word::text;

/// Records with which a client ends its handshake, at most: its certificate, the proof that it is its own, and the end.
const MOST: u32 = 3;

/// Takes the next record.
#[inline(always)]
pub fn step(stream: &mut Stream, window: &mut Window, name: &mut Name) -> Found {
    if window.left() < Head::BYTES {
        return Found::SHORT;
    }
    let Some(head) = Head::of(window) else { return Found::LOST };
    window.take(Head::BYTES);
    stream.skip = u64::from(head.length);
    stream.value = 0;
    let is_notice = match head.kind {
        HANDSHAKE => {
            let (state, is_old) = super::behind_handshake(stream.state, head.length);
            stream.state = state;
            stream.flags |= if is_old { IS_OLD } else { 0 };
            return Found::NOTHING;
        }
        CHANGE => {
            stream.state = if stream.state == HELLO { CHANGED } else { stream.state };
            return Found::NOTHING;
        }
        ALERT => true,
        DATA if is_of_handshake(stream, &head) => return Found::NOTHING,
        DATA => stream.state == SPOKEN && stream.flags & IS_OLD == 0 && head.length == NOTICE,
        _ => return Found::NOTHING,
    };
    name.begin(stream, Protocol::Tls as u8);
    name.push(stream, text("encrypte"), 8);
    name.push(stream, text("d"), 1);
    stream.kind = if is_notice { Kind::Farewell as u8 } else { Kind::Request as u8 };
    stream.value = u32::from(!is_notice);
    Found::REQUEST
}

/// Whether a record of data is part of the handshake.
#[inline(always)]
fn is_of_handshake(stream: &mut Stream, head: &Head) -> bool {
    if matches!(stream.state, Stream::START | READY | SPOKEN) {
        stream.state = SPOKEN;
        return false;
    }
    if stream.other == Stream::START {
        // The server has said nothing yet.
        stream.state = EARLY;
        return false;
    }
    stream.count += 1;
    let is_early = stream.state == EARLY;
    stream.state = match head.is_finished() || stream.count == MOST {
        true if is_early => SPOKEN,
        true => READY,
        false if is_early => EARLY,
        false => FINISHING,
    };
    true
}
