//! Requests: `*<words>\r\n` and for each word `$<bytes>\r\n<word>\r\n`; or words on one line.

use super::command::{ACK, BLOCK, Command, OFF, ON, REPLY, SKIP, command};
use super::number::{Head, head};
use crate::found::{Found, Kind};
use crate::name::Name;
use crate::protocol::Protocol;
use crate::stream::Stream;
use crate::window::{SCAN, Window};
use crate::word;

/// Behind the head of the request: the head of a word comes.
const WORD: u8 = 1;
/// In the name; `value` bytes of it are left.
const NAME: u8 = 2;
/// In the second word of a name; `value` bytes of it are left.
const SECOND: u8 = 3;
/// In a word that may be an option, of `value` bytes.
const OPTION: u8 = 4;
/// In a request that is one line: in its first word.
const LINE: u8 = 5;
/// In the rest of that line.
const LINE_REST: u8 = 6;

/// Bits of `flags`: the lower ones are of this request, [`Command`] in the lowest three.
const COMMAND: u8 = 7;
/// The name is known.
const NAMED: u8 = 1 << 3;
/// The second word is what `CLIENT REPLY` is told.
const TELLS: u8 = 1 << 4;
/// No replies are sent until the client wants them again.
const QUIET: u8 = 1 << 6;
/// The next request gets no reply.
const QUIET_ONCE: u8 = 1 << 7;

/// Longer words are no commands.
const LONGEST: u64 = 32;
/// More words than any request has: it is no request.
const MOST: u64 = 1 << 26;

/// Takes the next token.
#[inline(always)]
pub fn step(stream: &mut Stream, window: &mut Window, name: &mut Name) -> Found {
    // In one step, because every command has them: how many words, the head of the first, its first letters.
    if stream.state == Stream::START {
        let found = begin(stream, window, name);
        if found != Found::NOTHING || stream.state != WORD || window.left() == 0 {
            return found;
        }
    }
    if stream.state == WORD {
        let found = word_head(stream, window);
        if found != Found::NOTHING || stream.state != NAME || window.left() == 0 {
            return found;
        }
    }
    match stream.state {
        NAME => {
            let found = name_word(stream, window, name);
            // What follows is values, of nearly every command: the words that are here whole.
            if found == Found::NAMED && stream.flags & COMMAND == Command::Plain as u8 {
                found.and(values(stream, window))
            } else {
                found
            }
        }
        SECOND => second_word(stream, window, name),
        OPTION => option(stream, window, name),
        _ => line(stream, window, name),
    }
}

/// The end of a line.
const CRLF: u16 = u16::from_le_bytes(*b"\r\n");
/// Values that one step passes over at most.
const VALUES: u32 = 3;

/// Passes over values behind the name, as far as they are in the window whole, and over the end of the request.
#[inline(always)]
fn values(stream: &mut Stream, window: &mut Window) -> Found {
    let mut values = 0;
    while values < VALUES {
        values += 1;
        // The end of the word before.
        let (end, left) = (stream.skip as u32, window.left());
        if stream.skip > u64::from(SCAN) || left < end.wrapping_add(4) {
            break;
        }
        let head = window.word(end);
        let (tens, ones) = ((head >> 8) as u8, (head >> 16) as u8);
        // Of one digit or two.
        let (first, second) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
        let (length, bytes) = match (head >> 16) as u16 {
            CRLF => (first, 4),
            _ if second < 10 && (head >> 24) as u16 == CRLF && left >= end.wrapping_add(5) => {
                (first.wrapping_mul(10).wrapping_add(second), 5)
            }
            _ => break,
        };
        if head as u8 != b'$' || first > 9 {
            break;
        }
        window.take(end + bytes);
        stream.skip = u64::from(length) + 2;
        let found = word_ends(stream);
        if found != Found::NOTHING {
            return found;
        }
    }
    Found::NOTHING
}

#[inline(always)]
fn begin(stream: &mut Stream, window: &mut Window, name: &mut Name) -> Found {
    let first = window.first();
    stream.flags &= QUIET | QUIET_ONCE;
    if first != b'*' {
        // Empty lines are nothing.
        if first == b'\r' || first == b'\n' {
            window.take(1);
            return Found::NOTHING;
        }
        if !first.is_ascii_alphabetic() {
            return Found::LOST;
        }
        name.begin(stream, Protocol::Resp as u8);
        stream.state = LINE;
        return Found::NOTHING;
    }
    match head(window) {
        Head::Short => Found::SHORT,
        Head::Wrong => Found::LOST,
        Head::Null(bytes) | Head::Number(0, bytes) => {
            window.take(bytes);
            Found::NOTHING
        }
        Head::Number(words, bytes) => {
            if words > MOST {
                return Found::LOST;
            }
            window.take(bytes);
            stream.count = words as u32;
            stream.state = WORD;
            name.begin(stream, Protocol::Resp as u8);
            Found::NOTHING
        }
    }
}

/// The head of a word of the request.
#[inline(always)]
fn word_head(stream: &mut Stream, window: &mut Window) -> Found {
    if window.first() != b'$' {
        return Found::LOST;
    }
    let (length, bytes) = match head(window) {
        Head::Short => return Found::SHORT,
        Head::Wrong | Head::Null(_) => return Found::LOST,
        Head::Number(length, bytes) => (length, bytes),
    };
    window.take(bytes);
    let command = stream.flags & COMMAND;
    let wanted = if stream.flags & NAMED == 0 {
        if length == 0 || length > LONGEST {
            return Found::LOST;
        }
        NAME
    } else if command == Command::Family as u8 || command == Command::Client as u8 || command == Command::Replica as u8
    {
        SECOND
    } else if command == Command::MayWait as u8 && length == 5 {
        OPTION
    } else {
        Stream::START
    };
    if wanted == Stream::START || length == 0 || length > LONGEST {
        stream.skip = length + 2;
        return word_ends(stream);
    }
    stream.value = length as u32;
    stream.state = wanted;
    Found::NOTHING
}

/// A word ends; so does the request if it was the last one.
#[inline(always)]
fn word_ends(stream: &mut Stream) -> Found {
    stream.count = stream.count.wrapping_sub(1);
    if stream.count != 0 {
        stream.state = WORD;
        return Found::NOTHING;
    }
    ends(stream)
}

/// The request is whole.
#[inline(always)]
fn ends(stream: &mut Stream) -> Found {
    stream.state = Stream::START;
    let command = stream.flags & COMMAND;
    if command == Command::Leaves as u8 {
        stream.kind = Kind::WaitByDesign as u8;
        return Found::REQUEST.and(Found::LEFT);
    }
    if command == Command::Subscribes as u8 {
        stream.kind = Kind::OneWay as u8;
    }
    if stream.flags & (QUIET | QUIET_ONCE) != 0 && stream.flags & TELLS == 0 {
        stream.kind = Kind::OneWay as u8;
        stream.flags &= !QUIET_ONCE;
    }
    Found::REQUEST
}

/// Up to eight bytes of the name.
#[inline(always)]
fn name_word(stream: &mut Stream, window: &mut Window, name: &mut Name) -> Found {
    let bytes = if stream.value < 8 { stream.value } else { 8 };
    if window.left() < bytes {
        return Found::SHORT;
    }
    let text = word::first(word::upper(window.word(0)), bytes);
    if stream.length == 0 {
        let command = command(text, stream.value);
        stream.flags = (stream.flags & !COMMAND) | command as u8;
        stream.kind =
            if command as u8 == Command::Waits as u8 { Kind::WaitByDesign as u8 } else { Kind::Request as u8 };
    }
    window.take(bytes);
    name.push(stream, text, bytes);
    stream.value = stream.value.wrapping_sub(bytes);
    if stream.value != 0 {
        return Found::NOTHING;
    }
    stream.flags |= NAMED;
    stream.skip = 2;
    // Others have more words in their names, or may have.
    let is_whole = stream.flags & COMMAND == Command::Plain as u8 || stream.flags & COMMAND == Command::Waits as u8;
    let found = word_ends(stream);
    if is_whole { found.and(Found::NAMED) } else { found }
}

/// Up to eight bytes of the second word of a name.
#[inline(always)]
fn second_word(stream: &mut Stream, window: &mut Window, name: &mut Name) -> Found {
    let bytes = if stream.value < 8 { stream.value } else { 8 };
    if window.left() < bytes {
        return Found::SHORT;
    }
    let text = word::first(word::upper(window.word(0)), bytes);
    window.take(bytes);
    let is_whole = stream.value == bytes;
    if stream.flags & TELLS != 0 {
        stream.skip = u64::from(stream.value - bytes) + 2;
        stream.flags = match text {
            ON => stream.flags & !(QUIET | QUIET_ONCE),
            OFF => stream.flags | QUIET,
            SKIP => stream.flags | QUIET_ONCE,
            _ => stream.flags,
        };
        if text == OFF || text == SKIP {
            stream.kind = Kind::OneWay as u8;
        }
        stream.flags &= !COMMAND;
        return word_ends(stream);
    }
    if stream.kept_length == 0 {
        name.push(stream, u64::from(b' '), 1);
        name.keep(stream);
    }
    name.push(stream, text, bytes);
    stream.value -= bytes;
    if stream.value != 0 {
        return Found::NOTHING;
    }
    stream.skip = 2;
    let command = stream.flags & COMMAND;
    if command == Command::Replica as u8 {
        stream.kind = if is_whole && text == ACK { Kind::OneWay as u8 } else { Kind::Handshake as u8 };
    }
    if command == Command::Client as u8 && is_whole && text == REPLY {
        stream.flags |= TELLS;
    } else {
        stream.flags &= !COMMAND;
    }
    word_ends(stream)
}

/// A word of five bytes, which may say that the command waits.
#[inline(always)]
fn option(stream: &mut Stream, window: &mut Window, name: &mut Name) -> Found {
    if window.left() < 5 {
        return Found::SHORT;
    }
    if word::first(word::upper(window.word(0)), 5) == BLOCK {
        stream.kind = Kind::WaitByDesign as u8;
        // By name too: one that waits and one that does not are asked for different things.
        name.push(stream, BLOCK << 8 | u64::from(b' '), 6);
        stream.flags &= !COMMAND;
    }
    window.take(5);
    stream.skip = 2;
    word_ends(stream)
}

/// Up to eight bytes of a request that is one line.
#[inline(always)]
fn line(stream: &mut Stream, window: &mut Window, name: &mut Name) -> Found {
    let text = window.word(0);
    let left = window.left();
    let end = word::place(word::equal(text, b'\n'));
    if stream.state == LINE {
        let stop = word::place(word::equal(text, b'\n') | word::equal(text, b'\r') | word::equal(text, b' '));
        let bytes = if stop < 8 { stop } else { 8 };
        if left < bytes || (stop < 8 && left <= stop) || (stop == 8 && left < 8) {
            return Found::SHORT;
        }
        if u64::from(stream.length) + u64::from(bytes) > LONGEST {
            return Found::LOST;
        }
        name.push(stream, word::upper(text), bytes);
        window.take(bytes);
        if stop < 8 {
            stream.kind = Kind::Request as u8;
            stream.state = LINE_REST;
        }
        return Found::NOTHING;
    }
    if end < 8 && end < left {
        window.take(end + 1);
        return ends(stream);
    }
    window.take(if left < 8 { left } else { 8 });
    Found::NOTHING
}
