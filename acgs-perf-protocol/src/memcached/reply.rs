//! Replies: a line, or values and lines up to `END`.

use super::{LINE, LINES, META, NOOP, VALUES};
use crate::found::Found;
use crate::stream::Stream;
use crate::window::Window;
use crate::word;
use crate::word::text;

/// Between two lines of a reply.
const WITHIN: u8 = 1;
/// In the last line.
const LAST: u8 = 2;
/// In a line behind which others come.
const OTHER: u8 = 3;
/// In the key of a value.
const KEY: u8 = 4;
/// In its flags.
const MARKS: u8 = 5;
/// At its length.
const LENGTH: u8 = 6;
/// Between that and the value.
const LENGTH_REST: u8 = 7;

/// Bits of `flags`: the reply has begun.
const BEGUN: u8 = 1;
/// It is an error.
const FAILED: u8 = 2;
/// It is to a quiet command, for which nobody waits.
const UNASKED: u8 = 4;
/// It ends with the value.
const SINGLE: u8 = 8;

/// Takes the next token.
#[inline(always)]
pub fn step(stream: &mut Stream, window: &mut Window) -> Found {
    match stream.state {
        Stream::START | WITHIN => line(stream, window),
        KEY | MARKS => {
            if window.pass(|word| word::equal(word, b' ') | word::equal(word, b'\n')) {
                if window.first() != b' ' {
                    return Found::LOST;
                }
                window.take(1);
                stream.state = if stream.state == KEY { MARKS } else { LENGTH };
            }
            Found::NOTHING
        }
        LENGTH => length(stream, window),
        _ => {
            if !window.pass(|word| word::equal(word, b'\n')) {
                return Found::NOTHING;
            }
            window.take(1);
            line_ends(stream)
        }
    }
}

/// The beginning of a line.
#[inline(always)]
fn line(stream: &mut Stream, window: &mut Window) -> Found {
    let (word, left) = (window.word(0), window.left());
    let end = word::place(word::equal(word, b' ') | word::equal(word, b'\r') | word::equal(word, b'\n'));
    if left < 8 && left <= end {
        return Found::SHORT;
    }
    let (kind, rule) = (word::first(word, end), stream.reply_rule);
    let fails = kind == text("ERROR") || kind == text("CLIENT_E") || kind == text("SERVER_E");
    let has_value = end < 8 && (word >> (8 * end)) as u8 == b' ';
    let first = word as u8;
    let (flags, bytes, state) = match kind {
        _ if fails => (FAILED, end, LAST),
        VALUE if rule == VALUES && has_value => (0, 6, KEY),
        END if rule == VALUES || rule == LINES => (0, end, LAST),
        STAT | ITEM if rule == LINES => (0, end, OTHER),
        VA if (rule == META || rule == NOOP || rule == 0) && has_value => (SINGLE, 3, LENGTH),
        _ if rule == VALUES || !(first.is_ascii_uppercase() || first.is_ascii_digit()) => return Found::LOST,
        _ => (0, end, LAST),
    };
    window.take(bytes);
    stream.state = state;
    if stream.flags & BEGUN == 0 {
        let is_asked = matches!(rule, LINE | VALUES | LINES | META) || (rule == NOOP && kind == MN);
        stream.flags = BEGUN | flags | if is_asked { 0 } else { UNASKED };
        return if is_asked { Found::BEGAN } else { Found::NOTHING };
    }
    stream.flags |= flags;
    Found::NOTHING
}

const VALUE: u64 = text("VALUE");
const END: u64 = text("END");
const STAT: u64 = text("STAT");
const ITEM: u64 = text("ITEM");
const VA: u64 = text("VA");
const MN: u64 = text("MN");

/// The length of a value.
#[inline(always)]
fn length(stream: &mut Stream, window: &mut Window) -> Found {
    let (word, left) = (window.word(0), window.left());
    let digits = word::place(!word::between(word, b'0', b'9') & word::HIGH);
    if left < 8 && left <= digits {
        return Found::SHORT;
    }
    let next = if digits < 8 { (word >> (8 * digits)) as u8 } else { 0 };
    let Some(length) = word::number(word, digits).filter(|_| matches!(next, b' ' | b'\r' | b'\n')) else {
        return Found::LOST;
    };
    window.take(digits);
    stream.value = length as u32;
    stream.state = LENGTH_REST;
    Found::NOTHING
}

#[inline(always)]
fn line_ends(stream: &mut Stream) -> Found {
    let flags = stream.flags;
    if stream.state == LENGTH_REST {
        stream.skip = u64::from(stream.value) + 2;
    }
    stream.value = 0;
    if stream.state == OTHER || (stream.state == LENGTH_REST && flags & SINGLE == 0) {
        stream.state = WITHIN;
        return Found::NOTHING;
    }
    stream.state = Stream::START;
    stream.flags = 0;
    if flags & UNASKED != 0 {
        return Found::NOTHING;
    }
    if flags & FAILED != 0 { Found::ENDED.and(Found::FAILED) } else { Found::ENDED }
}
