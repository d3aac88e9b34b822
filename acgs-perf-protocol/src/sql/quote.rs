//! What stands between two marks in a statement: strings and comments.

use super::list::{self, Token};
use super::text::{
    COMMENT, DOUBLE, DOUBLE_ESCAPED, ESCAPED, LINE, STRING, TAGGED, TEXT, cut, is_mysql, left, letters, short, take,
    word_at,
};
use crate::found::Found;
use crate::name::Name;
use crate::stream::Stream;
use crate::window::Window;
use crate::word;

/// Takes what comes in front of the first mark. Whether the mark is the next byte already.
#[inline(always)]
fn pass(stream: &mut Stream, window: &mut Window, marks: impl Fn(u64) -> u64) -> bool {
    let (place, rest, left) = (window.find(marks), stream.count, window.left());
    let place = if place < rest { place } else { rest };
    take(stream, window, if place < left { place } else { left });
    place == 0
}

/// Up to the end of a string, or something in it that is not what it looks like.
#[inline(always)]
pub fn string(stream: &mut Stream, window: &mut Window, name: &mut Name) -> Found {
    let is_double = matches!(stream.state, DOUBLE | DOUBLE_ESCAPED);
    let quote = if is_double { b'"' } else { b'\'' };
    let escapes = matches!(stream.state, ESCAPED | DOUBLE_ESCAPED);
    let odd = if escapes && is_mysql(stream) { word::HIGH } else { 0 };
    let marks = |word| word::equal(word, quote) | word::equal(word, b'\\') | word::zeros(word) | (word & odd);
    if !pass(stream, window, marks) {
        return Found::NOTHING;
    }
    let word = word_at(stream, window, 0);
    let (first, second) = (word as u8, (word >> 8) as u8);
    if first == 0 {
        stream.state = TEXT;
        return Found::NOTHING;
    }
    if first >= 0x80 {
        // A letter may have two bytes, of which the second looks like a backslash (GBK, Big5, Shift JIS).
        stream.state = if is_double { DOUBLE } else { STRING };
        return Found::NOTHING;
    }
    if left(stream, window) < 2 {
        return short(stream, window);
    }
    if first == quote {
        let is_doubled = second == quote;
        take(stream, window, 1 + u32::from(is_doubled));
        stream.state = if is_doubled { stream.state } else { TEXT };
        return Found::NOTHING;
    }
    if !escapes && second == quote {
        // The string ends here if `standard_conforming_strings` is on, and goes on if it is off. To MySQL it is `NO_BACKSLASH_ESCAPES`.
        return cut(stream, name);
    }
    take(stream, window, 1 + u32::from(escapes && second != 0));
    Found::NOTHING
}

/// A dollar: the tag of a string, or something else.
#[inline(always)]
pub fn tag(stream: &mut Stream, window: &mut Window, name: &mut Name) -> Found {
    let (word, left) = (word_at(stream, window, 1), left(stream, window));
    let end = word::place(!letters(word) & word::HIGH);
    if left < end + 2 {
        return short(stream, window);
    }
    if word_at(stream, window, 1 + end) as u8 == b'$' {
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
pub fn tagged(stream: &mut Stream, window: &mut Window) -> Found {
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
pub fn comment(stream: &mut Stream, window: &mut Window, name: &mut Name) -> Found {
    let is_line = stream.state == LINE;
    let marks = |word| {
        let of_line = word::equal(word, b'\n') | word::equal(word, b'\r');
        let of_block = word::equal(word, b'*') | word::equal(word, b'/');
        word::zeros(word) | if is_line { of_line } else { of_block }
    };
    if !pass(stream, window, marks) {
        return Found::NOTHING;
    }
    let word = word_at(stream, window, 0);
    let (first, second) = (word as u8, (word >> 8) as u8);
    stream.flags |= list::BLANK;
    if first == 0 || is_line {
        stream.state = TEXT;
        return Found::NOTHING;
    }
    if left(stream, window) < 2 {
        return short(stream, window);
    }
    if first == b'/' && second == b'*' && !is_mysql(stream) {
        // A comment in a comment: how deep they are is not counted.
        return cut(stream, name);
    }
    let is_end = first == b'*' && second == b'/';
    take(stream, window, 1 + u32::from(is_end));
    stream.state = if is_end { TEXT } else { COMMENT };
    Found::NOTHING
}
