//! What the agent sets: the read-only globals, once before the programs are loaded, and the switches, while they run.
//!
//! In: nothing of this crate but the flags. Out: `offset!` and `global!`, which read a global, and whether this or that is on.

use acgs_perf_common::fields::Fields;
use acgs_perf_common::maps::{COUNTING, NEVER, STOPPED_ATTRIBUTION, STOPPED_ENDPOINTS, STOPPED_SCHED, Switches};
use aya_ebpf::btf_maps::Array;
use aya_ebpf::macros::btf_map;

use crate::flags::MMAPABLE;

/// Offsets of kernel fields.
#[unsafe(no_mangle)]
pub static FIELDS: Fields = Fields::ZERO;
/// Number of shards, a power of two.
#[unsafe(no_mangle)]
pub static SHARDS: u32 = 1;
/// 1 if the probe `sched` keeps thread clocks.
#[unsafe(no_mangle)]
pub static SCHED_ACTIVE: u32 = 0;
/// 1 if the probe `tcp` keeps figures of connections.
#[unsafe(no_mangle)]
pub static TCP_ACTIVE: u32 = 0;
/// 1 if the probe `syscalls` sees calls of accept.
#[unsafe(no_mangle)]
pub static SYSCALLS_ACTIVE: u32 = 0;

/// 1 if the probe `attribution` says where the time of requests goes.
#[unsafe(no_mangle)]
pub static ATTRIBUTION_ACTIVE: u32 = 0;

/// 1 if the probe `endpoints` looks at what is said.
#[unsafe(no_mangle)]
pub static ENDPOINTS_ACTIVE: u32 = 0;

/// 1 if tracepoints leave preemption enabled, so that programs need a standby; see `hooks::standby`.
#[unsafe(no_mangle)]
pub static PREEMPTIBLE: u32 = 0;

/// What the agent has switched on and off since the programs were loaded, and when the window is open.
#[btf_map]
static SWITCHES: Array<Switches, 1, MMAPABLE> = Array::new();

/// Reads a read-only global that the agent overrode, or a field of one; a constant to the verifier.
macro_rules! global {
    ($name:ident $(. $field:ident)?) => {
        // SAFETY: the global is read-only memory that the agent filled before the program was loaded.
        unsafe { core::ptr::read_volatile(&raw const $crate::globals::$name $(.$field)?) }
    };
}
pub(crate) use global;

/// The offset of a kernel field, a constant to the verifier.
macro_rules! offset {
    ($field:ident) => {
        $crate::globals::global!(FIELDS.$field) as usize
    };
}
pub(crate) use offset;

/// The offset of a kernel field in a probe's own global, a constant to the verifier.
macro_rules! field {
    ($global:ident . $field:ident) => {
        // SAFETY: the global is read-only memory that the agent filled before the program was loaded.
        unsafe { core::ptr::read_volatile(&raw const $global.$field) as usize }
    };
}
#[allow(unused_imports, unused_macros, reason = "for probes that declare their own fields")]
pub(crate) use field;

/// Whether the agent has set this bit of `SWITCHES`.
#[inline(always)]
fn is_set(bit: u64) -> bool {
    // SAFETY: the pointer is into the map's value, which the agent changes meanwhile.
    SWITCHES.get_ptr(0).is_some_and(|switches| unsafe { (&raw const (*switches).bits).read_volatile() } & bit != 0)
}

/// Whether the window is open: what happens now is part of the recording.
#[inline(always)]
pub fn counts() -> bool {
    is_set(COUNTING)
}

/// How much of the time from `since` to `now` lies in the window.
#[inline(always)]
pub fn within_window(since: u64, now: u64) -> u64 {
    let Some(switches) = SWITCHES.get_ptr(0) else { return 0 };
    // SAFETY: as in `is_set`.
    let (opened, closed) = unsafe {
        ((&raw const (*switches).opened_ns).read_volatile(), (&raw const (*switches).closed_ns).read_volatile())
    };
    now.min(closed).saturating_sub(since.max(opened))
}

/// By how much the wall clock is ahead of the programs' clock.
#[inline(always)]
pub fn wall_ahead_ns() -> u64 {
    // SAFETY: as in `is_set`.
    SWITCHES.get_ptr(0).map_or(0, |switches| unsafe { (&raw const (*switches).wall_ahead_ns).read_volatile() })
}

/// When the window was closed; a moment that has not come before.
#[inline(always)]
pub fn closed_ns() -> u64 {
    // SAFETY: as in `is_set`.
    SWITCHES.get_ptr(0).map_or(NEVER, |switches| unsafe { (&raw const (*switches).closed_ns).read_volatile() })
}

/// Whether the probe `attribution` is on: chosen, and not stopped since. It is only ever switched off, so that a later
/// answer of yes within a run means that an earlier one was yes too.
#[inline(always)]
pub fn attributes() -> bool {
    global!(ATTRIBUTION_ACTIVE) != 0 && !is_set(STOPPED_ATTRIBUTION)
}

/// Whether the probe `sched` keeps thread clocks: chosen, and not stopped since. For hooks that are not its own.
#[inline(always)]
pub fn keeps_thread_clocks() -> bool {
    global!(SCHED_ACTIVE) != 0 && !is_set(STOPPED_SCHED)
}

/// Whether what is said on connections is looked at: chosen, and not stopped since.
#[inline(always)]
pub fn follows_protocols() -> bool {
    global!(ENDPOINTS_ACTIVE) != 0 && !is_set(STOPPED_ENDPOINTS)
}
