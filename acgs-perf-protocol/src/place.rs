//! Words at any place of a buffer, in one instruction of the kernel's.
//!
//! Two things the compiler would do otherwise: a word that need not be aligned becomes eight loads of a byte and fourteen instructions that
//! put them together; and a mask goes where the lines around it bound the place already, which the verifier does not know. In assembler
//! it does neither. Elsewhere it is what Rust has for it.

/// `place` within `MASK`, one less than a power of two.
#[inline(always)]
#[must_use]
pub fn masked<const MASK: usize>(place: usize) -> usize {
    #[cfg(target_arch = "bpf")]
    {
        let mut place = place;
        // SAFETY: it is an operation on a register.
        unsafe {
            core::arch::asm!("{place} &= {mask}", place = inout(reg) place, mask = const MASK, options(pure, nomem, nostack));
        }
        place
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        place & MASK
    }
}

/// Eight bytes, the first the lowest.
///
/// # Safety
///
/// `at` must be valid for reads of eight bytes. It need not be aligned.
#[inline(always)]
#[must_use]
pub unsafe fn load(at: *const u8) -> u64 {
    #[cfg(target_arch = "bpf")]
    {
        let word: u64;
        // SAFETY: the caller says so. The kernel reads words at any place where the processor can.
        unsafe {
            core::arch::asm!("{word} = *(u64 *)({at} + 0)", word = out(reg) word, at = in(reg) at, options(pure, readonly, nostack));
        }
        word.to_le()
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        // SAFETY: the caller says so.
        unsafe { at.cast::<u64>().read_unaligned() }.to_le()
    }
}

/// Puts eight bytes, the lowest first.
///
/// # Safety
///
/// `at` must be valid for writes of eight bytes. It need not be aligned.
#[inline(always)]
pub unsafe fn store(at: *mut u8, word: u64) {
    #[cfg(target_arch = "bpf")]
    // SAFETY: the caller says so. The kernel writes words at any place where the processor can.
    unsafe {
        core::arch::asm!("*(u64 *)({at} + 0) = {word}", at = in(reg) at, word = in(reg) word.to_le(), options(nostack));
    }
    #[cfg(not(target_arch = "bpf"))]
    // SAFETY: the caller says so.
    unsafe {
        at.cast::<u64>().write_unaligned(word.to_le());
    }
}
