//! The text of a statement: where one is in it, and how many of its bytes are left.
//!
//! In: a stream in a text, and a window. Out: words of the text; the state and the flags of the stream, which are these.

use crate::found::Found;
use crate::name::Name;
use crate::stream::Stream;
use crate::window::Window;
use crate::word;
use crate::word::text;

/// Between two tokens.
pub const TEXT: u8 = 16;
/// In a word, behind its first eight bytes.
pub const WORD: u8 = 17;
/// In a name in quotes.
pub const QUOTED: u8 = 18;
/// In a number.
pub const NUMBER: u8 = 19;
/// In a string.
pub const STRING: u8 = 20;
/// In a string in which a backslash takes the meaning from the byte behind it.
pub const ESCAPED: u8 = 21;
/// In a string between two tags; the tag is in `kept_hash`.
pub const TAGGED: u8 = 22;
/// In a comment that ends with its line.
pub const LINE: u8 = 23;
/// In a comment that is closed.
pub const COMMENT: u8 = 24;
/// In a string between two quotes that elsewhere are those of names.
pub const DOUBLE: u8 = 25;
/// The name is whole.
pub const END: u8 = 26;
/// In such a string in which a backslash takes the meaning from the byte behind it.
pub const DOUBLE_ESCAPED: u8 = 27;

/// Bits of `flags`, beside those of the list: the text is MySQL's.
const MYSQL: u8 = 1 << 5;
/// The statement is prepared, not run.
const PREPARED: u8 = 1 << 6;
/// The name ends before the text does.
const CUT: u8 = 1 << 7;
/// Until then, of MySQL's: the server has said that a backslash takes the meaning from the byte behind it.
const ESCAPES: u8 = 1 << 7;

/// The text begins, and its name has begun.
#[inline(always)]
pub fn begin(stream: &mut Stream, is_prepared: bool) {
    stream.flags = if is_prepared { PREPARED } else { 0 };
    stream.kept_length = 0;
    stream.state = TEXT;
}

/// A text of MySQL's begins, and its name has begun. There may be nothing of it.
#[inline(always)]
pub fn begin_mysql(stream: &mut Stream, name: &mut Name, is_prepared: bool) {
    begin(stream, is_prepared);
    stream.flags |= MYSQL | if stream.other & Stream::TOLD != 0 { ESCAPES } else { 0 };
    if stream.count == 0 {
        ends(stream, name);
    }
}

/// Whether the text is MySQL's.
#[inline(always)]
pub fn is_mysql(stream: &Stream) -> bool {
    stream.flags & MYSQL != 0
}

/// Whether a backslash in a string of MySQL's is known to take the meaning from the byte behind it.
#[inline(always)]
pub fn escapes(stream: &Stream) -> bool {
    stream.flags & (MYSQL | ESCAPES) == MYSQL | ESCAPES
}

/// That is not known of the statement behind this one: this one may change it.
#[inline(always)]
pub fn forgets_escapes(stream: &mut Stream) {
    stream.flags &= !ESCAPES;
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

/// Bytes of the text that can be looked at. Behind MySQL's there is one more, a zero.
#[inline(always)]
pub fn left(stream: &Stream, window: &Window) -> u32 {
    let left = window.left();
    if stream.count <= left { stream.count + u32::from(is_mysql(stream)) } else { left }
}

/// Eight bytes of the text, and zeros behind its end.
#[inline(always)]
pub fn word_at(stream: &Stream, window: &Window, offset: u32) -> u64 {
    word::first(window.word(offset), stream.count.saturating_sub(offset))
}

/// What there is does not suffice: the rest comes later, or the message has no more.
#[inline(always)]
pub fn short(stream: &Stream, window: &Window) -> Found {
    if stream.count <= window.left() { Found::LOST } else { Found::SHORT }
}

#[inline(always)]
pub fn take(stream: &mut Stream, window: &mut Window, bytes: u32) {
    let bytes = if bytes < stream.count { bytes } else { stream.count };
    window.take(bytes);
    stream.count -= bytes;
    stream.kept_length = stream.kept_length.wrapping_add(bytes as u16);
}

/// The text has ended.
#[inline(always)]
pub fn ends(stream: &mut Stream, name: &mut Name) {
    if stream.length == 0 {
        name.push(stream, text(";"), 1);
    }
    stream.state = END;
}

/// The name ends here, though the text goes on.
#[inline(always)]
pub fn cut(stream: &mut Stream, name: &mut Name) -> Found {
    name.push(stream, text("…"), 3);
    stream.flags |= CUT;
    stream.state = END;
    Found::NOTHING
}

/// Marks the bytes that words are made of.
#[inline(always)]
pub fn letters(word: u64) -> u64 {
    let letters = word::between(word::lower(word), b'a', b'z') | word::between(word, b'0', b'9');
    letters | word::equal(word, b'_') | (word & word::HIGH)
}
