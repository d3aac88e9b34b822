//! Copies and clears arrays word by word.
//!
//! The compiler turns a plain copy of more than some words into a call of `memcpy`, which goes byte by byte here: eight
//! times the work at run time, and for the verifier, which follows each step. Volatile stores are left alone.

/// `to = from`.
#[inline(always)]
pub fn copy<const N: usize>(to: &mut [u64; N], from: &[u64; N]) {
    copy_slice(to, from);
}

/// The same for slices of equal length, which the compiler has to know.
#[inline(always)]
pub fn copy_slice(to: &mut [u64], from: &[u64]) {
    for (to, from) in to.iter_mut().zip(from) {
        copy_one(to, from);
    }
}

/// One word of a loop that is not to become a `memcpy`.
#[inline(always)]
pub fn copy_one(to: &mut u64, from: &u64) {
    // SAFETY: references are valid.
    unsafe { core::ptr::from_mut(to).write_volatile(core::ptr::from_ref(from).read_volatile()) }
}

/// All zero.
#[inline(always)]
pub fn clear(words: &mut [u64]) {
    for word in words {
        // SAFETY: as above.
        unsafe { core::ptr::from_mut(word).write_volatile(0) }
    }
}
