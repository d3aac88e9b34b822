//! What the server sends: packets. A result is the number of its columns, their definitions, and rows up to a packet that ends them; in front
//! of the rows of an older client there is one that ends the definitions.
//!
//! `count` is how many definitions are to come, or how many bytes of a packet; `value` the number of a statement, or the class of an error,
//! the first two bytes of its SQLSTATE.

use super::{FULL, HANDSHAKE, Head, PACKET, RESULTS, ROWS, STATE, STATEMENT};
use crate::found::Found;
use crate::stream::Stream;
use crate::window::Window;

/// Between two results of a reply.
const WITHIN: u8 = 1;
/// At the definition of a column.
const COLUMN: u8 = 2;
/// Behind all of them.
const BEHIND_COLUMNS: u8 = 3;
/// At a row.
const ROW: u8 = 4;
/// At the definition of a parameter or a column of a statement.
const DEFINITION: u8 = 5;
/// At the number of rows that were changed.
const CHANGED: u8 = 6;
/// At the number that a row was given.
const GIVEN: u8 = 7;

/// Bits of `flags`: the reply has begun.
const BEGUN: u8 = 1;
/// The packet was full: the next one goes on with it.
const CONTINUED: u8 = 2;
/// The reply before had definitions, behind which there may be a packet that ends them.
const TRAILER: u8 = 4;
/// A backslash in a string takes the meaning from the byte behind it, as the server last said of itself: the requests are read by that.
pub const ESCAPES: u8 = Stream::TOLD;

/// The first byte of a packet: it worked.
const OK: u8 = 0;
/// A file is asked for.
const FILE: u8 = 0xfb;
/// The end of something; or it worked, behind rows.
const END: u8 = 0xfe;
/// It did not work.
const ERROR: u8 = 0xff;
/// Bytes of a packet that only says that something ends.
const END_BYTES: u32 = 5;
/// Of a packet that says that it worked, with two short numbers, the least.
const OK_BYTES: u32 = 7;

/// Bits of the server's state: another result follows.
const MORE: u16 = 1 << 3;
/// The rows are to be fetched.
const CURSOR: u16 = 1 << 6;
/// A backslash is a byte like others.
const NO_BACKSLASH_ESCAPES: u16 = 1 << 9;

/// Takes the next token.
#[inline(always)]
pub fn step(stream: &mut Stream, window: &mut Window) -> Found {
    if stream.state == CHANGED || stream.state == GIVEN { number(stream, window) } else { packet(stream, window) }
}

/// The head of a packet and its first byte.
#[inline(always)]
fn packet(stream: &mut Stream, window: &mut Window) -> Found {
    let (word, left) = (window.word(0), window.left());
    if left < Head::BYTES {
        return Found::SHORT;
    }
    let Head { length, number } = Head::of(word);
    if stream.flags & CONTINUED != 0 {
        passes(stream, window, length, 0);
        return Found::NOTHING;
    }
    if length == 0 {
        return Found::LOST;
    }
    if left < Head::BYTES + 1 {
        return Found::SHORT;
    }
    let first = (word >> 32) as u8;
    let is_start = stream.state == Stream::START;
    if is_start && stream.flags & TRAILER != 0 {
        stream.flags &= ESCAPES;
        if first == END && length == END_BYTES && number != 1 {
            passes(stream, window, length, 1);
            return Found::NOTHING;
        }
    }
    if is_start && stream.reply_rule == 0 {
        passes(stream, window, length, 1);
        return Found::PUSH;
    }
    if first == ERROR {
        return error(stream, window, length);
    }
    match stream.state {
        COLUMN | DEFINITION => definition(stream, window, length, first),
        BEHIND_COLUMNS if first == END && length == END_BYTES => {
            if left < 9 {
                return Found::SHORT;
            }
            let state = (window.word(7)) as u16;
            passes(stream, window, length, 5);
            stream.state = ROW;
            if state & CURSOR != 0 { result_ends(stream, state) } else { Found::NOTHING }
        }
        BEHIND_COLUMNS | ROW => row(stream, window, length, first),
        _ => first_packet(stream, window, length, first),
    }
}

/// Takes the head of a packet of `length` bytes and `bytes` bytes behind it; nobody looks at the others.
#[inline(always)]
fn passes(stream: &mut Stream, window: &mut Window, length: u32, bytes: u32) {
    window.take(Head::BYTES + bytes);
    stream.skip = u64::from(length - bytes);
    let is_full = if length == FULL { CONTINUED } else { 0 };
    stream.flags = (stream.flags & !CONTINUED) | is_full;
}

/// A part of a reply: the first one, if none was before it.
#[inline(always)]
fn begins(stream: &mut Stream) -> Found {
    if stream.flags & BEGUN != 0 {
        return Found::NOTHING;
    }
    stream.flags |= BEGUN;
    stream.value = 0;
    Found::BEGAN
}

#[inline(always)]
fn ends(stream: &mut Stream) -> Found {
    stream.flags &= CONTINUED | ESCAPES;
    stream.state = Stream::START;
    Found::ENDED
}

/// A result has ended, and with it the reply if the server's `state` tells of no other.
#[inline(always)]
fn result_ends(stream: &mut Stream, state: u16) -> Found {
    let escapes = if state & NO_BACKSLASH_ESCAPES == 0 { ESCAPES } else { 0 };
    stream.flags = (stream.flags & !ESCAPES) | escapes;
    if state & MORE != 0 && stream.reply_rule == RESULTS {
        stream.state = WITHIN;
        return Found::NOTHING;
    }
    ends(stream)
}

/// A number, a mark, the class of the SQLSTATE and the rest of it, a text.
#[inline(always)]
fn error(stream: &mut Stream, window: &mut Window, length: u32) -> Found {
    /// How far the server has come with what takes long.
    const PROGRESS: u16 = 0xffff;
    let needed = if length < 6 { length } else { 6 };
    if window.left() < Head::BYTES + needed {
        return Found::SHORT;
    }
    let word = window.word(5);
    passes(stream, window, length, needed);
    if length >= 3 && word as u16 == PROGRESS {
        return Found::NOTHING;
    }
    let began = begins(stream);
    let has_class = length >= 6 && (word >> 16) as u8 == b'#';
    stream.value = if has_class { (word >> 24) as u32 & 0xffff } else { 0 };
    began.and(ends(stream)).and(Found::FAILED)
}

/// The first packet of a result.
#[inline(always)]
fn first_packet(stream: &mut Stream, window: &mut Window, length: u32, first: u8) -> Found {
    match stream.reply_rule {
        PACKET => {}
        // Both say in which state the server is: a connection that begins anew may read statements in another way.
        STATE | HANDSHAKE if first == OK && length >= OK_BYTES => return it_worked(stream, window, length, first),
        STATE if first == OK || first == END => {}
        HANDSHAKE => {
            passes(stream, window, length, 1);
            // Anything else asks the client for more.
            return if first == OK { begins(stream).and(ends(stream)) } else { Found::NOTHING };
        }
        ROWS => return row(stream, window, length, first),
        STATEMENT if first == OK && length == 12 => return statement(stream, window),
        RESULTS if first == OK || first == END => return it_worked(stream, window, length, first),
        RESULTS if first == FILE => {
            passes(stream, window, length, 1);
            return Found::NOTHING;
        }
        RESULTS => return columns(stream, window, length, first),
        _ => return Found::LOST,
    }
    passes(stream, window, length, 1);
    begins(stream).and(ends(stream))
}

/// The number of columns, and to some clients of MariaDB's whether their definitions follow.
#[inline(always)]
fn columns(stream: &mut Stream, window: &mut Window, length: u32, first: u8) -> Found {
    let bytes = if first < FILE { 1 } else { 3 };
    let has_mark = length == bytes + 1;
    if (length != bytes && !has_mark) || first == 0xfd {
        return Found::LOST;
    }
    if window.left() < Head::BYTES + length {
        return Found::SHORT;
    }
    let word = window.word(4);
    stream.count = if bytes == 1 { u32::from(first) } else { (word >> 8) as u32 & 0xffff };
    let are_known = has_mark && (word >> (8 * bytes)) as u8 == 0;
    passes(stream, window, length, length);
    stream.state = if are_known || stream.count == 0 { BEHIND_COLUMNS } else { COLUMN };
    begins(stream)
}

/// The definition of a column or a parameter.
#[inline(always)]
fn definition(stream: &mut Stream, window: &mut Window, length: u32, first: u8) -> Found {
    passes(stream, window, length, 1);
    if stream.state == DEFINITION && first == END {
        return Found::NOTHING;
    }
    stream.count = stream.count.wrapping_sub(1);
    if stream.count != 0 {
        return Found::NOTHING;
    }
    if stream.state == COLUMN {
        stream.state = BEHIND_COLUMNS;
        return Found::NOTHING;
    }
    let ended = ends(stream);
    stream.flags |= TRAILER;
    ended
}

/// A row, or the packet behind the last one.
#[inline(always)]
fn row(stream: &mut Stream, window: &mut Window, length: u32, first: u8) -> Found {
    // A row can only begin so if its first value fills more than a packet.
    if first == END && length != FULL {
        return it_worked(stream, window, length, first);
    }
    passes(stream, window, length, 1);
    stream.state = ROW;
    begins(stream)
}

/// The end of a result: two numbers and the server's state, or only a number and that.
#[inline(always)]
fn it_worked(stream: &mut Stream, window: &mut Window, length: u32, first: u8) -> Found {
    let word = window.word(5);
    if length == END_BYTES && first == END {
        if window.left() < 9 {
            return Found::SHORT;
        }
        passes(stream, window, length, 5);
        return begins(stream).and(result_ends(stream, (word >> 16) as u16));
    }
    if length < OK_BYTES || length == FULL {
        return Found::LOST;
    }
    if window.left() < 7 {
        return Found::SHORT;
    }
    if word as u8 >= FILE || (word >> 8) as u8 >= FILE {
        passes(stream, window, length, 1);
        (stream.count, stream.skip) = (length - 1, 0);
        stream.state = CHANGED;
        return begins(stream);
    }
    if window.left() < 9 {
        return Found::SHORT;
    }
    passes(stream, window, length, 5);
    begins(stream).and(result_ends(stream, (word >> 16) as u16))
}

/// A number of the length that its first byte says; behind the second one there is the server's state.
#[inline(always)]
fn number(stream: &mut Stream, window: &mut Window) -> Found {
    let word = window.word(0);
    let bytes = match word as u8 {
        0xfc => 3,
        0xfd => 4,
        0xfe => 9,
        _ => 1,
    };
    let is_last = stream.state == GIVEN;
    let needed = if is_last { bytes + 2 } else { bytes };
    if stream.count < needed {
        return Found::LOST;
    }
    if window.left() < needed {
        return Found::SHORT;
    }
    let state = window.word(bytes) as u16;
    window.take(needed);
    stream.count -= needed;
    if !is_last {
        stream.state = GIVEN;
        return Found::NOTHING;
    }
    stream.skip = u64::from(stream.count);
    result_ends(stream, state)
}

/// A statement is prepared: its number, how many columns it has, and how many parameters.
#[inline(always)]
fn statement(stream: &mut Stream, window: &mut Window) -> Found {
    const LENGTH: u32 = 12;
    let word = window.word(5);
    if window.left() < Head::BYTES + 9 {
        return Found::SHORT;
    }
    let columns_and_parameters = ((word >> 32) as u32 & 0xffff) + (word >> 48) as u32;
    passes(stream, window, LENGTH, 9);
    let found = begins(stream).and(Found::DEFINED);
    stream.value = word as u32;
    stream.count = columns_and_parameters;
    stream.state = DEFINITION;
    if stream.count == 0 { found.and(ends(stream)) } else { found }
}
