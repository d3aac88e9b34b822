//! The lines of a header, of which three are read: `Content-Length`, `Transfer-Encoding`, and of a reply `Content-Type`.
//!
//! In: a window behind the first line. Out: [`END`] as the state once the header has ended, then the length of the body in `kept_hash` and
//! bits in `flags`. Lines may end without `\r`, and may go on in the next one, as servers accept it. What servers understand differently
//! (a blank in front of the colon, two lengths) is [`Found::LOST`].

use crate::found::Found;
use crate::stream::Stream;
use crate::window::Window;
use crate::word;
use crate::word::text;

/// At the beginning of a line.
pub const LINE: u8 = 16;
/// In a line that nobody reads.
pub const REST: u8 = 17;
/// Behind the empty line.
pub const END: u8 = 18;
/// At the beginning of a line, behind one with a length.
const BEHIND_LENGTH: u8 = 19;
/// At the beginning of a line, behind one with codings.
const BEHIND_CODING: u8 = 20;
/// Behind `content-`.
const CONTENT: u8 = 21;
/// Behind `transfer`.
const TRANSFER: u8 = 22;
/// In a length.
const LENGTH: u8 = 23;
/// Behind a length.
const LENGTH_END: u8 = 24;
/// Between two codings.
const CODING: u8 = 25;
/// Behind the name of a coding.
const CODING_REST: u8 = 26;
/// In front of a type.
const TYPE: u8 = 27;
/// Behind `text/eve`.
const TYPE_REST: u8 = 28;

/// Bits of `flags`: the length of the body is known.
pub const HAS_LENGTH: u8 = 1;
/// The body is coded for its transfer.
pub const CODED: u8 = 2;
/// The last of its codings is `chunked`.
pub const CHUNKED: u8 = 4;
/// A digit of a number was seen.
const DIGITS: u8 = 8;

/// Longer numbers are no lengths.
const LONGEST: u64 = 10_000_000_000;

/// The header begins.
#[inline(always)]
pub fn begin(stream: &mut Stream, flags: u8, state: u8) {
    stream.flags = flags;
    stream.state = state;
    stream.kept_hash = 0;
}

/// Takes the next token. [`Found::STREAM`] where the type of a reply's body says that it goes on.
#[inline(always)]
pub fn step<const REPLY: bool>(stream: &mut Stream, window: &mut Window) -> Found {
    let found = tokens::<REPLY>(stream, window);
    if found != Found::NOTHING || window.left() == 0 {
        return found;
    }
    // In the same step, because most lines of a header are not read.
    if stream.state == REST && window.pass(|word| word::equal(word, b'\n')) {
        window.take(1);
        stream.state = LINE;
    }
    if stream.state == BEHIND_LENGTH && !is_blank(window.first()) {
        let found = length_is_known(stream);
        if found != Found::NOTHING {
            return found;
        }
    }
    if stream.state == LINE {
        unread_lines(stream, window);
    }
    found
}

/// Lines that one step passes over at most.
const LINES: u32 = 6;
/// In all places of a word the bit that makes a letter a small one.
const SMALL: u64 = 0x2020_2020_2020_2020;

/// Passes over whole lines that nobody reads, and over the end of the header, as far as the window has them.
#[inline(always)]
fn unread_lines(stream: &mut Stream, window: &mut Window) {
    let mut lines = 0;
    while lines < LINES {
        lines += 1;
        let (name, left) = (window.word(0), window.left());
        if left >= 2 && name as u16 == u16::from_le_bytes(*b"\r\n") {
            window.take(2);
            stream.state = END;
            return;
        }
        // What only looks like one of these is left to a closer look, as all else that is no name.
        let is_read = name | SMALL == CONTENT_ | SMALL || name | SMALL == TRANSFER_ | SMALL;
        if left < 8 || is_read || name as u8 <= b' ' {
            return;
        }
        if !window.pass(|word| word::equal(word, b'\n')) {
            stream.state = REST;
            return;
        }
        window.take(1);
    }
}

/// The tokens of a line, one behind the other as far as the window has them.
#[inline(always)]
fn tokens<const REPLY: bool>(stream: &mut Stream, window: &mut Window) -> Found {
    macro_rules! then {
        ($states:pat => $token:expr) => {
            if matches!(stream.state, $states) {
                let found = $token;
                if found != Found::NOTHING || window.left() == 0 {
                    return found;
                }
            }
        };
    }
    then!(LINE | BEHIND_LENGTH | BEHIND_CODING => line(stream, window));
    then!(CONTENT => content::<REPLY>(stream, window));
    then!(LENGTH => length(stream, window));
    then!(LENGTH_END => length_end(stream, window));
    if REPLY {
        then!(TYPE => media_type(stream, window));
    }
    match stream.state {
        TRANSFER => transfer(stream, window),
        CODING => coding(stream, window),
        CODING_REST => {
            if window.pass(|word| word::equal(word, b',') | word::equal(word, b'\r') | word::equal(word, b'\n')) {
                stream.state = CODING;
            }
            Found::NOTHING
        }
        TYPE_REST if REPLY => media_type_rest(stream, window),
        _ => Found::NOTHING,
    }
}

/// How many bytes the end of a line takes that `text` begins with; 0 if it begins with something else.
#[inline(always)]
fn end_of_line(text: u64, left: u32) -> Result<u32, Found> {
    match text as u8 {
        b'\n' => Ok(1),
        b'\r' if left < 2 => Err(Found::SHORT),
        b'\r' if (text >> 8) as u8 == b'\n' => Ok(2),
        b'\r' => Err(Found::LOST),
        _ => Ok(0),
    }
}

#[inline(always)]
fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// Whether a line ends in the next eight bytes.
#[inline(always)]
fn is_short_line(text: u64, left: u32) -> bool {
    let end = word::place(word::equal(text, b'\n'));
    end < 8 && end < left
}

/// The beginning of a line.
#[inline(always)]
fn line(stream: &mut Stream, window: &mut Window) -> Found {
    let (name, left) = (window.word(0), window.left());
    if is_blank(name as u8) {
        window.take(1);
        stream.state = match stream.state {
            BEHIND_LENGTH if stream.flags & DIGITS == 0 => LENGTH,
            BEHIND_LENGTH => LENGTH_END,
            BEHIND_CODING => CODING,
            _ => REST,
        };
        return Found::NOTHING;
    }
    if stream.state == BEHIND_LENGTH {
        let found = length_is_known(stream);
        if found != Found::NOTHING {
            return found;
        }
    }
    match end_of_line(name, left) {
        Ok(0) => {}
        Ok(bytes) => {
            window.take(bytes);
            stream.state = END;
            return Found::NOTHING;
        }
        Err(found) => return found,
    }
    if left < 8 && !is_short_line(name, left) {
        return Found::SHORT;
    }
    stream.state = match word::lower(name) {
        _ if is_short_line(name, left) => {
            stream.state = REST;
            return Found::NOTHING;
        }
        CONTENT_ => CONTENT,
        TRANSFER_ => TRANSFER,
        _ => REST,
    };
    window.take(8);
    Found::NOTHING
}

const CONTENT_: u64 = text("content-");
const TRANSFER_: u64 = text("transfer");

/// A name that begins with `content-`.
#[inline(always)]
fn content<const REPLY: bool>(stream: &mut Stream, window: &mut Window) -> Found {
    let (name, left) = (word::lower(window.word(0)), window.left());
    let seven = word::first(name, 7);
    if left >= 7 && seven == text("length:") {
        window.take(7);
        if stream.flags & HAS_LENGTH != 0 {
            // Said twice. It has to be the same number.
            if stream.kept_hash > u64::from(u32::MAX) {
                return Found::LOST;
            }
            stream.count = stream.kept_hash as u32;
        }
        stream.kept_hash = 0;
        stream.flags &= !DIGITS;
        stream.state = LENGTH;
        return Found::NOTHING;
    }
    if left >= 7 && (seven == text("length ") || seven == text("length\t")) {
        return Found::LOST;
    }
    if REPLY && left >= 5 && word::first(name, 5) == text("type:") {
        window.take(5);
        stream.state = TYPE;
        return Found::NOTHING;
    }
    if left < 7 && !is_short_line(name, left) {
        return Found::SHORT;
    }
    stream.state = REST;
    Found::NOTHING
}

/// A name that begins with `transfer`.
#[inline(always)]
fn transfer(stream: &mut Stream, window: &mut Window) -> Found {
    let (name, more, left) = (word::lower(window.word(0)), word::lower(window.word(8)), window.left());
    if left < 10 && !is_short_line(name, left) && !(left == 9 && more as u8 == b'\n') {
        return Found::SHORT;
    }
    stream.state = REST;
    if left >= 10 && name == text("-encodin") {
        let end = word::first(more, 2);
        if end == text("g:") {
            window.take(10);
            stream.state = CODING;
        }
        if end == text("g ") || end == text("g\t") {
            return Found::LOST;
        }
    }
    Found::NOTHING
}

/// Blanks in front of a length, or up to eight digits of it.
#[inline(always)]
fn length(stream: &mut Stream, window: &mut Window) -> Found {
    if is_blank(window.first()) && stream.flags & DIGITS == 0 {
        window.take(1);
    }
    let (text, left) = (window.word(0), window.left());
    if left == 0 || (is_blank(text as u8) && stream.flags & DIGITS == 0) {
        return Found::NOTHING;
    }
    let digits = word::place(!word::between(text, b'0', b'9') & word::HIGH);
    if digits == 0 {
        stream.state = LENGTH_END;
        return Found::NOTHING;
    }
    if left < 8 && left <= digits {
        return Found::SHORT;
    }
    let Some(number) = word::number(text, digits) else { return Found::LOST };
    if stream.kept_hash >= LONGEST {
        return Found::LOST;
    }
    stream.kept_hash = word::times_power_of_ten(stream.kept_hash, digits) + number;
    stream.flags |= DIGITS;
    window.take(digits);
    if digits < 8 {
        stream.state = LENGTH_END;
    }
    Found::NOTHING
}

/// What comes between a length and the end of its line.
#[inline(always)]
fn length_end(stream: &mut Stream, window: &mut Window) -> Found {
    let text = window.word(0);
    if is_blank(text as u8) {
        window.take(1);
        return Found::NOTHING;
    }
    match end_of_line(text, window.left()) {
        Ok(0) => Found::LOST,
        Ok(bytes) => {
            window.take(bytes);
            stream.state = BEHIND_LENGTH;
            Found::NOTHING
        }
        Err(found) => found,
    }
}

/// The line with a length does not go on.
#[inline(always)]
fn length_is_known(stream: &mut Stream) -> Found {
    let is_other = stream.flags & HAS_LENGTH != 0 && stream.kept_hash != u64::from(stream.count);
    if stream.flags & DIGITS == 0 || is_other {
        return Found::LOST;
    }
    stream.flags |= HAS_LENGTH;
    stream.state = LINE;
    Found::NOTHING
}

/// A coding of the body, or what comes between two.
#[inline(always)]
fn coding(stream: &mut Stream, window: &mut Window) -> Found {
    let (name, left) = (window.word(0), window.left());
    let first = name as u8;
    if is_blank(first) || first == b',' {
        window.take(1);
        return Found::NOTHING;
    }
    match end_of_line(name, left) {
        Ok(0) => {}
        Ok(bytes) => {
            window.take(bytes);
            stream.state = BEHIND_CODING;
            return Found::NOTHING;
        }
        Err(found) => return found,
    }
    let ends = word::equal(name, b',') | word::equal(name, b' ') | word::equal(name, b'\t') | word::equal(name, b';');
    let bytes = word::place(ends | word::equal(name, b'\r') | word::equal(name, b'\n'));
    if left < 8 && left <= bytes {
        return Found::SHORT;
    }
    let name = word::lower(word::first(name, bytes));
    window.take(bytes);
    stream.state = CODING_REST;
    // The identity is none.
    if name != text("identity") {
        stream.flags =
            (stream.flags & !CHUNKED) | CODED | if bytes == 7 && name == text("chunked") { CHUNKED } else { 0 };
    }
    Found::NOTHING
}

/// The type of a reply's body.
#[inline(always)]
fn media_type(stream: &mut Stream, window: &mut Window) -> Found {
    if is_blank(window.first()) {
        window.take(1);
    }
    let (name, left) = (window.word(0), window.left());
    if left == 0 || is_blank(name as u8) {
        return Found::NOTHING;
    }
    if left < 8 && !is_short_line(name, left) {
        return Found::SHORT;
    }
    stream.state = REST;
    if left >= 8 && word::lower(name) == text("text/eve") {
        window.take(8);
        stream.state = TYPE_REST;
    }
    Found::NOTHING
}

#[inline(always)]
fn media_type_rest(stream: &mut Stream, window: &mut Window) -> Found {
    let (name, last, left) = (word::lower(window.word(0)), word::lower(window.word(8)), window.left());
    if left < 9 && !is_short_line(name, left) {
        return Found::SHORT;
    }
    stream.state = REST;
    let is_stream = left >= 9 && name == text("nt-strea") && last as u8 == b'm';
    if is_stream { Found::STREAM } else { Found::NOTHING }
}
