//! Sums of requests that end otherwise than by a reply, per service.
//!
//! In: what became of a request. Out: words as `acgs_perf_common::fates` lays them out. Such ends are rare, so there is one copy for
//! all CPUs.

use acgs_perf_common::fates::{ABANDONED, ABANDONED_BUCKETS, ABANDONED_SUM, CUT_OFF, INTO_CLOSED, fates_base};
use acgs_perf_common::histogram::{BUCKETS, bucket_index};
use aya_ebpf::btf_maps::Array;
use aya_ebpf::macros::btf_map;

use crate::count::{atomic_add, counted};
use crate::flags::MMAPABLE;

/// Sums by service.
#[btf_map]
static FATES: Array<u64, 1, MMAPABLE> = Array::new();

/// Adds while the window is open.
#[inline(always)]
fn add(service: u32, word: u32, value: u64) {
    if let Some(slot) = FATES.get_ptr_mut(fates_base(counted(service)) + word) {
        atomic_add(slot, value);
    }
}

/// A client has left that had waited for so long.
#[inline(always)]
pub fn abandoned(service: u32, waited: u64) {
    add(service, ABANDONED, 1);
    add(service, ABANDONED_SUM, waited);
    add(service, ABANDONED_BUCKETS + bucket_index(waited).min(BUCKETS) as u32, 1);
}

/// A request was answered although its client had left.
#[inline(always)]
pub fn answered_into_closed(service: u32) {
    add(service, INTO_CLOSED, 1);
}

/// The service closed a connection instead of answering.
#[inline(always)]
pub fn cut_off(service: u32) {
    add(service, CUT_OFF, 1);
}
