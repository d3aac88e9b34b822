//! Loads from kernel memory, of which the typed handles beside this file are made.
//!
//! In: a pointer that the kernel passed, and an offset from BTF. Out: the value. Loads through an argument of a BTF tracepoint are
//! direct and checked by the verifier; where a pointer has lost its type (socket of another family, table of files) the read goes
//! through `bpf_probe_read_kernel`.

use aya_ebpf::helpers::{bpf_probe_read_kernel, bpf_probe_read_user};

/// A direct load, checked by the verifier against BTF.
#[inline(always)]
pub fn load<T: Copy>(base: *const u8, offset: usize) -> T {
    // SAFETY: `base` is a BTF pointer from the kernel and `offset` a field of its type; a fault reads as zero.
    unsafe { base.add(offset).cast::<T>().read_volatile() }
}

/// A load through a pointer without a type.
#[inline(always)]
pub fn probe<T: Copy>(base: *const u8, offset: usize) -> Option<T> {
    // SAFETY: the helper checks the address and fails on a fault.
    unsafe { bpf_probe_read_kernel(base.wrapping_add(offset).cast::<T>()).ok() }
}

/// A load from the memory of the running process.
#[inline(always)]
pub fn probe_user<T: Copy>(address: u64) -> Option<T> {
    // SAFETY: the helper checks the address, which only names memory of the process, and fails on a fault.
    unsafe { bpf_probe_read_user(core::ptr::without_provenance::<T>(address as usize)).ok() }
}
