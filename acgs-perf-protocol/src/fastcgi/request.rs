//! Requests: a record that begins it, its parameters, an empty record of these, its body, an empty record of that.
//!
//! Above the lowest bytes, which are the path's, `count` has the content of a record that is left and its padding, and `value` the bytes of a
//! parameter's value.

use super::{ABORT, BEGIN, DATA, GET_VALUES, Head, PARAMS, STDIN};
use crate::found::{Found, Kind};
use crate::name::Name;
use crate::path;
use crate::path::Part;
use crate::protocol::Protocol;
use crate::stream::Stream;
use crate::window::Window;
use crate::word;
use crate::word::text;

/// Between two records, before the parameters have ended.
const BEGUN: u8 = 1;
/// Likewise, behind them.
const BODY: u8 = 2;
/// At a parameter.
const PAIR: u8 = 3;
/// At its name, of fourteen bytes.
const METHOD_NAME: u8 = 4;
/// At its name, of eleven bytes.
const URI_NAME: u8 = 5;
/// At the value of `REQUEST_METHOD`.
const METHOD: u8 = 6;
/// At that of `REQUEST_URI`.
const URI: u8 = 7;
/// At a slash in it.
const SEGMENT: u8 = 8;
/// In a segment of it.
const SEGMENT_REST: u8 = 9;

/// Bit of `flags`, beside those of the path: it is part of the name.
const HAS_PATH: u8 = 8;

/// Takes the next token.
#[inline(always)]
pub fn step(stream: &mut Stream, window: &mut Window, name: &mut Name) -> Found {
    match stream.state {
        Stream::START | BEGUN | BODY => record(stream, window, name),
        PAIR => pair(stream, window),
        METHOD_NAME => is_named(stream, window, 14, text("METHOD"), METHOD),
        URI_NAME => is_named(stream, window, 11, text("URI"), URI),
        METHOD => method(stream, window, name),
        URI => uri(stream, window, name),
        _ => segment(stream, window, name),
    }
}

/// The head of a record.
#[inline(always)]
fn record(stream: &mut Stream, window: &mut Window, name: &mut Name) -> Found {
    if window.left() < Head::BYTES {
        return Found::SHORT;
    }
    let Some(head) = Head::of(window.word(0)) else { return Found::LOST };
    window.take(Head::BYTES);
    stream.skip = u64::from(head.content + head.padding);
    match (stream.state, head.kind) {
        (_, GET_VALUES) | (BODY, DATA) => {}
        (_, ABORT) => stream.state = Stream::START,
        (Stream::START, BEGIN) => {
            name.begin(stream, Protocol::FastCgi as u8);
            (stream.count, stream.value, stream.flags) = (0, 0, 0);
            stream.state = BEGUN;
        }
        (BEGUN, PARAMS) if head.content != 0 => {
            stream.skip = 0;
            stream.count = (stream.count & 0xff) | (head.content << 8) | (head.padding << 24);
            stream.state = PAIR;
        }
        (BEGUN, PARAMS) => {
            if stream.length == 0 {
                name.push(stream, text("REQUEST"), 7);
            }
            stream.kind = Kind::Request as u8;
            stream.reply_rule = 0;
            stream.state = BODY;
            return Found::REQUEST;
        }
        (BODY, STDIN) => stream.state = if head.content == 0 { Stream::START } else { BODY },
        _ => return Found::LOST,
    }
    Found::NOTHING
}

/// A length, and how many bytes it takes.
#[inline(always)]
fn length(word: u64) -> (u32, u32) {
    if word & 0x80 == 0 { (word as u32 & 0x7f, 1) } else { ((word as u32).swap_bytes() & 0x7fff_ffff, 4) }
}

/// The lengths of a parameter's name and value.
#[inline(always)]
fn pair(stream: &mut Stream, window: &mut Window) -> Found {
    let (word, left) = (window.word(0), window.left());
    let content = (stream.count >> 8) & 0xffff;
    if content == 0 {
        stream.skip = u64::from(stream.count >> 24);
        stream.state = BEGUN;
        return Found::NOTHING;
    }
    let (of_name, first) = length(word);
    if left <= first {
        return Found::SHORT;
    }
    let (of_value, second) = length(word >> (8 * first));
    if left < first + second {
        return Found::SHORT;
    }
    // What does not end in its record is not followed: no server sends it.
    let all = u64::from(first + second) + u64::from(of_name) + u64::from(of_value);
    if all > u64::from(content) {
        return Found::LOST;
    }
    window.take(first + second);
    stream.count -= (all as u32) << 8;
    stream.value = (stream.value & 0xff) | (of_value << 16);
    match of_name {
        14 => stream.state = METHOD_NAME,
        11 => stream.state = URI_NAME,
        _ => stream.skip = u64::from(of_name) + u64::from(of_value),
    }
    Found::NOTHING
}

/// A name that may be that of `wanted`: it begins with `REQUEST_` and goes on with `end`.
#[inline(always)]
fn is_named(stream: &mut Stream, window: &mut Window, bytes: u32, end: u64, wanted: u8) -> Found {
    if window.left() < bytes {
        return Found::SHORT;
    }
    let is_wanted = window.word(0) == text("REQUEST_") && word::first(window.word(8), bytes - 8) == end;
    window.take(bytes);
    if is_wanted && stream.value >> 16 != 0 {
        stream.state = wanted;
        return Found::NOTHING;
    }
    rest(stream)
}

/// The rest of a value is no part of the name.
#[inline(always)]
fn rest(stream: &mut Stream) -> Found {
    stream.skip = u64::from(stream.value >> 16);
    stream.state = PAIR;
    Found::NOTHING
}

#[inline(always)]
fn method(stream: &mut Stream, window: &mut Window, name: &mut Name) -> Found {
    let bytes = stream.value >> 16;
    if stream.length == 0 && bytes > 8 {
        name.push(stream, text("OTHER"), 5);
    }
    if stream.length != 0 {
        return rest(stream);
    }
    if window.left() < bytes {
        return Found::SHORT;
    }
    let method = word::first(window.word(0), bytes);
    let is_word = word::between(method, b'A', b'Z') == word::first(word::HIGH, bytes);
    if is_word {
        name.push(stream, method, bytes);
    } else {
        name.push(stream, text("OTHER"), 5);
    }
    rest(stream)
}

#[inline(always)]
fn uri(stream: &mut Stream, window: &mut Window, name: &mut Name) -> Found {
    if window.first() != b'/' || stream.flags & HAS_PATH != 0 {
        return rest(stream);
    }
    if stream.length != 0 {
        name.push(stream, text(" "), 1);
    }
    stream.flags |= HAS_PATH;
    stream.state = SEGMENT;
    Found::NOTHING
}

/// A part of the path.
#[inline(always)]
fn segment(stream: &mut Stream, window: &mut Window, name: &mut Name) -> Found {
    let is_start = stream.state == SEGMENT;
    let most = stream.value >> 16;
    let part = path::step(stream, window, name, is_start, most);
    let bytes = match part {
        Part::Short => return Found::SHORT,
        // Servers read the record that ends the parameters by itself, when the name's bytes are gone.
        Part::Enough => return rest(stream).and(Found::NAMED),
        Part::Segment(bytes) | Part::End(bytes) => bytes,
    };
    stream.value = stream.value.wrapping_sub(bytes << 16);
    stream.state = SEGMENT_REST;
    if part == Part::End(bytes) {
        if bytes == most || window.first() != b'/' {
            return rest(stream).and(Found::NAMED);
        }
        stream.state = SEGMENT;
    }
    Found::NOTHING
}
