//! Tokens of a statement, put together so that a list of values is one value and a list of rows is one row.
//!
//! In: tokens, in order. Out: the name. Between `?` and `?` a comma is held back until it is known whether another value follows; behind
//! `(?)` a comma and what looks like one more row. What is held back is dropped or pushed as a whole, so that nothing is ever taken back.
//!
//! The place in a list is a number; what follows on each token is a row of sixteen half bytes in a word: no branch, and no table in memory.

use crate::name::Name;
use crate::stream::Stream;
use crate::word;
use crate::word::text;

/// A token of a statement.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Token {
    /// A comment.
    Nothing,
    /// A word, or a name in quotes.
    Word,
    /// A number, a string, a parameter.
    Value,
    /// `(`.
    Open,
    /// `)`.
    Close,
    /// `,`.
    Comma,
    /// `;`.
    End,
    /// An operator, or part of one.
    Other,
}

/// Bit of `flags`: a blank came. The place is in the lower ones.
pub const BLANK: u8 = 1 << 4;
const PLACE: u8 = 15;

/// Nothing came yet.
const START: u8 = 0;
/// Behind a word.
const WORD: u8 = 1;
/// Behind an operator.
const OTHER: u8 = 2;
/// Behind `(`.
const OPEN: u8 = 3;
/// Behind `?`.
const VALUE: u8 = 4;
/// Behind `(?`.
const OPEN_VALUE: u8 = 5;
/// Behind `(?)`.
const ROW: u8 = 6;
/// Behind `?`, a comma is held back.
const VALUE_COMMA: u8 = 7;
/// Behind `(?`, likewise.
const OPEN_VALUE_COMMA: u8 = 8;
/// Behind `(?)`, likewise.
const ROW_COMMA: u8 = 9;
/// Behind `(?)`, `, (` is held back.
const ROW_OPEN: u8 = 10;
/// Behind `(?)`, `, (?` is held back.
const ROW_OPEN_VALUE: u8 = 11;
/// Behind `(?)`, `, (?,` is held back.
const ROW_OPEN_VALUE_COMMA: u8 = 12;
/// A semicolon is held back.
const ENDED: u8 = 13;
/// Behind a comma.
const COMMA: u8 = 14;

/// For each place a half byte: `otherwise`, but for those that are named.
const fn row(otherwise: u8, named: &[(u8, u8)]) -> u64 {
    let mut row = otherwise as u64 * 0x1111_1111_1111_1111;
    let mut at = 0;
    while at < named.len() {
        let (place, next) = named[at];
        row = (row & !(15 << (4 * place))) | ((next as u64) << (4 * place));
        at += 1;
    }
    row
}

/// Those places, a bit each.
const fn places(places: &[u8]) -> u16 {
    let (mut bits, mut at) = (0, 0);
    while at < places.len() {
        bits |= 1 << places[at];
        at += 1;
    }
    bits
}

const ON_VALUE: u64 = row(
    VALUE,
    &[
        (OPEN, OPEN_VALUE),
        (OPEN_VALUE_COMMA, OPEN_VALUE),
        (ROW_OPEN, ROW_OPEN_VALUE),
        (ROW_OPEN_VALUE_COMMA, ROW_OPEN_VALUE),
    ],
);
const ON_OPEN: u64 = row(OPEN, &[(ROW_COMMA, ROW_OPEN)]);
const ON_CLOSE: u64 = row(WORD, &[(OPEN_VALUE, ROW), (ROW_OPEN_VALUE, ROW)]);
const ON_COMMA: u64 = row(
    COMMA,
    &[(VALUE, VALUE_COMMA), (OPEN_VALUE, OPEN_VALUE_COMMA), (ROW, ROW_COMMA), (ROW_OPEN_VALUE, ROW_OPEN_VALUE_COMMA)],
);

/// Where a token is dropped, or held back with what is held back already.
const HOLDS_VALUE: u16 = places(&[VALUE_COMMA, OPEN_VALUE_COMMA, ROW_OPEN, ROW_OPEN_VALUE_COMMA]);
const HOLDS_OPEN: u16 = places(&[ROW_COMMA]);
const HOLDS_CLOSE: u16 = places(&[ROW_OPEN_VALUE]);
const HOLDS_COMMA: u16 = places(&[VALUE, OPEN_VALUE, ROW, ROW_OPEN_VALUE]);
const HOLDS_END: u16 = places(&[ENDED]);

/// How many bytes are held back: of `;` behind a semicolon, of `, (?,` elsewhere.
const HELD: u64 = row(
    0,
    &[
        (VALUE_COMMA, 1),
        (OPEN_VALUE_COMMA, 1),
        (ROW_COMMA, 1),
        (ROW_OPEN, 3),
        (ROW_OPEN_VALUE, 4),
        (ROW_OPEN_VALUE_COMMA, 5),
        (ENDED, 1),
    ],
);
/// Where a blank follows, whether one came or not.
const BLANK_FOLLOWS: u16 = places(&[VALUE_COMMA, OPEN_VALUE_COMMA, ROW_COMMA, ROW_OPEN_VALUE_COMMA, ENDED, COMMA]);
/// Where none follows.
const NO_BLANK: u16 = places(&[START, OPEN, ROW_OPEN]);
/// Behind what a sign is an operator.
const OPERANDS: u16 = places(&[WORD, VALUE, OPEN_VALUE, ROW, ROW_OPEN_VALUE]);
/// Where a value is one of a list.
const AMONG_VALUES: u16 = places(&[OPEN, VALUE_COMMA, OPEN_VALUE_COMMA, ROW_OPEN, ROW_OPEN_VALUE_COMMA]);

#[inline(always)]
fn is_at(stream: &Stream, places: u16) -> bool {
    (places >> (stream.flags & PLACE)) & 1 != 0
}

/// Whether a sign here is part of the number behind it.
#[inline(always)]
pub fn may_sign(stream: &Stream) -> bool {
    !is_at(stream, OPERANDS)
}

/// Whether a word such as `null` is a value here.
#[inline(always)]
pub fn is_among_values(stream: &Stream) -> bool {
    is_at(stream, AMONG_VALUES)
}

/// Appends a token: for a word or an operator the first `bytes` bytes of `word`.
#[inline(always)]
pub fn push(stream: &mut Stream, name: &mut Name, token: Token, word: u64, bytes: u32) {
    let (next, holds, word, bytes) = match token {
        Token::Nothing => return,
        Token::Word => (row(WORD, &[]), 0, word, bytes),
        Token::Other => (row(OTHER, &[]), 0, word, bytes),
        Token::Value => (ON_VALUE, HOLDS_VALUE, text("?"), 1),
        Token::Open => (ON_OPEN, HOLDS_OPEN, text("("), 1),
        Token::Close => (ON_CLOSE, HOLDS_CLOSE, text(")"), 1),
        Token::Comma => (ON_COMMA, HOLDS_COMMA, text(","), 1),
        // It is pushed when something follows.
        Token::End => (row(ENDED, &[]), HOLDS_END, 0, 0),
    };
    let place = stream.flags & PLACE;
    if !is_at(stream, holds) {
        let held = ((HELD >> (4 * place)) & 15) as u32;
        let text_ = if place == ENDED { text(";") } else { text(", (?,") };
        let is_apart = !matches!(token, Token::Close | Token::Comma | Token::End);
        let came = stream.flags & BLANK != 0 && !is_at(stream, NO_BLANK);
        let has_blank = is_apart && (came || is_at(stream, BLANK_FOLLOWS));
        let blank = u64::from(has_blank) * u64::from(b' ');
        let before = word::first(text_, held) | (blank << (8 * held));
        let before_bytes = held + u32::from(has_blank);
        if before_bytes != 0 {
            name.push(stream, before, before_bytes);
        }
        if bytes != 0 {
            name.push(stream, word, bytes);
        }
    }
    stream.flags = (stream.flags & !(PLACE | BLANK)) | ((next >> (4 * place)) & 15) as u8;
}
