//! What the client sends: packets, of which the first one of a command has the number 0 and begins with the command's byte.
//!
//! `count` is how many bytes of a statement's text are to come in this packet; meanwhile `value` is 1 if the packet is full.

use super::{FULL, HANDSHAKE, Head, LAST, PACKET, RESULTS, ROWS, STATE, STATEMENT};
use crate::found::{Found, Kind};
use crate::name::Name;
use crate::protocol::Protocol;
use crate::sql::statement;
use crate::stream::Stream;
use crate::window::Window;
use crate::word;
use crate::word::text;

/// The next packet belongs to the same message, whatever its number.
const CONTINUED: u8 = 1;
/// In front of the text of a statement that is prepared.
const PREPARED: u8 = 2;

/// Commands that are more than a name.
const QUERY: u8 = 0x03;
const PREPARE: u8 = 0x16;
const EXECUTE: u8 = 0x17;
const BULK_EXECUTE: u8 = 0xfa;

/// Bits of what a client can do: packets are compressed.
const COMPRESSES: u32 = 1 << 5;
/// It is version 4.1 of the protocol.
const VERSION_4_1: u32 = 1 << 9;
/// Bytes of a message that says that the rest is encrypted.
const ENCRYPT: u32 = 32;

/// Takes the next token.
#[inline(always)]
pub fn step(stream: &mut Stream, window: &mut Window, name: &mut Name) -> Found {
    match stream.state {
        Stream::START | CONTINUED => packet(stream, window, name),
        PREPARED => {
            name.begin(stream, Protocol::MySql as u8);
            statement::begin_mysql(stream, name, true);
            Found::NOTHING
        }
        _ => {
            let found = statement::step(stream, window, name);
            if stream.state == statement::END { text_ends(stream) } else { found }
        }
    }
}

/// The head of a packet.
#[inline(always)]
fn packet(stream: &mut Stream, window: &mut Window, name: &mut Name) -> Found {
    let word = window.word(0);
    if window.left() < Head::BYTES {
        return Found::SHORT;
    }
    let head = Head::of(word);
    if head.number == 0 && stream.state != CONTINUED {
        return command(stream, window, name, head.length);
    }
    if head.number == 1 && stream.state != CONTINUED {
        return login(stream, window, name, head.length);
    }
    // A proof that the server has asked for, a piece of a file, the rest of a message. Behind 255 comes 0.
    window.take(Head::BYTES);
    stream.skip = u64::from(head.length);
    let wraps = head.number == u8::MAX || (head.number == 0 && stream.state == CONTINUED);
    let goes_on = head.length == FULL || (wraps && head.length != 0);
    stream.state = if goes_on { CONTINUED } else { Stream::START };
    Found::NOTHING
}

/// The first packet of a client: what it can do, and who it is.
#[inline(always)]
fn login(stream: &mut Stream, window: &mut Window, name: &mut Name, length: u32) -> Found {
    if window.left() < Head::BYTES + 4 {
        return Found::SHORT;
    }
    let can = (window.word(0) >> 32) as u32;
    if length < ENCRYPT || length == FULL || can & VERSION_4_1 == 0 {
        return Found::LOST;
    }
    window.take(Head::BYTES + 4);
    stream.skip = u64::from(length - 4);
    if length == ENCRYPT {
        return Found::TURNS;
    }
    if can & COMPRESSES != 0 {
        return Found::LOST;
    }
    name.begin(stream, Protocol::MySql as u8);
    name.push(stream, text("LOGIN"), 5);
    stream.kind = Kind::Handshake as u8;
    stream.reply_rule = HANDSHAKE;
    Found::REQUEST
}

/// A command.
#[inline(always)]
fn command(stream: &mut Stream, window: &mut Window, name: &mut Name, length: u32) -> Found {
    let (word, left) = (window.word(0), window.left());
    if length == 0 {
        return Found::LOST;
    }
    if left < Head::BYTES + 1 {
        return Found::SHORT;
    }
    let command = (word >> 32) as u8;
    stream.kind = Kind::Request as u8;
    match command {
        QUERY | PREPARE => return statement(stream, window, name, length, command == PREPARE),
        EXECUTE | BULK_EXECUTE => {
            if length < 7 {
                return Found::LOST;
            }
            if left < Head::BYTES + 5 {
                return Found::SHORT;
            }
            stream.value = (window.word(5)) as u32;
            name.begin(stream, Protocol::MySql as u8);
            stream.reply_rule = RESULTS;
            passes(stream, window, length, 5);
            return Found::REQUEST.and(Found::BINDS).and(Found::BOUND);
        }
        _ => {}
    }
    let (title, more, kind, rule) = match command {
        0x01 => (text("QUIT"), 0, Kind::Farewell, 0),
        0x02 => (text("INIT DB"), 0, Kind::Request, STATE),
        0x04 => (text("FIELD LI"), text("ST"), Kind::Request, ROWS),
        0x07 => (text("REFRESH"), 0, Kind::Request, STATE),
        0x08 => (text("SHUTDOWN"), 0, Kind::Request, STATE),
        0x09 => (text("STATISTI"), text("CS"), Kind::Request, PACKET),
        0x0a => (text("PROCESS "), text("INFO"), Kind::Request, RESULTS),
        0x0c => (text("PROCESS "), text("KILL"), Kind::Request, STATE),
        0x0d => (text("DEBUG"), 0, Kind::Request, STATE),
        0x0e => (text("PING"), 0, Kind::Request, STATE),
        0x11 => (text("CHANGE U"), text("SER"), Kind::Handshake, HANDSHAKE),
        // What is written to the log, as it is written.
        0x12 | 0x1e => (text("BINLOG D"), text("UMP"), Kind::WaitByDesign, PACKET),
        0x15 => (text("REGISTER"), text(" REPLICA"), Kind::Request, STATE),
        0x18 => (text("SEND LON"), text("G DATA"), Kind::OneWay, 0),
        0x19 => (text("CLOSE ST"), text("ATEMENT"), Kind::OneWay, 0),
        0x1a => (text("RESET ST"), text("ATEMENT"), Kind::Request, STATE),
        0x1b => (text("SET OPTI"), text("ON"), Kind::Request, STATE),
        0x1c => (text("FETCH"), 0, Kind::Request, ROWS),
        0x1f => (text("RESET CO"), text("NNECTION"), Kind::Request, STATE),
        _ => return Found::LOST,
    };
    name.begin(stream, Protocol::MySql as u8);
    name.push(stream, title, word::place(word::zeros(title)));
    if more != 0 {
        name.push(stream, more, word::place(word::zeros(more)));
    }
    stream.kind = kind as u8;
    stream.reply_rule = rule;
    passes(stream, window, length, 1);
    if kind as u8 == Kind::WaitByDesign as u8 { Found::REQUEST.and(Found::LEFT) } else { Found::REQUEST }
}

/// Takes the head of a packet of `length` bytes and `bytes` bytes behind it; nobody looks at the others.
#[inline(always)]
fn passes(stream: &mut Stream, window: &mut Window, length: u32, bytes: u32) {
    window.take(Head::BYTES + bytes);
    stream.skip = u64::from(length - bytes);
    stream.state = if length == FULL { CONTINUED } else { Stream::START };
}

/// A text that is to be run, or prepared.
#[inline(always)]
fn statement(stream: &mut Stream, window: &mut Window, name: &mut Name, length: u32, is_prepared: bool) -> Found {
    /// More attributes of a query than anybody gives.
    const ATTRIBUTES: u8 = 9;
    let (word, left) = (window.word(0), window.left());
    let needed = if length < 3 { length } else { 3 };
    if left < Head::BYTES + needed {
        return Found::SHORT;
    }
    name.begin(stream, Protocol::MySql as u8);
    if is_prepared {
        window.take(Head::BYTES + 1);
        name.push(stream, text("PREPARE"), 7);
        stream.reply_rule = STATEMENT;
        stream.count = length - 1;
        stream.value = u32::from(length == FULL);
        stream.state = if stream.count == 0 { Stream::START } else { PREPARED };
        return Found::REQUEST;
    }
    stream.reply_rule = RESULTS;
    // In front of the text there may be attributes: how many, and one set of them.
    let (attributes, sets) = ((word >> 40) as u8, (word >> 48) as u8);
    let has_attributes = length >= 3 && attributes < ATTRIBUTES && sets == 1;
    if has_attributes && attributes != 0 {
        name.push(stream, text("QUERY"), 5);
        name.push(stream, text(" …"), 4);
        passes(stream, window, length, 1);
        return Found::REQUEST;
    }
    let before = if has_attributes { 3 } else { 1 };
    window.take(Head::BYTES + before);
    stream.count = length - before;
    stream.value = u32::from(length == FULL);
    statement::begin_mysql(stream, name, false);
    if stream.state == statement::END { text_ends(stream) } else { Found::NOTHING }
}

/// The text of a statement has ended, or goes on for too long.
#[inline(always)]
fn text_ends(stream: &mut Stream) -> Found {
    stream.skip = u64::from(stream.count);
    stream.state = if stream.value != 0 { CONTINUED } else { Stream::START };
    stream.value = 0;
    if statement::is_prepared(stream) {
        stream.value = LAST;
        return Found::DEFINED;
    }
    Found::REQUEST
}
