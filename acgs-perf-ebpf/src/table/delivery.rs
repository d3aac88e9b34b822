//! Sums of replies that did not leave at once, or went on after a pause, per service.
//!
//! In: for how long a reply was held, as far as it is known; the latency before a pause. Out: words as `acgs_perf_common::delivery`
//! lays them out. Such replies are the exception, so there is one copy for all CPUs.

use acgs_perf_common::attribution::{ATTRIBUTION_BUCKETS, attribution_bucket};
use acgs_perf_common::delivery::{HELD, HELD_BUCKETS, HELD_SUMS, PUSH_BUCKETS, PUSHES, PUSHES_SUM, delivery_base};
use aya_ebpf::btf_maps::Array;
use aya_ebpf::macros::btf_map;

use crate::count::atomic_add;
use crate::flags::MMAPABLE;

/// Sums by service.
#[btf_map]
static DELIVERY: Array<u64, 1, MMAPABLE> = Array::new();

#[inline(always)]
fn add(service: u32, word: u32, value: u64) {
    if let Some(slot) = DELIVERY.get_ptr_mut(delivery_base(service) + word) {
        atomic_add(slot, value);
    }
}

#[inline(always)]
fn bucket(ns: u64) -> u32 {
    HELD_BUCKETS + attribution_bucket(ns).min(ATTRIBUTION_BUCKETS) as u32
}

/// A reply went on after a pause; its latency before was this.
#[inline(always)]
pub fn pushed(service: u32, latency: u64) {
    add(service, PUSHES, 1);
    add(service, PUSHES_SUM, latency);
    add(service, PUSH_BUCKETS + attribution_bucket(latency).min(ATTRIBUTION_BUCKETS) as u32, 1);
}

/// The service has sent messages that are no replies, as their protocol says.
#[inline(always)]
pub fn pushes(service: u32, messages: u64) {
    add(service, PUSHES, messages);
}

/// A reply that was held for `before` so far was held for `ns` more, by the component of this index among those of the delivery.
#[inline(always)]
pub fn held(service: u32, part: u32, before: u64, ns: u64) {
    if before == 0 {
        add(service, HELD, 1);
    } else {
        add(service, bucket(before), 1u64.wrapping_neg());
    }
    add(service, bucket(before.wrapping_add(ns)), 1);
    add(service, HELD_SUMS + part, ns);
}
