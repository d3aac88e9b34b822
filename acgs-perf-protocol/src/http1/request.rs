//! Requests: `<method> <target> HTTP/1.<digit>`, a header, perhaps a body.

use super::{CONNECT, HEAD, PLAIN, chunk, header};
use crate::found::{Found, Kind};
use crate::name::Name;
use crate::path;
use crate::path::Part;
use crate::protocol::Protocol;
use crate::stream::Stream;
use crate::window::Window;
use crate::word;
use crate::word::text;

/// In a method that has no name here; `value` bytes of it were taken.
const METHOD_REST: u8 = 1;
/// In front of the target.
const TARGET: u8 = 2;
/// In the name of a host.
const HOST: u8 = 3;
/// At the slash in front of a segment.
const SEGMENT: u8 = 4;
/// In a segment.
const SEGMENT_REST: u8 = 5;
/// In the part of a target that has no name.
const TARGET_REST: u8 = 6;
/// In front of the version.
const VERSION: u8 = 7;

/// Bit of `flags`, beside those of the path: the target is no part of the name.
const NO_TARGET: u8 = 8;

/// Longer methods are none.
const LONGEST_METHOD: u32 = 32;

/// Takes the next token.
#[inline(always)]
pub fn step(stream: &mut Stream, window: &mut Window, name: &mut Name) -> Found {
    // One behind the other in one step, as nearly every request has them.
    if stream.state == Stream::START {
        let found = method(stream, window, name);
        if found != Found::NOTHING || stream.state != TARGET || window.left() == 0 {
            return found;
        }
    }
    if stream.state == TARGET {
        let found = target(stream, window, name);
        if found != Found::NOTHING || stream.state != SEGMENT {
            return found;
        }
    }
    if matches!(stream.state, SEGMENT | SEGMENT_REST) {
        let found = segment(stream, window, name);
        if found != Found::NOTHING || stream.state != TARGET_REST {
            return found;
        }
    }
    if stream.state == TARGET_REST {
        if !window.pass(path::ends_path) {
            return Found::NOTHING;
        }
        stream.state = VERSION;
    }
    match stream.state {
        METHOD_REST => method_rest(stream, window),
        HOST => host(stream, window, name),
        VERSION => version(stream, window),
        chunk::CHUNK.. => chunk::step(stream, window),
        _ => {
            let found = header::step::<false>(stream, window);
            if stream.state == header::END { header_ends(stream) } else { found }
        }
    }
}

#[inline(always)]
fn method(stream: &mut Stream, window: &mut Window, name: &mut Name) -> Found {
    let (method, left) = (window.word(0), window.left());
    let first = method as u8;
    if first == b'\r' || first == b'\n' {
        // Empty lines in front of a request are nothing (RFC 9112, 2.2).
        window.take(1);
        return Found::NOTHING;
    }
    if !first.is_ascii_alphabetic() {
        return Found::LOST;
    }
    let bytes = word::place(word::equal(method, b' '));
    if left < 8 && left <= bytes {
        return Found::SHORT;
    }
    name.begin(stream, Protocol::Http1 as u8);
    stream.kind = Kind::Request as u8;
    stream.count = 0;
    stream.flags = 0;
    stream.reply_rule = PLAIN;
    // With the blank, so that it is no other method with a zero behind it.
    let method = word::first(method, bytes + 1);
    match method {
        GET | POST | PUT | DELETE | PATCH | OPTIONS | TRACE => {}
        HEAD_ => stream.reply_rule = HEAD,
        CONNECT_ => stream.reply_rule = CONNECT,
        _ => {
            name.push(stream, text("OTHER"), 5);
            stream.flags = NO_TARGET;
            stream.value = 0;
            stream.state = METHOD_REST;
            return Found::NOTHING;
        }
    }
    if method == CONNECT_ {
        name.push(stream, method, 7);
        stream.flags = NO_TARGET;
    } else {
        name.push(stream, method, bytes + 1);
    }
    window.take(bytes + 1);
    stream.state = TARGET;
    Found::NOTHING
}

const GET: u64 = text("GET ");
const POST: u64 = text("POST ");
const PUT: u64 = text("PUT ");
const DELETE: u64 = text("DELETE ");
const PATCH: u64 = text("PATCH ");
const OPTIONS: u64 = text("OPTIONS ");
const TRACE: u64 = text("TRACE ");
const HEAD_: u64 = text("HEAD ");
const CONNECT_: u64 = text("CONNECT ");

/// Up to eight bytes of a method that has no name here.
#[inline(always)]
fn method_rest(stream: &mut Stream, window: &mut Window) -> Found {
    let (method, left) = (window.word(0), window.left());
    let letters = word::between(word::lower(method), b'a', b'z') | word::between(method, b'0', b'9');
    let letters = letters | word::equal(method, b'-') | word::equal(method, b'_');
    let end = word::place(!letters & word::HIGH);
    let bytes = if end < left { end } else { left };
    stream.value += bytes;
    if stream.value > LONGEST_METHOD {
        return Found::LOST;
    }
    window.take(bytes);
    if end < 8 && end < left {
        if window.first() != b' ' || stream.value == 0 {
            return Found::LOST;
        }
        window.take(1);
        stream.state = TARGET;
    }
    Found::NOTHING
}

/// The beginning of a target.
#[inline(always)]
fn target(stream: &mut Stream, window: &mut Window, name: &mut Name) -> Found {
    let (target, left) = (word::lower(window.word(0)), window.left());
    let first = target as u8;
    if first == b' ' {
        window.take(1);
        return Found::NOTHING;
    }
    if first == b'\r' || first == b'\n' {
        return Found::LOST;
    }
    if stream.flags & NO_TARGET != 0 {
        stream.state = TARGET_REST;
        return Found::NOTHING;
    }
    match first {
        b'/' => stream.state = SEGMENT,
        b'*' => {
            window.take(1);
            name.push(stream, text("*"), 1);
            stream.state = VERSION;
        }
        b'h' => {
            // A target with a scheme, as proxies get it.
            if left < 8 {
                return Found::SHORT;
            }
            let bytes = if target == text("https://") {
                8
            } else if word::first(target, 7) == text("http://") {
                7
            } else {
                return Found::LOST;
            };
            window.take(bytes);
            stream.state = HOST;
        }
        _ => return Found::LOST,
    }
    Found::NOTHING
}

/// The host of a target with a scheme: no part of the name.
#[inline(always)]
fn host(stream: &mut Stream, window: &mut Window, name: &mut Name) -> Found {
    let is_passed = window.pass(|word| {
        path::ends_path(word) | word::equal(word, b'/') | word::equal(word, b'?') | word::equal(word, b'#')
    });
    if is_passed {
        stream.state = SEGMENT;
        if window.first() != b'/' {
            name.push(stream, text("/"), 1);
            stream.state = TARGET_REST;
        }
    }
    Found::NOTHING
}

/// A part of the path.
#[inline(always)]
fn segment(stream: &mut Stream, window: &mut Window, name: &mut Name) -> Found {
    let is_start = stream.state == SEGMENT;
    stream.state = match path::step(stream, window, name, is_start, u32::MAX) {
        Part::Short => return Found::SHORT,
        Part::Segment(_) => SEGMENT_REST,
        Part::End(_) if window.first() == b'/' => SEGMENT,
        Part::End(_) | Part::Enough => TARGET_REST,
    };
    Found::NOTHING
}

/// The version, and the end of the line.
#[inline(always)]
fn version(stream: &mut Stream, window: &mut Window) -> Found {
    if window.first() == b' ' {
        window.take(1);
    }
    let (version, end, left) = (window.word(0), window.word(8), window.left());
    if left == 0 || version as u8 == b' ' {
        return Found::NOTHING;
    }
    if left < 9 {
        return Found::SHORT;
    }
    if word::first(version, 7) != text("HTTP/1.") || !((version >> 56) as u8).is_ascii_digit() {
        return Found::LOST;
    }
    let bytes = match end as u8 {
        b'\n' => 9,
        b'\r' if left < 10 => return Found::SHORT,
        b'\r' if (end >> 8) as u8 == b'\n' => 10,
        _ => return Found::LOST,
    };
    window.take(bytes);
    header::begin(stream, 0, header::LINE);
    Found::REQUEST
}

#[inline(always)]
fn header_ends(stream: &mut Stream) -> Found {
    stream.state = Stream::START;
    if stream.flags & header::CHUNKED != 0 {
        chunk::begin(stream);
        return Found::NOTHING;
    }
    if stream.flags & header::CODED != 0 {
        // It would end with the connection, and no server can answer that.
        return Found::LOST;
    }
    if stream.flags & header::HAS_LENGTH != 0 {
        stream.skip = stream.kept_hash;
    }
    Found::NOTHING
}
