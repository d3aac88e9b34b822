//! Loads and stores that neither the compiler nor the verifier looks through.
//!
//! In: a place in memory. Out: its value, of which nobody knows more than its type. Each of these is a volatile access, for one of
//! these reasons:
//!
//! - The verifier follows a value that can be one of nine constants nine times through all that comes behind it, and the ways
//!   through one step of a loop multiply those through the next. What is loaded from memory it knows nothing of, so that the ways
//!   join again.
//! - The compiler knows bounds from the lines around and drops a mask that the verifier needs; it makes a branch of a mask, or
//!   computes with a pointer where only a number of the same value is allowed.
//! - Linux 6.1 takes a key of a map only from the stack, not from an argument; the compiler would use the argument itself.
//! - The compiler turns a plain copy of more than some words into a call of `memcpy`, which goes byte by byte here: eight times
//!   the work at run time, and for the verifier, which follows each step.

/// The value in memory, loaded anew.
#[inline(always)]
pub fn reload<T: Copy>(slot: &T) -> T {
    // SAFETY: a reference is valid for reads.
    unsafe { core::ptr::from_ref(slot).read_volatile() }
}

/// Puts a value into memory, in the order of the program.
#[inline(always)]
pub fn store<T: Copy>(slot: &mut T, value: T) {
    // SAFETY: a reference is valid for writes.
    unsafe { core::ptr::from_mut(slot).write_volatile(value) }
}

/// `to = from`, word by word.
#[inline(always)]
pub fn copy<const N: usize>(to: &mut [u64; N], from: &[u64; N]) {
    copy_slice(to, from);
}

/// Copies a slice of equal length, which the compiler has to know.
#[inline(always)]
pub fn copy_slice(to: &mut [u64], from: &[u64]) {
    for (to, from) in to.iter_mut().zip(from) {
        copy_word(to, from);
    }
}

/// One word of a loop that is not to become a `memcpy`.
#[inline(always)]
pub fn copy_word(to: &mut u64, from: &u64) {
    store(to, reload(from));
}

/// All words zero.
#[inline(always)]
pub fn clear(words: &mut [u64]) {
    for word in words {
        store(word, 0);
    }
}
