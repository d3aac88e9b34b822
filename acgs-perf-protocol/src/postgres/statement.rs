//! The name of a statement: its text without its values.
//!
//! In: the text, which a zero ends; `count` bytes of the message are to come. Out: [`END`] as the state once the name is whole.
//!
//! Words outside of quotes are in lower case, numbers, strings and parameters are `?`, what is between two tokens is at most one blank,
//! and lists of values are one value ([`super::list`]). No byte of a value is ever pushed. Where the text could be read in two ways, of
//! which one has a value where the other has a word, the name ends with `…`, as it does where the text is longer than [`LONGEST`].

use super::list::{self, Token};
use crate::found::Found;
use crate::name::Name;
use crate::stream::Stream;
use crate::window::Window;
use crate::word;
use crate::word::text;

/// Between two tokens.
const TEXT: u8 = 16;
/// In a word, behind its first eight bytes.
const WORD: u8 = 17;
/// In a name in quotes.
const QUOTED: u8 = 18;
/// In a number.
const NUMBER: u8 = 19;
/// In a string.
const STRING: u8 = 20;
/// In a string in which a backslash keeps its meaning from the byte behind it.
const ESCAPED: u8 = 21;
/// In a string between two tags; the tag is in `kept_hash`.
const TAGGED: u8 = 22;
/// In a comment that ends with its line.
const LINE: u8 = 23;
/// In a comment that is closed.
const COMMENT: u8 = 24;
/// The name is whole.
pub const END: u8 = 25;

/// Bits of `flags`, beside those of the list: the statement is prepared, not run.
const PREPARED: u8 = 1 << 6;
/// The name ends before the text does.
const CUT: u8 = 1 << 7;

/// Bytes of a text that are looked at. How many have been is in `kept_length`.
const LONGEST: u16 = 512;

/// The text begins, and its name has begun.
#[inline(always)]
pub fn begin(stream: &mut Stream, is_prepared: bool) {
    stream.flags = if is_prepared { PREPARED } else { 0 };
    stream.kept_length = 0;
    stream.state = TEXT;
}

/// Whether the statement is prepared, not run.
#[inline(always)]
pub fn is_prepared(stream: &Stream) -> bool {
    stream.flags & PREPARED != 0
}

/// Whether the name ended before the text did.
#[inline(always)]
pub fn is_cut(stream: &Stream) -> bool {
    stream.flags & CUT != 0
}

/// Takes the next token.
#[inline(always)]
pub fn step(stream: &mut Stream, window: &mut Window, name: &mut Name) -> Found {
    if stream.count == 0 {
        return Found::LOST;
    }
    let found = match stream.state {
        TEXT => token(stream, window, name),
        WORD => word_rest(stream, window, name),
        QUOTED => quoted(stream, window, name),
        NUMBER => number(stream, window, name),
        STRING | ESCAPED => string(stream, window, name),
        TAGGED => tagged(stream, window),
        _ => comment(stream, window, name),
    };
    if stream.kept_length >= LONGEST && stream.state != END && !found.has(Found::LOST) {
        return cut(stream, name);
    }
    found
}

/// Bytes of the text that can be looked at.
#[inline(always)]
fn left(stream: &Stream, window: &Window) -> u32 {
    let left = window.left();
    if stream.count < left { stream.count } else { left }
}

/// What there is does not suffice: the rest comes later, or the message has no more.
#[inline(always)]
fn short(stream: &Stream, window: &Window) -> Found {
    if stream.count <= window.left() { Found::LOST } else { Found::SHORT }
}

#[inline(always)]
fn take(stream: &mut Stream, window: &mut Window, bytes: u32) {
    window.take(bytes);
    stream.count = stream.count.wrapping_sub(bytes);
    stream.kept_length = stream.kept_length.wrapping_add(bytes as u16);
}

/// The name ends here, though the text goes on.
#[inline(always)]
fn cut(stream: &mut Stream, name: &mut Name) -> Found {
    name.push(stream, text("…"), 3);
    stream.flags |= CUT;
    stream.state = END;
    Found::NOTHING
}

/// Marks the bytes that words are made of.
#[inline(always)]
fn letters(word: u64) -> u64 {
    let letters = word::between(word::lower(word), b'a', b'z') | word::between(word, b'0', b'9');
    letters | word::equal(word, b'_') | (word & word::HIGH)
}

/// The token at the beginning of the window; a word with the token behind it, because that is a mark in most cases.
#[inline(always)]
fn token(stream: &mut Stream, window: &mut Window, name: &mut Name) -> Found {
    if is_letter(window.first()) {
        let found = first_word(stream, window, name);
        let goes_on = found != Found::NOTHING || stream.state != TEXT || stream.kept_length >= LONGEST;
        let next = window.first();
        if goes_on || left(stream, window) < 2 || next <= b' ' || is_letter(next) {
            return found;
        }
    }
    let (word, left) = (window.word(0), left(stream, window));
    let (first, second) = (word as u8, (word >> 8) as u8);
    if first == 0 {
        take(stream, window, 1);
        if stream.length == 0 {
            name.push(stream, text(";"), 1);
        }
        stream.state = END;
        return Found::NOTHING;
    }
    if matches!(first, b' ' | b'\t'..=b'\r') {
        let blanks = word::between(word, b'\t', b'\r') | word::equal(word, b' ');
        let end = word::place(!blanks & word::HIGH);
        take(stream, window, if end < left { end } else { left });
        stream.flags |= list::BLANK;
        return Found::NOTHING;
    }
    if left < 2 {
        return short(stream, window);
    }
    let is_sign = first == b'.' || ((first == b'-' || first == b'+') && list::may_sign(stream));
    let is_number = first.is_ascii_digit() || ((is_sign || first == b'$') && second.is_ascii_digit());
    let (token, bytes, state) = match first {
        _ if is_number => (Token::Value, 2 - u32::from(first.is_ascii_digit()), NUMBER),
        b'\'' => (Token::Value, 1, STRING),
        b'"' => (Token::Word, 1, QUOTED),
        b'$' => return tag(stream, window, name),
        b'-' if second == b'-' => (Token::Nothing, 2, LINE),
        b'/' if second == b'*' => (Token::Nothing, 2, COMMENT),
        b'(' => (Token::Open, 1, TEXT),
        b')' => (Token::Close, 1, TEXT),
        b',' => (Token::Comma, 1, TEXT),
        b';' => (Token::End, 1, TEXT),
        _ => (Token::Other, 1, TEXT),
    };
    // And a blank behind a mark.
    let has_blank = state == TEXT && second == b' ';
    take(stream, window, bytes + u32::from(has_blank));
    stream.state = state;
    list::push(stream, name, token, u64::from(first), 1);
    stream.flags |= if has_blank { list::BLANK } else { 0 };
    Found::NOTHING
}

#[inline(always)]
fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

/// A word, or its first eight bytes.
#[inline(always)]
fn first_word(stream: &mut Stream, window: &mut Window, name: &mut Name) -> Found {
    let (word, left) = (window.word(0), left(stream, window));
    let end = word::place(!(letters(word) | word::equal(word, b'$')) & word::HIGH);
    if left < 8 && left <= end {
        return short(stream, window);
    }
    let lower = word::first(word::lower(word), end);
    let next = if end < 8 { (word >> (8 * end)) as u8 } else { 0 };
    if end == 1 && next == b'\'' && lower == u64::from(b'e') {
        take(stream, window, 2);
        stream.state = ESCAPED;
        list::push(stream, name, Token::Value, 0, 0);
        return Found::NOTHING;
    }
    let is_value = matches!(lower, NULL | TRUE | FALSE | DEFAULT) && list::is_among_values(stream);
    list::push(stream, name, if is_value { Token::Value } else { Token::Word }, lower, end);
    word_ends(stream, window, end, next);
    Found::NOTHING
}

const NULL: u64 = text("null");
const TRUE: u64 = text("true");
const FALSE: u64 = text("false");
const DEFAULT: u64 = text("default");

/// Takes a word that ends in front of `next`, or its first eight bytes; and a blank behind it.
#[inline(always)]
fn word_ends(stream: &mut Stream, window: &mut Window, end: u32, next: u8) {
    let has_blank = end < 8 && next == b' ';
    take(stream, window, end + u32::from(has_blank));
    stream.flags |= if has_blank { list::BLANK } else { 0 };
    stream.state = if end < 8 { TEXT } else { WORD };
}

/// Up to eight more bytes of a word.
#[inline(always)]
fn word_rest(stream: &mut Stream, window: &mut Window, name: &mut Name) -> Found {
    let (word, left) = (window.word(0), left(stream, window));
    let end = word::place(!(letters(word) | word::equal(word, b'$')) & word::HIGH);
    if left < 8 && left <= end {
        return short(stream, window);
    }
    if end != 0 {
        name.push(stream, word::lower(word), end);
    }
    let next = if end < 8 { (word >> (8 * end)) as u8 } else { 0 };
    word_ends(stream, window, end, next);
    Found::NOTHING
}

/// Up to eight bytes of a name in quotes, which is kept as it is. Two quotes in a row end one and begin another.
#[inline(always)]
fn quoted(stream: &mut Stream, window: &mut Window, name: &mut Name) -> Found {
    let (word, left) = (window.word(0), left(stream, window));
    let end = word::place(word::equal(word, b'"') | word::zeros(word));
    if left < 8 && left <= end {
        return short(stream, window);
    }
    let is_closed = end < 8 && (word >> (8 * end)) as u8 == b'"';
    let bytes = end + u32::from(is_closed);
    if bytes != 0 {
        name.push(stream, word, bytes);
    }
    take(stream, window, bytes);
    if end < 8 {
        stream.state = TEXT;
    }
    Found::NOTHING
}

/// Up to eight bytes of a number. A sign belongs to it behind an `e`.
#[inline(always)]
fn number(stream: &mut Stream, window: &mut Window, name: &mut Name) -> Found {
    let (word, left) = (window.word(0), left(stream, window));
    let exponents = word::equal(word::lower(word), b'e');
    let end = word::place(!(letters(word) | word::equal(word, b'.')) & word::HIGH | exponents);
    if end != 0 {
        let bytes = if end < left { end } else { left };
        take(stream, window, bytes);
        return Found::NOTHING;
    }
    if word as u8 == b'$' {
        // To older servers a word ends here or a string begins, to newer ones it is an error.
        return cut(stream, name);
    }
    if exponents & 0x80 == 0 {
        stream.state = TEXT;
        return Found::NOTHING;
    }
    if left < 2 {
        return short(stream, window);
    }
    let second = (word >> 8) as u8;
    take(stream, window, 1 + u32::from(second == b'+' || second == b'-'));
    Found::NOTHING
}

/// Takes what comes in front of the first mark. Whether the mark is the next byte already.
#[inline(always)]
fn pass(stream: &mut Stream, window: &mut Window, marks: impl Fn(u64) -> u64) -> bool {
    let (place, left) = (window.find(marks), left(stream, window));
    take(stream, window, if place < left { place } else { left });
    place == 0
}

/// Up to the end of a string, or something in it that is not what it looks like.
#[inline(always)]
fn string(stream: &mut Stream, window: &mut Window, name: &mut Name) -> Found {
    if !pass(stream, window, |word| word::equal(word, b'\'') | word::equal(word, b'\\') | word::zeros(word)) {
        return Found::NOTHING;
    }
    let word = window.word(0);
    let (first, second) = (word as u8, (word >> 8) as u8);
    if first == 0 {
        stream.state = TEXT;
        return Found::NOTHING;
    }
    if left(stream, window) < 2 {
        return short(stream, window);
    }
    if first == b'\'' {
        let is_doubled = second == b'\'';
        take(stream, window, 1 + u32::from(is_doubled));
        stream.state = if is_doubled { stream.state } else { TEXT };
        return Found::NOTHING;
    }
    if stream.state == STRING && second == b'\'' {
        // The string ends here if `standard_conforming_strings` is on, and goes on if it is off.
        return cut(stream, name);
    }
    take(stream, window, 1 + u32::from(stream.state == ESCAPED && second != 0));
    Found::NOTHING
}

/// A dollar: the tag of a string, or something else.
#[inline(always)]
fn tag(stream: &mut Stream, window: &mut Window, name: &mut Name) -> Found {
    let (word, left) = (window.word(1), left(stream, window));
    let end = word::place(!letters(word) & word::HIGH);
    if left < end + 2 {
        return short(stream, window);
    }
    if window.word(1 + end) as u8 == b'$' {
        stream.kept_hash = word::first(word, end);
        take(stream, window, end + 2);
        stream.state = TAGGED;
        list::push(stream, name, Token::Value, 0, 0);
        return Found::NOTHING;
    }
    if end == 8 {
        // The tag may be longer than those that are known again.
        return cut(stream, name);
    }
    take(stream, window, 1);
    list::push(stream, name, Token::Other, u64::from(b'$'), 1);
    Found::NOTHING
}

/// Up to the tag that ends a string.
#[inline(always)]
fn tagged(stream: &mut Stream, window: &mut Window) -> Found {
    if !pass(stream, window, |word| word::equal(word, b'$') | word::zeros(word)) {
        return Found::NOTHING;
    }
    if window.first() == 0 {
        stream.state = TEXT;
        return Found::NOTHING;
    }
    let bytes = word::place(word::zeros(stream.kept_hash));
    if left(stream, window) < bytes + 2 {
        if stream.count > window.left() {
            return Found::SHORT;
        }
        // So close to the end of the message it is no tag.
        take(stream, window, 1);
        return Found::NOTHING;
    }
    let is_tag = word::first(window.word(1), bytes) == stream.kept_hash && window.word(1 + bytes) as u8 == b'$';
    take(stream, window, if is_tag { bytes + 2 } else { 1 });
    stream.state = if is_tag { TEXT } else { TAGGED };
    Found::NOTHING
}

/// Up to the end of a comment.
#[inline(always)]
fn comment(stream: &mut Stream, window: &mut Window, name: &mut Name) -> Found {
    let is_line = stream.state == LINE;
    let marks = |word| {
        let of_line = word::equal(word, b'\n') | word::equal(word, b'\r');
        let of_block = word::equal(word, b'*') | word::equal(word, b'/');
        word::zeros(word) | if is_line { of_line } else { of_block }
    };
    if !pass(stream, window, marks) {
        return Found::NOTHING;
    }
    let word = window.word(0);
    let (first, second) = (word as u8, (word >> 8) as u8);
    stream.flags |= list::BLANK;
    if first == 0 || is_line {
        stream.state = TEXT;
        return Found::NOTHING;
    }
    if left(stream, window) < 2 {
        return short(stream, window);
    }
    if first == b'/' && second == b'*' {
        // A comment in a comment: how deep they are is not counted.
        return cut(stream, name);
    }
    let is_end = first == b'*' && second == b'/';
    take(stream, window, 1 + u32::from(is_end));
    stream.state = if is_end { TEXT } else { COMMENT };
    Found::NOTHING
}
