//! The name of a request, as it is put together: text for people, and a hash by which the kernel side knows it again.
//!
//! In: words of up to eight bytes. Out: bytes, and a hash with a key that nobody outside knows: who could find two names of one hash
//! could hide one behind the other.

use crate::place;
use crate::stream::Stream;
use crate::word;

/// Bytes of a name at most; what is longer ends there, and its hash goes on.
pub const NAME: usize = 256;
const SLACK: usize = 8;
const MASK: usize = NAME - 1;

/// The bytes of a name; how many is in the stream that builds it.
#[repr(C)]
pub struct Name {
    /// The bytes.
    pub bytes: [u8; NAME + SLACK],
    /// Key of the hash.
    pub key: Key,
}

/// Key of a recording's hashes: two random numbers, of which the second is odd.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Where each hash begins.
    pub start: u64,
    /// What each is multiplied by.
    pub factor: u64,
}

/// An odd number of which half the bits are set (the golden ratio's).
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

impl Key {
    /// Takes in a word. Two multiplications: with one, flipping the highest bits of two words that follow each other would leave the
    /// hash as it is, whatever the key.
    #[inline(always)]
    #[must_use]
    pub fn mix(self, hash: u64, word: u64) -> u64 {
        let mixed = hash.wrapping_add(word).wrapping_mul(SPREAD);
        let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(self.factor);
        mixed ^ (mixed >> 29)
    }
}

impl Name {
    /// An empty one.
    #[must_use]
    pub const fn new(key: Key) -> Self {
        Self { bytes: [0; NAME + SLACK], key }
    }

    /// Begins a name, of a request in `protocol`.
    #[inline(always)]
    pub fn begin(&self, stream: &mut Stream, protocol: u8) {
        stream.hash = self.key.mix(self.key.start, u64::from(protocol));
        stream.length = 0;
        stream.is_cut = 0;
        self.keep(stream);
    }

    /// Appends the first `bytes` bytes of `word`, at most 8.
    #[inline(always)]
    pub fn push(&mut self, stream: &mut Stream, word: u64, bytes: u32) {
        let word = word::first(word, bytes);
        stream.hash = self.key.mix(stream.hash, word);
        let at = stream.length as usize;
        if at < NAME {
            // SAFETY: eight bytes from any place below `NAME` lie inside the array.
            unsafe { place::store(self.bytes.as_mut_ptr().add(place::masked::<MASK>(at)), word) };
            stream.length = stream.length.wrapping_add(bytes as u16);
        }
    }

    /// What comes from here on may yet be replaced.
    #[inline(always)]
    pub fn keep(&self, stream: &mut Stream) {
        stream.kept_hash = stream.hash;
        stream.kept_length = stream.length;
    }

    /// Forgets what came since [`Self::keep`].
    #[inline(always)]
    pub fn drop_kept(&self, stream: &mut Stream) {
        stream.hash = stream.kept_hash;
        stream.length = stream.kept_length;
    }
}
