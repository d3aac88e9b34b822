//! The bytes that a step looks at.
//!
//! In: a piece of the stream, copied here by whoever drives the steps. Out: words at any place in it. Places are masked, so that the
//! verifier knows that they are inside.

use crate::{place, word};

/// Bytes of a window, a power of two.
pub const WINDOW: usize = 512;
/// Bytes behind it, so that a word can be loaded at its last byte.
const SLACK: usize = 8;
const MASK: usize = WINDOW - 1;
/// Bytes that one step looks at in a scan, behind a token.
pub const SCAN: u32 = 32;

/// Bytes of a stream from `at` to `end`.
#[repr(C)]
pub struct Window {
    /// The bytes.
    pub bytes: [u8; WINDOW + SLACK],
    /// Where the next step begins.
    pub at: u32,
    /// Where the bytes end.
    pub end: u32,
}

impl Window {
    /// A window without bytes.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: [0; WINDOW + SLACK], at: 0, end: 0 }
    }

    /// Bytes that are left.
    #[inline(always)]
    #[must_use]
    pub fn left(&self) -> u32 {
        self.end.wrapping_sub(self.at)
    }

    /// Eight bytes from `offset` behind the next one on, the first the lowest. What lies behind the end is whatever was there.
    #[inline(always)]
    #[must_use]
    pub fn word(&self, offset: u32) -> u64 {
        let at = place::masked::<MASK>(self.at.wrapping_add(offset) as usize);
        // SAFETY: eight bytes from any place below `WINDOW` lie inside the array.
        unsafe { place::load(self.bytes.as_ptr().add(at)) }
    }

    /// The next byte.
    #[inline(always)]
    #[must_use]
    pub fn first(&self) -> u8 {
        let at = place::masked::<MASK>(self.at as usize);
        // SAFETY: the place is inside the array.
        unsafe { self.bytes.as_ptr().add(at).read() }
    }

    /// Where the first mark lies in the next [`SCAN`] bytes, whatever is behind the end; [`SCAN`] without one.
    #[inline(always)]
    #[must_use]
    pub fn find(&self, marks: impl Fn(u64) -> u64) -> u32 {
        let mut offset = 0;
        while offset < SCAN {
            let place = word::place(marks(self.word(offset)));
            if place < 8 {
                return offset + place;
            }
            offset += 8;
        }
        SCAN
    }

    /// Takes what comes in front of the first mark, but no more than [`SCAN`] bytes. Whether the mark is the next byte now.
    #[inline(always)]
    pub fn pass(&mut self, marks: impl Fn(u64) -> u64) -> bool {
        let (place, left) = (self.find(marks), self.left());
        self.take(if place < left { place } else { left });
        place < SCAN && place < left
    }

    /// Takes `bytes` bytes.
    #[inline(always)]
    pub fn take(&mut self, bytes: u32) {
        self.at = self.at.wrapping_add(bytes);
    }
}

impl Default for Window {
    fn default() -> Self {
        Self::new()
    }
}
