//! A body in chunks: `<hexadecimal length>[;extension]\r\n<bytes>\r\n` …, `0\r\n`, lines of a trailer, an empty line.
//!
//! In: a window behind the header. Out: [`Stream::START`] as the state once the last chunk and its trailer have ended. `kept_hash` is the
//! length of the chunk.

use crate::found::Found;
use crate::stream::Stream;
use crate::window::Window;
use crate::word;

/// At the length of a chunk.
pub const CHUNK: u8 = 32;
/// Behind that length.
const EXTENSION: u8 = 33;
/// Behind the bytes of a chunk.
const CHUNK_END: u8 = 34;
/// At the beginning of a line of the trailer.
const TRAILER: u8 = 35;
/// In such a line.
const TRAILER_REST: u8 = 36;

/// Bit of `flags`: a digit of the length was seen.
const DIGITS: u8 = 8;

/// Bit of `flags`: a chunk has ended.
const HAS_CHUNKS: u8 = 1 << 7;

/// Whether one chunk has ended and nothing of the next one has come: a server that pauses here may send events as they happen.
#[inline(always)]
#[must_use]
pub const fn is_between_chunks(stream: &Stream) -> bool {
    let is_behind_one = stream.flags & (DIGITS | HAS_CHUNKS) == HAS_CHUNKS;
    stream.state == CHUNK && is_behind_one && stream.skip == 0 && stream.carried == 0
}

/// The body begins.
#[inline(always)]
pub fn begin(stream: &mut Stream) {
    stream.state = CHUNK;
    stream.flags &= !(DIGITS | HAS_CHUNKS);
    stream.kept_hash = 0;
}

/// Takes the next token.
#[inline(always)]
pub fn step(stream: &mut Stream, window: &mut Window) -> Found {
    match stream.state {
        CHUNK => length(stream, window),
        EXTENSION | TRAILER_REST => {
            if window.pass(|word| word::equal(word, b'\n')) {
                window.take(1);
                line_ends(stream);
            }
            Found::NOTHING
        }
        _ => empty_line(stream, window),
    }
}

/// Up to eight digits of the length.
#[inline(always)]
fn length(stream: &mut Stream, window: &mut Window) -> Found {
    let text = window.word(0);
    let digits = word::place(!word::hex_digits(text) & word::HIGH);
    let left = window.left();
    if digits == 0 {
        let first = text as u8;
        let is_end = first == b'\r' || first == b'\n' || first == b';' || first == b' ' || first == b'\t';
        if stream.flags & DIGITS == 0 || !is_end {
            return Found::LOST;
        }
        stream.state = EXTENSION;
        return Found::NOTHING;
    }
    if left < 8 && left <= digits {
        return Found::SHORT;
    }
    // No chunk has as many bytes as would not fit.
    if stream.kept_hash >= 1 << 28 {
        return Found::LOST;
    }
    stream.kept_hash = (stream.kept_hash << (4 * digits)) + word::hex(text, digits);
    stream.flags |= DIGITS;
    window.take(digits);
    Found::NOTHING
}

/// The line with a length, or one of the trailer, has ended.
#[inline(always)]
fn line_ends(stream: &mut Stream) {
    stream.flags &= !DIGITS;
    if stream.state == TRAILER_REST || stream.kept_hash == 0 {
        stream.state = TRAILER;
    } else {
        stream.skip = stream.kept_hash;
        stream.kept_hash = 0;
        stream.state = CHUNK_END;
    }
}

/// The end of the line behind a chunk, or behind the trailer.
#[inline(always)]
fn empty_line(stream: &mut Stream, window: &mut Window) -> Found {
    let text = window.word(0);
    let bytes = match text as u8 {
        b'\n' => 1,
        b'\r' if window.left() < 2 => return Found::SHORT,
        b'\r' if (text >> 8) as u8 == b'\n' => 2,
        _ if stream.state == TRAILER => {
            stream.state = TRAILER_REST;
            return Found::NOTHING;
        }
        _ => return Found::LOST,
    };
    window.take(bytes);
    if stream.state == TRAILER {
        stream.state = Stream::START;
    } else {
        stream.state = CHUNK;
        stream.flags |= HAS_CHUNKS;
    }
    Found::NOTHING
}
