//! Sums of requests that end otherwise than by a reply, per service.
//!
//! In: what became of a request. Out: words as `acgs_perf_common::fates` lays them out. Such ends are rare, so there is one copy for
//! all CPUs.

use acgs_perf_common::fates::{
    ABANDONED, ABANDONED_BUCKETS, ABANDONED_SUM, CUT_OFF, FAREWELLS, INTO_CLOSED, ONE_WAY, fates_base,
};
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

/// A client has left that had waited for so long, for the replies to so many requests.
#[inline(always)]
pub fn abandoned(service: u32, waited: u64, requests: u64) {
    add(service, ABANDONED, requests);
    add(service, ABANDONED_SUM, waited.wrapping_mul(requests));
    add(service, ABANDONED_BUCKETS + bucket_index(waited).min(BUCKETS) as u32, requests);
}

/// A request was answered although its client had left.
#[inline(always)]
pub fn answered_into_closed(service: u32) {
    add(service, INTO_CLOSED, 1);
}

/// A client said so many things, closed its end, and waited for no reply.
#[inline(always)]
pub fn farewell(service: u32, messages: u64) {
    add(service, FAREWELLS, messages);
}

/// Messages have come on a connection on which the service never sends.
#[inline(always)]
pub fn one_way(service: u32, messages: u64) {
    add(service, ONE_WAY, messages);
}

/// The service closed a connection instead of answering so many requests.
#[inline(always)]
pub fn cut_off(service: u32, requests: u64) {
    add(service, CUT_OFF, requests);
}
