//! What the agent sets: the read-only globals, once before the programs are loaded, and the switches, while they run.
//!
//! In: nothing of this crate. Out: `offset!` and `global!`, which read a global, and whether this or that is on.

use acgs_perf_common::fields::Fields;
use acgs_perf_common::maps::{COUNTING, STOPPED_ATTRIBUTION, STOPPED_ENDPOINTS, STOPPED_SCHED, Switches};

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

/// What the agent has switched on and off since the programs were loaded, and when the window is open. A section of its own is a map
/// of its own, which the agent maps into its memory; and a variable's address is a constant, where a look into an array is ten steps.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".data.switches")] // `SWITCHES_SECTION`
static mut SWITCHES: Switches = Switches::SHUT;

/// Reads a field of the switches, which the agent changes meanwhile.
macro_rules! switch {
    ($field:ident) => {
        // SAFETY: the variable is valid.
        unsafe { (&raw const SWITCHES.$field).read_volatile() }
    };
}

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
    switch!(bits) & bit != 0
}

/// Whether the window is open: what happens now is part of the recording.
#[inline(always)]
pub fn counts() -> bool {
    is_set(COUNTING)
}

/// How much of the time from `since` to `now` lies in the window.
#[inline(always)]
pub fn within_window(since: u64, now: u64) -> u64 {
    now.min(switch!(closed_ns)).saturating_sub(since.max(switch!(opened_ns)))
}

/// By how much the wall clock is ahead of the programs' clock.
#[inline(always)]
pub fn wall_ahead_ns() -> u64 {
    switch!(wall_ahead_ns)
}

/// When the window was closed; a moment that has not come before.
#[inline(always)]
pub fn closed_ns() -> u64 {
    switch!(closed_ns)
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
