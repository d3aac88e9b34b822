//! The kernel's clock, and the time between two readings of it.

use acgs_perf_common::ledger::Loss;
use aya_ebpf::helpers::generated::bpf_ktime_get_ns;

use acgs_perf_common::opaque::reload;

/// Monotonic time in ns; about 40 ns a call, so at most once per event and only after the filters.
#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_ktime_get_ns() }
}

/// The clock can step back where the kernel corrects its pace while a program reads it: by less than this, in ns. See
/// `ktime_get_mono_fast_ns`, which says so of itself: <https://docs.kernel.org/core-api/timekeeping.html>.
const STEP_BACK: u64 = 1_000;

/// Time from `since` to `now`.
#[inline(always)]
pub fn elapsed(since: u64, now: u64) -> Result<u64, Loss> {
    let ns = now.wrapping_sub(since);
    let sign = (ns as i64 >> 63) as u64;
    // A mask instead of a branch, and through memory so that the compiler makes none of it: the verifier would go through all
    // that follows twice, half as many instructions again in `sys_exit`.
    let negative = reload(&sign);
    if ns.wrapping_neg() & negative >= STEP_BACK {
        return Err(Loss::NegativeDifference);
    }
    Ok(ns & !negative)
}
