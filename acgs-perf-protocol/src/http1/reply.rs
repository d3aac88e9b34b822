//! Replies: `HTTP/1.<digit> <status> …`, a header, perhaps a body.
//!
//! `value` is the class of the status (2 to 5), from its line on until the next one.

use super::{CONNECT, HEAD, chunk, header};
use crate::found::Found;
use crate::stream::Stream;
use crate::window::Window;
use crate::word;
use crate::word::text;

/// In a body that ends with the connection.
const UNTIL_CLOSE: u8 = 1;

/// Bits of `flags`, beside those of the header: more replies to the same request follow.
const INTERIM: u8 = 1 << 4;
/// It has no body, whatever its header says.
const EMPTY: u8 = 1 << 5;
/// Another protocol follows.
const LEAVES: u8 = 1 << 6;

/// Takes the next token.
#[inline(always)]
pub fn step(stream: &mut Stream, window: &mut Window) -> Found {
    match stream.state {
        Stream::START => status(stream, window),
        UNTIL_CLOSE => {
            stream.skip = u64::MAX;
            Found::NOTHING
        }
        chunk::CHUNK.. => {
            let found = chunk::step(stream, window);
            if stream.state == Stream::START { ends(stream) } else { found }
        }
        _ => {
            let found = header::step::<true>(stream, window);
            if stream.state == header::END {
                return header_ends(stream);
            }
            let has_body = stream.flags & (INTERIM | EMPTY) == 0;
            if found.has(Found::STREAM) && !has_body { Found::NOTHING } else { found }
        }
    }
}

/// The line with the status, up to its words.
#[inline(always)]
fn status(stream: &mut Stream, window: &mut Window) -> Found {
    let (version, status, left) = (window.word(0), window.word(8), window.left());
    let first = version as u8;
    if first == b'\r' || first == b'\n' {
        window.take(1);
        return Found::NOTHING;
    }
    if first != b'H' {
        return Found::LOST;
    }
    if left < 13 {
        return Found::SHORT;
    }
    let end = (status >> 32) as u8;
    let is_end = end == b' ' || end == b'\r' || end == b'\n';
    let is_version = word::first(version, 7) == text("HTTP/1.") && ((version >> 56) as u8).is_ascii_digit();
    if !is_version || status as u8 != b' ' || !is_end {
        return Found::LOST;
    }
    let Some(number) = word::number(status >> 8, 3) else { return Found::LOST };
    let class = match number {
        100..200 => 1,
        200..300 => 2,
        300..400 => 3,
        400..500 => 4,
        500..600 => 5,
        _ => return Found::LOST,
    };
    window.take(12);
    let rule = stream.reply_rule;
    let mut flags = 0;
    if class == 1 && number != 101 {
        flags |= INTERIM;
    }
    if rule == HEAD || number == 204 || number == 304 {
        flags |= EMPTY;
    }
    if number == 101 || (rule == CONNECT && class == 2) {
        flags |= LEAVES;
    }
    header::begin(stream, flags, header::REST);
    stream.value = class;
    if flags & INTERIM != 0 { Found::NOTHING } else { Found::BEGAN }
}

#[inline(always)]
fn header_ends(stream: &mut Stream) -> Found {
    let flags = stream.flags;
    stream.state = Stream::START;
    if flags & INTERIM != 0 {
        return Found::NOTHING;
    }
    if flags & LEAVES != 0 {
        return Found::ENDED.and(Found::LEFT);
    }
    if flags & EMPTY != 0 {
        return ends(stream);
    }
    if flags & header::CHUNKED != 0 {
        chunk::begin(stream);
        return Found::NOTHING;
    }
    if flags & header::CODED == 0 && flags & header::HAS_LENGTH != 0 {
        stream.skip = stream.kept_hash;
        return ends(stream);
    }
    stream.state = UNTIL_CLOSE;
    stream.skip = u64::MAX;
    Found::NOTHING
}

/// Whether a reply is under way that ends with the connection, because nothing else says how long it is.
#[inline(always)]
#[must_use]
pub const fn lasts_until_close(stream: &Stream) -> bool {
    stream.state == UNTIL_CLOSE
}

#[inline(always)]
fn ends(stream: &Stream) -> Found {
    if stream.value >= 4 { Found::ENDED.and(Found::FAILED) } else { Found::ENDED }
}
