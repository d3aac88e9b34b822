//! Whether what a client sends looks like MySQL's protocol: the first packet of a connection, or a command.

use super::Head;
use crate::window::Window;

/// What a window looks like.
pub(crate) enum Looks {
    /// Like MySQL.
    So,
    /// Not so.
    Otherwise,
    /// It has too few bytes to tell.
    Short,
}

/// The verdict of a test for which the window has to have so many bytes.
#[inline(always)]
fn if_seen(left: u32, needed: u32, test: impl FnOnce() -> bool) -> Looks {
    if left < needed {
        Looks::Short
    } else if test() {
        Looks::So
    } else {
        Looks::Otherwise
    }
}

/// Looks at a window of at least five bytes. Commands that other protocols may begin with are not among those that are known here.
#[inline(always)]
pub(crate) fn looks(window: &Window) -> Looks {
    let (word, more, left) = (window.word(0), window.word(8), window.left());
    let Head { length, number } = Head::of(word);
    if number == 1 && (32..1 << 16).contains(&length) {
        // It can do version 4.1, and send a proof of any length. Behind the character set there are zeros.
        const CAN: u8 = 0x82;
        return match if_seen(left, 6, || (word >> 40) as u8 & CAN == CAN) {
            Looks::So => if_seen(left, 16, || more >> 40 == 0),
            other => other,
        };
    }
    if number != 0 {
        return Looks::Otherwise;
    }
    match (word >> 32) as u8 {
        0x03 if length >= 2 => {
            let needed = if length == 2 { 6 } else { 7 };
            if_seen(left, needed, || begins_text(word) || (length > 3 && (word >> 40) as u16 == 0x0100))
        }
        // A number that the server has given, flags, and how often it is to run, which is once.
        0x17 if length >= 10 => {
            let statement = window.word(5) as u32;
            if_seen(left, 14, || statement != 0 && statement < 1 << 16 && (more >> 16) as u32 == 1)
        }
        0x0e | 0x1f if length == 1 => Looks::So,
        _ => Looks::Otherwise,
    }
}

/// Whether a window of at least five bytes looks like the preparation of a statement, as far as it can be seen.
#[inline(always)]
pub(crate) fn prepares(window: &Window) -> bool {
    let word = window.word(0);
    let Head { length, number } = Head::of(word);
    number == 0 && (word >> 32) as u8 == 0x16 && length >= 2 && (window.left() < 6 || begins_text(word))
}

/// Whether the sixth byte is one with which statements begin.
#[inline(always)]
fn begins_text(word: u64) -> bool {
    let byte = (word >> 40) as u8;
    byte.is_ascii_alphabetic() || matches!(byte, b'(' | b'/' | b'-' | b'#' | b'@' | b'{' | b' ' | b'\t' | b'\n' | b'\r')
}
