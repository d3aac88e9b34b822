//! What the server sends. Each record of data is found as the beginning of a reply, unless the client has sent none.
//!
//! `value` is 1 in such a record.

use super::{CHANGE, CHANGED, DATA, EARLY, FINISHING, HANDSHAKE, HELLO, Head, IS_OLD, NOTICE, READY, SPOKEN};
use crate::found::Found;
use crate::stream::Stream;
use crate::window::Window;

/// Takes the next record.
#[inline(always)]
pub fn step(stream: &mut Stream, window: &mut Window) -> Found {
    if window.left() < Head::BYTES {
        return Found::SHORT;
    }
    let Some(head) = Head::of(window) else { return Found::LOST };
    window.take(Head::BYTES);
    stream.skip = u64::from(head.length);
    stream.value = 0;
    match head.kind {
        HANDSHAKE => {
            let (state, is_old) = super::behind_handshake(stream.state, head.length);
            stream.state = state;
            stream.flags |= if is_old { IS_OLD } else { 0 };
            Found::NOTHING
        }
        CHANGE => {
            stream.state = if stream.state == HELLO { CHANGED } else { stream.state };
            Found::NOTHING
        }
        DATA => data(stream, &head),
        _ => Found::NOTHING,
    }
}

/// A record of data: of the handshake, tickets, a notice, or of a reply.
#[inline(always)]
fn data(stream: &mut Stream, head: &Head) -> Found {
    let is_open = stream.state == READY || stream.state == SPOKEN;
    if !is_open && stream.other != SPOKEN {
        stream.state = if head.is_finished() { READY } else { FINISHING };
        return Found::NOTHING;
    }
    if stream.other != SPOKEN && stream.other != EARLY {
        return Found::NOTHING;
    }
    stream.state = SPOKEN;
    if stream.flags & IS_OLD == 0 && head.length == NOTICE {
        return Found::NOTHING;
    }
    stream.value = 1;
    Found::BEGAN
}
