//! Replies: records of output, and one that ends the request.
//!
//! `value` is the class of the status (2 to 5) that the output begins with; 0 if it begins otherwise. `count` is what is left of a record.

use super::{END, GET_VALUES_RESULT, Head, STDERR, STDOUT};
use crate::found::Found;
use crate::stream::Stream;
use crate::window::Window;
use crate::word;
use crate::word::text;

/// Between two records of a reply.
const WITHIN: u8 = 1;
/// At the beginning of the output.
const OUTPUT: u8 = 2;

/// Bits of `flags`: the reply has begun.
const BEGUN: u8 = 1;
/// The beginning of its output was seen.
const LOOKED: u8 = 2;

/// Bytes of a status: `Status: 404`.
const STATUS: u32 = 11;

/// Takes the next token.
#[inline(always)]
pub fn step(stream: &mut Stream, window: &mut Window) -> Found {
    if stream.state == OUTPUT { output(stream, window) } else { record(stream, window) }
}

/// The head of a record.
#[inline(always)]
fn record(stream: &mut Stream, window: &mut Window) -> Found {
    let left = window.left();
    if left < Head::BYTES {
        return Found::SHORT;
    }
    let Some(head) = Head::of(window.word(0)) else { return Found::LOST };
    let bytes = head.content + head.padding;
    if head.kind == GET_VALUES_RESULT {
        window.take(Head::BYTES);
        stream.skip = u64::from(bytes);
        return Found::NOTHING;
    }
    let is_end = head.kind == END && head.content == 8;
    if !is_end && head.kind != STDOUT && head.kind != STDERR {
        return Found::LOST;
    }
    if is_end && left < Head::BYTES + 5 {
        return Found::SHORT;
    }
    // Behind the status of the application, which is its own affair.
    let is_refused = is_end && window.word(Head::BYTES + 4) as u8 != 0;
    window.take(Head::BYTES);
    let mut found = Found::NOTHING;
    if stream.flags & BEGUN == 0 {
        stream.flags = BEGUN;
        stream.value = 0;
        found = Found::BEGAN;
    }
    stream.state = WITHIN;
    if head.kind == STDOUT && stream.flags & LOOKED == 0 && head.content >= STATUS {
        stream.flags |= LOOKED;
        stream.count = bytes;
        stream.state = OUTPUT;
        return found;
    }
    stream.skip = u64::from(bytes);
    if !is_end {
        return found;
    }
    stream.state = Stream::START;
    stream.flags = 0;
    // The server has no room for it, or does not know its role.
    stream.value = if is_refused { 5 } else { stream.value };
    let ended = found.and(Found::ENDED);
    if stream.value >= 4 { ended.and(Found::FAILED) } else { ended }
}

/// The beginning of the output: a status, if it is not the usual one.
#[inline(always)]
fn output(stream: &mut Stream, window: &mut Window) -> Found {
    if window.left() < STATUS {
        return Found::SHORT;
    }
    if window.word(0) == text("Status: ") {
        stream.value = match word::number(window.word(8), 3) {
            Some(200..300) => 2,
            Some(300..400) => 3,
            Some(400..500) => 4,
            Some(500..600) => 5,
            _ => 0,
        };
    }
    window.take(STATUS);
    stream.skip = u64::from(stream.count - STATUS);
    stream.state = WITHIN;
    Found::NOTHING
}
