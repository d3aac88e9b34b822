//! Eight bytes at a time: searches and numbers without a loop.
//!
//! In: a word whose first byte is the lowest. Out: places, from 0; 8 if there is none. The method is the usual one (*Bit Twiddling Hacks*,
//! "Determine if a word has a zero byte"); here the exact form, without false marks behind a real one.

const LOW: u64 = 0x0101_0101_0101_0101;
/// The high bit of each byte: all the marks that there can be.
pub const HIGH: u64 = 0x8080_8080_8080_8080;
const SEVEN: u64 = 0x7f7f_7f7f_7f7f_7f7f;

/// The high bit of each byte that is zero.
#[inline(always)]
#[must_use]
pub fn zeros(word: u64) -> u64 {
    !(((word & SEVEN) + SEVEN) | word | SEVEN)
}

/// The high bit of each byte that equals `byte`.
#[inline(always)]
#[must_use]
pub fn equal(word: u64, byte: u8) -> u64 {
    zeros(word ^ (LOW * byte as u64))
}

/// The high bit of each byte in `low..=high`, both below 128.
#[inline(always)]
#[must_use]
pub fn between(word: u64, low: u8, high: u8) -> u64 {
    let seven = word & SEVEN;
    let at_least = seven + LOW * (128 - low as u64);
    let above = seven + LOW * (127 - high as u64);
    at_least & !above & !word & HIGH
}

/// In which byte the lowest mark of [`zeros`], [`equal`] or [`between`] lies; 8 without one.
#[inline(always)]
#[must_use]
pub fn place(marks: u64) -> u32 {
    // The bits below the lowest mark, of which there are 8 · place + 7: one in each byte is counted by a multiplication. The kernel's
    // instructions count no bits.
    if marks == 0 {
        return 8;
    }
    let below = (marks & marks.wrapping_neg()).wrapping_sub(1);
    ((below & LOW).wrapping_mul(LOW) >> 56) as u32 - 1
}

/// The first `bytes` bytes, of at most 8; the others 0.
#[inline(always)]
#[must_use]
pub fn first(word: u64, bytes: u32) -> u64 {
    if bytes >= 8 { word } else { word & ((1u64 << (8 * bytes)) - 1) }
}

/// The word in upper case.
#[inline(always)]
#[must_use]
pub fn upper(word: u64) -> u64 {
    word ^ (between(word, b'a', b'z') >> 2)
}

/// The word in lower case.
#[inline(always)]
#[must_use]
pub fn lower(word: u64) -> u64 {
    word ^ (between(word, b'A', b'Z') >> 2)
}

/// Up to eight bytes of text as a word.
#[must_use]
pub const fn text(text: &str) -> u64 {
    let bytes = text.as_bytes();
    assert!(bytes.len() <= 8);
    let (mut word, mut at) = (0, 0);
    while at < bytes.len() {
        word |= (bytes[at] as u64) << (8 * at);
        at += 1;
    }
    word
}

/// The number that the first `digits` bytes write, at most 8; `None` if one of them is no digit, or without any.
#[inline(always)]
#[must_use]
pub fn number(word: u64, digits: u32) -> Option<u64> {
    if digits == 0 || digits > 8 {
        return None;
    }
    // Zeros in front, as in text: the digits move to the end of the word.
    let places = word << (8 * (8 - digits));
    let zeros_in_front = if digits == 8 { 0 } else { (LOW * b'0' as u64) >> (8 * digits) };
    let text = places | zeros_in_front;
    if between(text, b'0', b'9') != HIGH {
        return None;
    }
    // Pairs, then fours, then all eight.
    let value = text.wrapping_sub(LOW * b'0' as u64);
    let value = (value.wrapping_mul(10)).wrapping_add(value >> 8) & 0x00ff_00ff_00ff_00ff;
    let value = (value.wrapping_mul(100)).wrapping_add(value >> 16) & 0x0000_ffff_0000_ffff;
    Some((value.wrapping_mul(10_000)).wrapping_add(value >> 32) & 0xffff_ffff)
}

/// The high bit of each byte that is a hexadecimal digit.
#[inline(always)]
#[must_use]
pub fn hex_digits(word: u64) -> u64 {
    between(word, b'0', b'9') | between(lower(word), b'a', b'f')
}

/// The number that the first `digits` bytes write, from 1 to 8 of them, all of which are [`hex_digits`].
#[inline(always)]
#[must_use]
pub fn hex(word: u64, digits: u32) -> u64 {
    // The digits move to the end of the word. What stands in front counts as 0.
    let text = word << (64u32.wrapping_sub(8 * digits) & 63);
    let letters = (text >> 6) & LOW;
    let value = (text & (LOW * 15)) + letters * 9;
    // Pairs, then fours, then all eight.
    let value = ((value << 4) | (value >> 8)) & 0x00ff_00ff_00ff_00ff;
    let value = ((value << 8) | (value >> 16)) & 0x0000_ffff_0000_ffff;
    ((value << 16) | (value >> 32)) & 0xffff_ffff
}

/// `value` with `places` zeros behind it, at most 8. Multiplications: a table would be an access that the verifier has to follow.
#[inline(always)]
#[must_use]
pub fn times_power_of_ten(value: u64, places: u32) -> u64 {
    let value = if places & 1 != 0 { value.wrapping_mul(10) } else { value };
    let value = if places & 2 != 0 { value.wrapping_mul(100) } else { value };
    let value = if places & 4 != 0 { value.wrapping_mul(10_000) } else { value };
    if places & 8 != 0 { value.wrapping_mul(100_000_000) } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &[u8; 8]) -> u64 {
        u64::from_le_bytes(*text)
    }

    #[test]
    fn finds_the_first_of_a_byte() {
        assert_eq!(place(equal(word(b"GET /a\r\n"), b' ')), 3);
        assert_eq!(place(equal(word(b"\r......."), b'\r')), 0);
        assert_eq!(place(equal(word(b".......\r"), b'\r')), 7);
        assert_eq!(place(equal(word(b"........"), b'\r')), 8);
        // Neighbours of the byte raise no mark.
        assert_eq!(equal(word(b"\x0c\x0e\x8d\x8c\x0d\x0c\xff\x00"), b'\r').count_ones(), 1);
    }

    #[test]
    fn every_byte_is_in_its_range() {
        for byte in 0..=255u8 {
            let text = u64::from_le_bytes([byte; 8]);
            assert_eq!(between(text, b'0', b'9') == HIGH, byte.is_ascii_digit(), "{byte}");
            assert_eq!(upper(text), u64::from_le_bytes([byte.to_ascii_uppercase(); 8]));
            assert_eq!(lower(text), u64::from_le_bytes([byte.to_ascii_lowercase(); 8]));
        }
    }

    #[test]
    fn numbers_of_one_to_eight_digits() {
        assert_eq!(number(word(b"7\r\nabcde"), 1), Some(7));
        assert_eq!(number(word(b"1234567\r"), 7), Some(1_234_567));
        assert_eq!(number(word(b"0042\r\n.."), 4), Some(42));
        assert_eq!(number(word(b"-1\r\n...."), 2), None);
        assert_eq!(number(word(b"12345678"), 8), Some(12_345_678));
        assert_eq!(number(word(b"12345678"), 0), None);
        assert_eq!(number(word(b"12345678"), 9), None);
    }

    #[test]
    fn hexadecimal_numbers_and_powers() {
        assert_eq!(hex(word(b"7\r\nabcde"), 1), 7);
        assert_eq!(hex(word(b"aF09\r\n.."), 4), 0xaf09);
        assert_eq!(hex(word(b"DeadBeef"), 8), 0xdead_beef);
        for byte in 0..=255u8 {
            let text = u64::from_le_bytes([byte; 8]);
            assert_eq!(hex_digits(text) == HIGH, byte.is_ascii_hexdigit(), "{byte}");
        }
        for places in 0..=8 {
            assert_eq!(times_power_of_ten(7, places), 7 * 10u64.pow(places));
        }
    }

    #[test]
    fn a_text_is_its_bytes() {
        assert_eq!(first(word(b"PING\r\nxx"), 4), text("PING"));
    }
}
