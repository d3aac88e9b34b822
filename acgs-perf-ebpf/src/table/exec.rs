//! Processes that called exec: a queue that the agent polls.

use acgs_perf_common::maps::EXEC_QUEUE;
use aya_ebpf::btf_maps::Array;
use aya_ebpf::macros::btf_map;

use crate::count::atomic_add;
use crate::flags::MMAPABLE;

/// Processes that called exec, the last at the place before `EXECED_HEAD`.
#[btf_map]
static EXECED: Array<u64, { EXEC_QUEUE as usize }, MMAPABLE> = Array::new();
/// Number of entries ever written to `EXECED`.
#[btf_map]
static EXECED_HEAD: Array<u64, 1, MMAPABLE> = Array::new();

/// The process of the last entry.
#[inline(always)]
pub fn last() -> Option<u64> {
    // SAFETY: the pointers are into the maps' values.
    unsafe {
        let next = EXECED_HEAD.get_ptr_mut(0)?.read_volatile();
        let slot = EXECED.get_ptr_mut((next as u32).wrapping_sub(1) & (EXEC_QUEUE - 1))?;
        Some(slot.read_volatile())
    }
}

/// Adds a process.
#[inline(always)]
pub fn push(tgid: u32) {
    if let Some(head) = EXECED_HEAD.get_ptr_mut(0) {
        // Two execs at once may share a slot; the next one then stays 0, and the agent scans /proc.
        // SAFETY: `head` points into the map's value.
        let at = unsafe { head.read_volatile() };
        if let Some(slot) = EXECED.get_ptr_mut(at as u32 & (EXEC_QUEUE - 1)) {
            // SAFETY: `slot` points into the map's value.
            unsafe { slot.write_volatile(u64::from(tgid)) };
        }
        atomic_add(head, 1);
    }
}
