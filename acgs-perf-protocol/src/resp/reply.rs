//! Replies: a value each, of which some hold others.

use super::number::{Head, head};
use crate::found::Found;
use crate::stream::Stream;
use crate::window::Window;
use crate::word;

/// Between the values of a reply; `count` of them are to come.
const VALUE: u8 = 1;
/// In a value that is one line.
const LINE: u8 = 2;

/// Bits of `flags`: nobody asked for it.
const PUSHED: u8 = 1;
/// It is an error.
const FAILED: u8 = 2;
/// Its first byte was seen.
const BEGUN: u8 = 4;

/// More values than any reply has.
const MOST: u64 = 1 << 28;

/// Takes the next token.
#[inline(always)]
pub fn step(stream: &mut Stream, window: &mut Window) -> Found {
    if stream.state == LINE { line(stream, window) } else { value(stream, window) }
}

/// The head of a value.
#[inline(always)]
fn value(stream: &mut Stream, window: &mut Window) -> Found {
    let kind = window.first();
    let mut found = Found::NOTHING;
    if stream.state == Stream::START {
        stream.count = 1;
        stream.flags = 0;
        stream.state = VALUE;
    }
    if stream.flags & (BEGUN | PUSHED) == 0 {
        // What tells more about the reply comes in front of it.
        if kind == b'>' {
            stream.flags |= PUSHED;
        } else if kind != b'|' {
            stream.flags |= BEGUN;
            if kind == b'-' || kind == b'!' {
                stream.flags |= FAILED;
            }
            found = Found::BEGAN;
        }
    }
    if matches!(kind, b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(') {
        window.take(1);
        stream.state = LINE;
        return found;
    }
    let values_each = match kind {
        b'$' | b'=' | b'!' => 0,
        b'*' | b'~' | b'>' => 1,
        b'%' | b'|' => 2,
        _ => return Found::LOST,
    };
    match head(window) {
        Head::Short => {
            if found.has(Found::BEGAN) {
                // Said again, when all of the head is there.
                stream.flags &= !BEGUN;
            }
            Found::SHORT
        }
        Head::Wrong => Found::LOST,
        Head::Null(bytes) => {
            window.take(bytes);
            found.and(value_ends(stream))
        }
        Head::Number(number, bytes) => {
            if number > MOST {
                return Found::LOST;
            }
            window.take(bytes);
            if values_each == 0 {
                stream.skip = number + 2;
            } else {
                stream.count = stream.count.wrapping_add(number as u32 * values_each);
                if kind == b'|' {
                    // The value that it belongs to is still to come.
                    stream.count = stream.count.wrapping_add(1);
                }
            }
            found.and(value_ends(stream))
        }
    }
}

/// The rest of a line, or a part of it.
#[inline(always)]
fn line(stream: &mut Stream, window: &mut Window) -> Found {
    if !window.pass(|word| word::equal(word, b'\r') | word::equal(word, b'\n')) {
        return Found::NOTHING;
    }
    if window.left() < 2 {
        return Found::SHORT;
    }
    if window.word(0) as u16 != u16::from_le_bytes(*b"\r\n") {
        return Found::LOST;
    }
    window.take(2);
    stream.state = VALUE;
    value_ends(stream)
}

#[inline(always)]
fn value_ends(stream: &mut Stream) -> Found {
    stream.count = stream.count.wrapping_sub(1);
    if stream.count != 0 {
        return Found::NOTHING;
    }
    stream.state = Stream::START;
    if stream.flags & PUSHED != 0 {
        return Found::PUSH;
    }
    if stream.flags & FAILED != 0 { Found::ENDED.and(Found::FAILED) } else { Found::ENDED }
}
