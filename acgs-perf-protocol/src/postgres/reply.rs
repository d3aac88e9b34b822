//! What the server sends: a byte for the type, four for the length, the rest by type.
//!
//! `value` is the class of an error, the first two bytes of its SQLSTATE; 0 if it has none.

use super::{DESCRIBE, ENCRYPT, EXECUTE, HANDSHAKE, LONGEST, PREPARE, QUERY, SYNC};
use crate::found::Found;
use crate::stream::Stream;
use crate::window::Window;
use crate::word;

/// Between two messages of a reply.
const WITHIN: u8 = 1;
/// At a field of an error; `count` bytes of the message are to come.
const FIELD: u8 = 2;
/// In a field that is not read.
const FIELD_REST: u8 = 3;
/// What comes from here on is encrypted.
const ENCRYPTED: u8 = 4;

/// Bits of `flags`: the reply has begun.
const BEGUN: u8 = 1;
/// It is an error.
const FAILED: u8 = 2;

/// Takes the next token.
#[inline(always)]
pub fn step(stream: &mut Stream, window: &mut Window) -> Found {
    match stream.state {
        FIELD => field(stream, window),
        FIELD_REST => field_rest(stream, window),
        ENCRYPTED => Found::LOST,
        _ => message(stream, window),
    }
}

/// The head of a message.
#[inline(always)]
fn message(stream: &mut Stream, window: &mut Window) -> Found {
    let (word, code, left) = (window.word(0), window.word(5), window.left());
    let (kind, rule) = (word as u8, stream.reply_rule);
    if rule == ENCRYPT && matches!(kind, b'S' | b'N' | b'G') {
        window.take(1);
        stream.state = if kind == b'G' { ENCRYPTED } else { Stream::START };
        let answered = Found::BEGAN.and(Found::ENDED);
        return if kind == b'S' { answered.and(Found::TURNS) } else { answered };
    }
    if left < 5 {
        return Found::SHORT;
    }
    let length = ((word >> 8) as u32).swap_bytes();
    if !(4..=LONGEST).contains(&length) {
        return Found::LOST;
    }
    let rest = length - 4;
    if kind == b'R' && left < 9 {
        return Found::SHORT;
    }
    window.take(5);
    stream.skip = u64::from(rest);
    let is_to_prepare = rule == PREPARE || rule == DESCRIBE;
    let is_expected = rule == QUERY || rule == EXECUTE || rule == HANDSHAKE || rule == ENCRYPT || is_to_prepare;
    match kind {
        // Notice, the setting of a parameter, the key for a cancellation, the version of the protocol.
        b'N' | b'S' | b'K' | b'v' => Found::NOTHING,
        b'T' | b'n' if rule == DESCRIBE => begins(stream, true).and(ends(stream)),
        b'1' | b't' | b'T' | b'n' if is_to_prepare => begins(stream, true),
        // Parsed, bound, closed, no data; the description of parameters.
        b'1' | b'2' | b'3' | b'n' if rest == 0 => Found::NOTHING,
        b't' => Found::NOTHING,
        b'A' => Found::PUSH,
        // The description of rows is part of a query, but of no execution.
        b'T' if rule != QUERY => Found::NOTHING,
        b'T' | b'D' | b'G' | b'H' | b'd' | b'c' | b'V' => begins(stream, is_expected),
        b'C' | b'I' | b's' if rule == EXECUTE => begins(stream, true).and(ends(stream)),
        b'C' | b'I' | b's' => begins(stream, is_expected),
        b'E' if is_expected => {
            stream.skip = 0;
            stream.count = rest;
            let found = begins(stream, true);
            stream.flags |= FAILED;
            stream.state = FIELD;
            found
        }
        // What was to be prepared or bound failed, and nothing was to be executed.
        b'E' if rule == SYNC => Found::NOTHING,
        // The server says why it closes the connection.
        b'E' => Found::PUSH,
        // A copy in both directions: the stream of a replica.
        b'W' => begins(stream, is_expected).and(ends(stream)).and(Found::LEFT),
        b'R' => {
            // Whether it goes on without the client: it is let in (0), or the exchange of proofs ends (12).
            let asks = !matches!((code as u32).swap_bytes(), 0 | 12);
            let found = begins(stream, is_expected);
            if asks && is_expected { found.and(ends(stream)) } else { found }
        }
        b'Z' if rest == 1 => {
            if rule == QUERY || rule == HANDSHAKE || rule == PREPARE {
                begins(stream, true).and(ends(stream))
            } else {
                Found::MARK
            }
        }
        _ => Found::LOST,
    }
}

/// A part of a reply: the first one, if none was before it.
#[inline(always)]
fn begins(stream: &mut Stream, is_expected: bool) -> Found {
    if !is_expected || stream.flags & BEGUN != 0 {
        return Found::NOTHING;
    }
    stream.flags = BEGUN;
    stream.value = 0;
    stream.state = WITHIN;
    Found::BEGAN
}

#[inline(always)]
fn ends(stream: &mut Stream) -> Found {
    let found = if stream.flags & FAILED != 0 { Found::ENDED.and(Found::FAILED) } else { Found::ENDED };
    stream.flags = 0;
    stream.state = Stream::START;
    found
}

/// A field of an error: a byte that says which, and a text that a zero ends.
#[inline(always)]
fn field(stream: &mut Stream, window: &mut Window) -> Found {
    let (word, left) = (window.word(0), window.left());
    let bytes = match word as u8 {
        0 => 1,
        b'C' => 3,
        _ => {
            window.take(1);
            stream.count = stream.count.wrapping_sub(1);
            stream.state = FIELD_REST;
            return if stream.count >= LONGEST { Found::LOST } else { Found::NOTHING };
        }
    };
    if stream.count < bytes {
        return Found::LOST;
    }
    if left < bytes {
        return Found::SHORT;
    }
    window.take(bytes);
    if bytes == 3 {
        stream.value = (word >> 8) as u32 & 0xffff;
    }
    stream.skip = u64::from(stream.count - bytes);
    stream.state = WITHIN;
    match stream.reply_rule {
        // It ends when the server is ready for the next query.
        QUERY | PREPARE => Found::NOTHING,
        EXECUTE | DESCRIBE => ends(stream).and(Found::SKIPPED),
        _ => ends(stream),
    }
}

/// The text of a field.
#[inline(always)]
fn field_rest(stream: &mut Stream, window: &mut Window) -> Found {
    let left = window.left();
    let is_passed = window.pass(word::zeros);
    if is_passed {
        window.take(1);
        stream.state = FIELD;
    }
    let taken = left - window.left();
    if stream.count < taken {
        return Found::LOST;
    }
    stream.count -= taken;
    Found::NOTHING
}
