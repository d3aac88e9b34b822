//! The name of a statement: its text without its values.
//!
//! In: the text. PostgreSQL ends it with a zero, and `count` bytes of the message are to come; of MySQL's `count` bytes are to come. Out:
//! [`END`] as the state once the name is whole.
//!
//! Words outside of quotes are in lower case, numbers, strings and parameters are `?`, what is between two tokens is at most one blank,
//! and lists of values are one value ([`super::list`]). No byte of a value is ever pushed. Where the text could be read in two ways, of
//! which one has a value where the other has a word, the name ends with `…`, as it does where the text is longer than [`LONGEST`].

use super::list::{self, Token};
use super::quote;
use super::text::{
    COMMENT, DOUBLE, DOUBLE_ESCAPED, ESCAPED, LINE, NUMBER, QUOTED, STRING, TAGGED, TEXT, WORD, cut, ends, escapes,
    forgets_escapes, is_mysql, left, letters, short, take, word_at,
};
pub use super::text::{END, begin, begin_mysql, is_cut, is_prepared};
use crate::found::Found;
use crate::name::Name;
use crate::stream::Stream;
use crate::window::Window;
use crate::word;
use crate::word::text;

/// Bytes of a text that are looked at. How many have been is in `kept_length`.
const LONGEST: u16 = 512;

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
        STRING | ESCAPED | DOUBLE | DOUBLE_ESCAPED => quote::string(stream, window, name),
        TAGGED => quote::tagged(stream, window),
        _ => quote::comment(stream, window, name),
    };
    if stream.kept_length >= LONGEST && stream.state != END && !found.has(Found::LOST) {
        return cut(stream, name);
    }
    if stream.count == 0 && is_mysql(stream) && stream.state != END && !found.has(Found::LOST) {
        ends(stream, name);
    }
    found
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
    let (word, left) = (word_at(stream, window, 0), left(stream, window));
    let (first, second, is_mysql) = (word as u8, (word >> 8) as u8, is_mysql(stream));
    if first == 0 && is_mysql {
        return cut(stream, name);
    }
    if first == 0 {
        take(stream, window, 1);
        ends(stream, name);
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
        b'\'' => (Token::Value, 1, if escapes(stream) { ESCAPED } else { STRING }),
        b'"' if is_mysql => (Token::Value, 1, if escapes(stream) { DOUBLE_ESCAPED } else { DOUBLE }),
        b'"' => (Token::Word, 1, QUOTED),
        b'$' if is_mysql => return cut(stream, name),
        b'$' => return quote::tag(stream, window, name),
        b'`' if is_mysql => (Token::Word, 1, QUOTED),
        b'?' if is_mysql => (Token::Value, 1, TEXT),
        b'#' if is_mysql => (Token::Nothing, 1, LINE),
        b'-' if second == b'-' && is_mysql && left < 3 => return short(stream, window),
        b'-' if second == b'-' && is_mysql && (word >> 16) as u8 > b' ' => (Token::Other, 1, TEXT),
        b'-' if second == b'-' => (Token::Nothing, 2, LINE),
        b'/' if second == b'*' && is_mysql && left < 3 => return short(stream, window),
        // What follows is a comment to some servers, and part of the statement to others.
        b'/' if second == b'*' && is_mysql && matches!((word >> 16) as u8, b'!' | b'M') => return cut(stream, name),
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
    if first == b';' && is_mysql {
        forgets_escapes(stream);
    }
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
    let (word, left) = (word_at(stream, window, 0), left(stream, window));
    let end = word::place(!(letters(word) | word::equal(word, b'$')) & word::HIGH);
    if left < 8 && left <= end {
        return short(stream, window);
    }
    let lower = word::first(word::lower(word), end);
    let next = if end < 8 { (word >> (8 * end)) as u8 } else { 0 };
    if end == 1 && next == b'\'' && lower == u64::from(b'e') && !is_mysql(stream) {
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
    let (word, left) = (word_at(stream, window, 0), left(stream, window));
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
    let (word, left) = (word_at(stream, window, 0), left(stream, window));
    let quote = if is_mysql(stream) { b'`' } else { b'"' };
    let end = word::place(word::equal(word, quote) | word::zeros(word));
    if left < 8 && left <= end {
        return short(stream, window);
    }
    let is_closed = end < 8 && (word >> (8 * end)) as u8 == quote;
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
    let (word, left) = (word_at(stream, window, 0), left(stream, window));
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
