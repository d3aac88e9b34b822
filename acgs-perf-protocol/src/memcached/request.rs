//! Requests: `<command> <field> …\r\n`, and for some `<data>\r\n`.
//!
//! `count` is the number of the field, `value` the length of the data.

use super::{LINE, LINES, META, NOOP, VALUES};
use crate::found::{Found, Kind};
use crate::name::Name;
use crate::protocol::Protocol;
use crate::stream::Stream;
use crate::window::Window;
use crate::word;
use crate::word::text;

/// Between two fields.
const GAP: u8 = 1;
/// At the beginning of a field.
const FIELD: u8 = 2;
/// In a field that is not read.
const FIELD_REST: u8 = 3;

/// Bits of `flags`: the field that is the length of data, 4 or 2; 0 without data.
const LENGTH_FIELD: u8 = 7;
/// That length was read.
const HAS_LENGTH: u8 = 1 << 3;
/// No answer is wanted.
const NO_REPLY: u8 = 1 << 4;
/// The server sends messages of a log from here on.
const LEAVES: u8 = 1 << 5;
/// Quiet commands came, and `mn` has not.
const QUIET: u8 = 1 << 7;

/// Takes the next token.
#[inline(always)]
pub fn step(stream: &mut Stream, window: &mut Window, name: &mut Name) -> Found {
    match stream.state {
        Stream::START => command(stream, window, name),
        GAP => gap(stream, window),
        FIELD => field(stream, window),
        _ => {
            if window.pass(ends_field) {
                stream.state = GAP;
            }
            Found::NOTHING
        }
    }
}

/// Marks what ends a field.
#[inline(always)]
fn ends_field(word: u64) -> u64 {
    word::equal(word, b' ') | word::equal(word, b'\r') | word::equal(word, b'\n')
}

/// The first word.
#[inline(always)]
fn command(stream: &mut Stream, window: &mut Window, name: &mut Name) -> Found {
    let (word, more, left) = (window.word(0), window.word(8), window.left());
    if !(word as u8).is_ascii_lowercase() {
        return Found::LOST;
    }
    let end = word::place(ends_field(word));
    if (left < 8 && left <= end) || (end == 8 && left < 10) {
        return Found::SHORT;
    }
    let command = word::first(word, end);
    if word::place(word::zeros(command)) != end {
        return Found::LOST;
    }
    let (rule, flags) = match command {
        GET | GETS | GAT | GATS => (VALUES, 0),
        SET | ADD | REPLACE | APPEND | PREPEND | CAS => (LINE, 4),
        DELETE | INCR | DECR | TOUCH | VERSION | QUIT => (LINE, 0),
        STATS => (LINES, 0),
        MG | MD | MA | ME => (META, 0),
        MS => (META, 2),
        MN => (NOOP, 0),
        WATCH => (LINE, LEAVES),
        FLUSH_ALL if more as u8 == b'l' && ends_field(more >> 8) & 0x80 != 0 => (LINE, 0),
        VERBOSITY if more as u8 == b'y' && ends_field(more >> 8) & 0x80 != 0 => (LINE, 0),
        _ => return Found::LOST,
    };
    name.begin(stream, Protocol::Memcached as u8);
    name.push(stream, command, end);
    if end == 8 {
        name.push(stream, more, 1);
    }
    window.take(if end == 8 { 9 } else { end });
    stream.kind = if command == QUIT { Kind::Farewell as u8 } else { Kind::Request as u8 };
    stream.reply_rule = rule;
    stream.flags = (stream.flags & QUIET) | flags;
    stream.count = 0;
    stream.state = GAP;
    Found::NOTHING
}

const GET: u64 = text("get");
const GETS: u64 = text("gets");
const GAT: u64 = text("gat");
const GATS: u64 = text("gats");
const SET: u64 = text("set");
const ADD: u64 = text("add");
const REPLACE: u64 = text("replace");
const APPEND: u64 = text("append");
const PREPEND: u64 = text("prepend");
const CAS: u64 = text("cas");
const DELETE: u64 = text("delete");
const INCR: u64 = text("incr");
const DECR: u64 = text("decr");
const TOUCH: u64 = text("touch");
const VERSION: u64 = text("version");
const QUIT: u64 = text("quit");
const STATS: u64 = text("stats");
const MG: u64 = text("mg");
const MD: u64 = text("md");
const MA: u64 = text("ma");
const ME: u64 = text("me");
const MS: u64 = text("ms");
const MN: u64 = text("mn");
const WATCH: u64 = text("watch");
const FLUSH_ALL: u64 = text("flush_al");
const VERBOSITY: u64 = text("verbosit");

/// A blank, the end of the line, or the beginning of a field.
#[inline(always)]
fn gap(stream: &mut Stream, window: &mut Window) -> Found {
    let text = window.word(0);
    let bytes = match text as u8 {
        b' ' => {
            window.take(1);
            return Found::NOTHING;
        }
        b'\n' => 1,
        b'\r' if window.left() < 2 => return Found::SHORT,
        b'\r' if (text >> 8) as u8 == b'\n' => 2,
        b'\r' => return Found::LOST,
        _ => {
            stream.count = stream.count.wrapping_add(1);
            stream.state = FIELD;
            return Found::NOTHING;
        }
    };
    window.take(bytes);
    line_ends(stream)
}

/// A field, or its first eight bytes.
#[inline(always)]
fn field(stream: &mut Stream, window: &mut Window) -> Found {
    let (word, left) = (window.word(0), window.left());
    let end = word::place(ends_field(word));
    if left < 8 && left <= end {
        return Found::SHORT;
    }
    let is_length = stream.count == u32::from(stream.flags & LENGTH_FIELD);
    let field = word::first(word, end);
    if is_length {
        let Some(length) = word::number(word, end).filter(|_| end < 8) else { return Found::LOST };
        stream.value = length as u32;
        stream.flags |= HAS_LENGTH;
    } else if stream.count >= 2 {
        let is_meta = stream.reply_rule == META;
        let is_quiet = is_meta && end == 1 && field == text("q");
        if is_quiet || (!is_meta && end == 7 && field == text("noreply")) {
            stream.flags |= NO_REPLY;
        }
    }
    window.take(end);
    stream.state = if end < 8 { GAP } else { FIELD_REST };
    Found::NOTHING
}

/// The request is known.
#[inline(always)]
fn line_ends(stream: &mut Stream) -> Found {
    stream.state = Stream::START;
    let (flags, rule) = (stream.flags, stream.reply_rule);
    if flags & LENGTH_FIELD != 0 {
        if flags & HAS_LENGTH == 0 {
            return Found::LOST;
        }
        stream.skip = u64::from(stream.value) + 2;
    }
    if rule == NOOP {
        stream.flags &= !QUIET;
        return Found::REQUEST;
    }
    let is_silent = flags & NO_REPLY != 0 && rule != VALUES && rule != LINES;
    if is_silent {
        stream.kind = Kind::OneWay as u8;
        stream.flags |= if rule == META { QUIET } else { 0 };
    } else if flags & QUIET != 0 {
        // Whether the next reply is to this one or to a quiet one, nobody can tell.
        return Found::LOST;
    }
    if flags & LEAVES != 0 {
        stream.kind = Kind::WaitByDesign as u8;
        return Found::REQUEST.and(Found::LEFT);
    }
    Found::REQUEST
}
