//! What the client sends: a byte for the type, four for the length, the rest by type. The first message has no type.
//!
//! `count` is how many bytes of the message are to come.

use super::{DESCRIBE, ENCRYPT, EXECUTE, HANDSHAKE, LONGEST, PREPARE, QUERY, SYNC};
use crate::found::{Found, Kind};
use crate::name::Name;
use crate::protocol::Protocol;
use crate::sql::statement;
use crate::stream::Stream;
use crate::window::Window;
use crate::word;
use crate::word::text;

/// In the name of a statement that is prepared.
const PREPARED: u8 = 1;
/// In the name of a portal.
const PORTAL: u8 = 2;
/// In the name of the statement that is bound to it.
const BOUND: u8 = 3;

/// What stands for the statement without a name.
const UNNAMED: u32 = 0;

/// Bits of `flags` between two messages: a statement was prepared, and nothing was bound or run since.
const ONLY_PREPARED: u8 = 1;
/// It is to be described.
const IS_DESCRIBED: u8 = 2;

/// Takes the next token.
#[inline(always)]
pub fn step(stream: &mut Stream, window: &mut Window, name: &mut Name) -> Found {
    match stream.state {
        Stream::START if window.first() == 0 => opening(stream, window, name),
        Stream::START => message(stream, window, name),
        PREPARED | PORTAL | BOUND => statement_name(stream, window, name),
        _ => {
            let found = statement::step(stream, window, name);
            if stream.state == statement::END { text_ends(stream) } else { found }
        }
    }
}

/// The number in four bytes, the highest first.
#[inline(always)]
fn number(word: u64) -> u32 {
    (word as u32).swap_bytes()
}

/// The head of a message.
#[inline(always)]
fn message(stream: &mut Stream, window: &mut Window, name: &mut Name) -> Found {
    let word = window.word(0);
    if window.left() < 5 {
        return Found::SHORT;
    }
    let length = number(word >> 8);
    if !(4..=LONGEST).contains(&length) {
        return Found::LOST;
    }
    window.take(5);
    let rest = length - 4;
    let has_rest = rest != 0;
    stream.kind = Kind::Request as u8;
    match word as u8 {
        b'Q' => {
            stream.count = rest;
            name.begin(stream, Protocol::Postgres as u8);
            statement::begin(stream, false);
            return Found::NOTHING;
        }
        b'P' | b'B' => {
            stream.count = rest;
            stream.flags = 0;
            stream.kept_hash = name.key.start;
            stream.state = if word as u8 == b'P' { PREPARED } else { PORTAL };
            return Found::NOTHING;
        }
        b'D' if stream.flags & ONLY_PREPARED != 0 => {
            stream.skip = u64::from(rest);
            stream.flags |= IS_DESCRIBED;
            return Found::NOTHING;
        }
        b'H' if stream.flags & IS_DESCRIBED != 0 && !has_rest => return prepares(stream, name, DESCRIBE),
        b'S' if stream.flags & ONLY_PREPARED != 0 && !has_rest => return prepares(stream, name, PREPARE),
        // Close, Describe, Flush, and the data of a copy.
        b'C' | b'D' | b'H' | b'd' | b'c' | b'f' => {
            stream.skip = u64::from(rest);
            return Found::NOTHING;
        }
        _ => {}
    }
    name.begin(stream, Protocol::Postgres as u8);
    stream.skip = u64::from(rest);
    match word as u8 {
        b'E' => {
            stream.reply_rule = EXECUTE;
            return Found::REQUEST.and(Found::BOUND);
        }
        b'S' if !has_rest => {
            stream.kind = Kind::Mark as u8;
            stream.reply_rule = SYNC;
        }
        b'X' if !has_rest => stream.kind = Kind::Farewell as u8,
        b'F' => {
            name.push(stream, text("FUNCTION"), 8);
            name.push(stream, text(" CALL"), 5);
            stream.reply_rule = QUERY;
        }
        b'p' => {
            name.push(stream, text("PASSWORD"), 8);
            stream.kind = Kind::Handshake as u8;
            stream.reply_rule = HANDSHAKE;
        }
        _ => return Found::LOST,
    }
    Found::REQUEST
}

/// The client waits until what it has prepared is: whatever the text, which has its name when it runs.
#[inline(always)]
fn prepares(stream: &mut Stream, name: &mut Name, reply_rule: u8) -> Found {
    name.begin(stream, Protocol::Postgres as u8);
    name.push(stream, text("PREPARE"), 7);
    (stream.flags, stream.reply_rule) = (0, reply_rule);
    Found::REQUEST
}

/// A message without a type: its length, and a number that says what it is.
#[inline(always)]
fn opening(stream: &mut Stream, window: &mut Window, name: &mut Name) -> Found {
    let word = window.word(0);
    if window.left() < 8 {
        return Found::SHORT;
    }
    let (length, code) = (number(word), number(word >> 32));
    if !(8..=10_000).contains(&length) {
        return Found::LOST;
    }
    let (title, kind, rule) = match code {
        0x0003_0000..=0x0003_ffff => (text("STARTUP"), Kind::Handshake, HANDSHAKE),
        80_877_103 if length == 8 => (text("SSL"), Kind::Handshake, ENCRYPT),
        80_877_104 if length == 8 => (text("GSSAPI"), Kind::Handshake, ENCRYPT),
        // Of a query on another connection. The server closes this one without a word.
        80_877_102 => (text("CANCEL"), Kind::OneWay, HANDSHAKE),
        _ => return Found::LOST,
    };
    window.take(8);
    stream.skip = u64::from(length - 8);
    name.begin(stream, Protocol::Postgres as u8);
    name.push(stream, title, word::place(word::zeros(title)));
    stream.kind = kind as u8;
    stream.reply_rule = rule;
    Found::REQUEST
}

/// Up to eight bytes of the name of a portal or statement, which a zero ends.
#[inline(always)]
fn statement_name(stream: &mut Stream, window: &mut Window, name: &mut Name) -> Found {
    let (word, left) = (window.word(0), window.left());
    let end = word::place(word::zeros(word));
    let is_end = end < 8;
    let bytes = if is_end { end + 1 } else { 8 };
    if stream.count < bytes {
        // The zero is behind the message, or the message has none.
        return if left < bytes && stream.count > left { Found::SHORT } else { Found::LOST };
    }
    if left < bytes {
        return Found::SHORT;
    }
    window.take(bytes);
    stream.count -= bytes;
    let is_unnamed = is_end && end == 0 && stream.kept_hash == name.key.start;
    if end != 0 {
        stream.kept_hash = name.key.mix(stream.kept_hash, word::first(word, end));
    }
    if !is_end {
        return Found::NOTHING;
    }
    let stands_for = (stream.kept_hash ^ (stream.kept_hash >> 32)) as u32;
    stream.value = if is_unnamed { UNNAMED } else { stands_for };
    match stream.state {
        PORTAL => {
            stream.kept_hash = name.key.start;
            stream.state = BOUND;
            Found::NOTHING
        }
        BOUND => {
            stream.skip = u64::from(stream.count);
            stream.state = Stream::START;
            Found::BINDS
        }
        _ => {
            name.begin(stream, Protocol::Postgres as u8);
            statement::begin(stream, true);
            Found::NOTHING
        }
    }
}

/// The text of a statement has ended, or goes on for too long.
#[inline(always)]
fn text_ends(stream: &mut Stream) -> Found {
    stream.state = Stream::START;
    stream.skip = u64::from(stream.count);
    if statement::is_prepared(stream) {
        stream.flags = ONLY_PREPARED;
        return Found::DEFINED;
    }
    if stream.count != 0 && !statement::is_cut(stream) {
        return Found::LOST;
    }
    (stream.flags, stream.reply_rule) = (0, QUERY);
    Found::REQUEST
}
