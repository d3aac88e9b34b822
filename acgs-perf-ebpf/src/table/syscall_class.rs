//! What it means when a thread blocks in a system call, as the agent says by the call's number.

use acgs_perf_common::state::SYSCALLS;
use aya_ebpf::btf_maps::Array;
use aya_ebpf::macros::btf_map;

use crate::flags::MMAPABLE;

/// System call number → `CallClass` and `LimitIn`.
#[btf_map]
static CALL_CLASS: Array<u64, { SYSCALLS }, MMAPABLE> = Array::new();

/// The class of a system call, and where it has its time limit; `None` beyond the table.
#[inline(always)]
pub fn class_of(syscall: i64) -> Option<&'static u64> {
    CALL_CLASS.get(syscall as u32)
}
