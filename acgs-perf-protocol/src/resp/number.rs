//! The head of a value: a byte for its type, a number, and the end of the line.

use crate::window::Window;
use crate::word;

/// What stands in a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// A number, and how many bytes the line takes.
    Number(u64, u32),
    /// `-1`: there is no value.
    Null(u32),
    /// Not all of the line is there.
    Short,
    /// Something else.
    Wrong,
}

/// The head at the beginning of the window. At most twelve digits.
#[inline(always)]
pub fn head(window: &Window) -> Head {
    let left = window.left();
    let digits = window.word(1);
    // Most numbers have one digit.
    let first = (digits as u8).wrapping_sub(b'0');
    if left >= 4 && first < 10 && (digits >> 8) as u8 == b'\r' {
        return Head::Number(u64::from(first), 4);
    }
    let place = word::place(word::equal(digits, b'\r'));
    if place < 8 && place + 1 < left {
        if left < place + 3 {
            return Head::Short;
        }
        return match word::number(digits, place) {
            Some(number) => Head::Number(number, place + 3),
            None if word::first(digits, place) == word::text("-1") => Head::Null(place + 3),
            None => Head::Wrong,
        };
    }
    if left < 9 {
        return Head::Short;
    }
    let more = window.word(9);
    let place = word::place(word::equal(more, b'\r'));
    if place > 4 {
        // No head is longer: it would be more than a token.
        return if left < 14 { Head::Short } else { Head::Wrong };
    }
    if left < 8 + place + 3 {
        return Head::Short;
    }
    let Some(high) = word::number(digits, 8) else { return Head::Wrong };
    if place == 0 {
        return Head::Number(high, 11);
    }
    let Some(low) = word::number(more, place) else { return Head::Wrong };
    Head::Number(word::times_power_of_ten(high, place) + low, 8 + place + 3)
}
