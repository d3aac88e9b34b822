//! The path of a URL in a name: its words, with `{}` in the place of what looks like a value.
//!
//! In: a window at a slash, or in a segment. Out: the name, a segment at a time. A segment is a value if it has a digit (but `v` and digits
//! stay), is longer than 32 bytes, or has bytes that are not unreserved (RFC 3986, 2.3). Sixteen segments are kept, `/…` stands for more.
//!
//! The lowest byte of `count` is how many segments were taken, that of `value` how many bytes of this one; the bits of `flags` are the
//! lowest three.

use crate::name::Name;
use crate::stream::Stream;
use crate::window::Window;
use crate::word;
use crate::word::text;

/// What a step took of a path.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The bytes do not suffice.
    Short,
    /// That many bytes of a segment, which goes on.
    Segment(u32),
    /// That many bytes, up to the end of a segment.
    End(u32),
    /// Nothing: the name has as many segments as it may have.
    Enough,
}

/// Bits of `flags`: the segment has a digit.
const DIGIT: u8 = 1;
/// It is `v` and digits, so far.
const NUMBERED: u8 = 2;
/// It has bytes that no word has.
const ODD: u8 = 4;

/// Segments that are part of a name.
const SEGMENTS: u32 = 16;
/// Longer segments are values.
const LONGEST: u32 = 32;
/// Where those numbers are.
const LOWEST: u32 = 0xff;

/// Marks what ends a path.
#[inline(always)]
pub fn ends_path(word: u64) -> u64 {
    word::equal(word, b' ') | word::equal(word, b'\r') | word::equal(word, b'\n')
}

/// A slash and up to seven bytes of a segment if one starts, else up to eight more of it. The path has at most `most` bytes, if it is not
/// ended by what comes behind it.
#[inline(always)]
pub fn step(stream: &mut Stream, window: &mut Window, name: &mut Name, is_start: bool, most: u32) -> Part {
    let (word, left) = (window.word(0), window.left());
    if is_start && stream.count & LOWEST == SEGMENTS {
        name.push(stream, text("/…"), 4);
        return Part::Enough;
    }
    // The slash is pushed with what follows, but not looked at.
    let slash = u32::from(is_start);
    let text_ = word >> (8 * slash);
    let ends = ends_path(text_) | word::equal(text_, b'/') | word::equal(text_, b'?') | word::equal(text_, b'#');
    let mark = word::place(ends) + slash;
    // Behind the last byte nothing has to be seen.
    let (end, needed) = if mark < most { (mark, mark + 1) } else { (most, most) };
    let is_end = end < 8;
    let (end, needed) = if end < 8 { (end, needed) } else { (8, 8) };
    if left < needed {
        return Part::Short;
    }
    if is_start {
        name.keep(stream);
        stream.value &= !LOWEST;
        stream.flags &= !(DIGIT | NUMBERED | ODD);
    }
    look(stream, text_, end.wrapping_sub(slash), is_start);
    let is_value = is_value(stream);
    if !is_value && end != 0 {
        name.push(stream, word, end);
    }
    window.take(end);
    if !is_end {
        return Part::Segment(end);
    }
    if is_value {
        name.drop_kept(stream);
        name.push(stream, text("/{}"), 3);
    }
    stream.count = stream.count.wrapping_add(1);
    Part::End(end)
}

/// What the first `bytes` bytes tell about a segment.
#[inline(always)]
fn look(stream: &mut Stream, text: u64, bytes: u32, is_start: bool) {
    let digits = word::first(word::between(text, b'0', b'9'), bytes);
    let words = word::between(word::lower(text), b'a', b'z') | word::equal(text, b'-') | word::equal(text, b'_');
    let words = words | word::equal(text, b'.') | word::equal(text, b'~') | digits;
    let all = word::first(word::HIGH, bytes);
    if !words & all != 0 {
        stream.flags |= ODD;
    }
    if digits != 0 {
        stream.flags |= DIGIT;
    }
    if is_start {
        let is_numbered = text as u8 == b'v' && bytes >= 2 && digits == all & !0xff;
        stream.flags |= if is_numbered { NUMBERED } else { 0 };
    } else if digits != all {
        stream.flags &= !NUMBERED;
    }
    // The rest of a segment that is too long may be of any length.
    if stream.value & LOWEST <= LONGEST {
        stream.value = stream.value.wrapping_add(bytes);
    }
}

/// Whether what was seen of a segment makes it a value.
#[inline(always)]
fn is_value(stream: &Stream) -> bool {
    let has_number = stream.flags & DIGIT != 0 && stream.flags & NUMBERED == 0;
    has_number || stream.flags & ODD != 0 || stream.value & LOWEST > LONGEST
}
