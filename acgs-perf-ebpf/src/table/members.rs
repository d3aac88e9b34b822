//! Which service a process belongs to: a byte for each process id, or sets where ids may be large.
//!
//! In: a process id. Out: its service. Both kinds of table are words, and one load tells of most strangers that they are.

use acgs_perf_common::ledger::Loss;
use acgs_perf_common::members::{self, set_of};
use aya_ebpf::btf_maps::Array;
use aya_ebpf::macros::btf_map;

use super::bytes;
use crate::count::replaced;
use crate::flags::MMAPABLE;
use crate::globals::global;

/// tgid → service + 1, one byte each, eight to an entry; or sets of members.
#[btf_map]
static SERVICE_OF_TGID: Array<[u8; 8], 1, MMAPABLE> = Array::new();
/// A set that another CPU changes at the same moment is tried again.
const TRIES: u32 = 8;

/// Service + 1 of a process, 0 for a stranger.
#[inline(always)]
pub fn get(tgid: u32) -> u32 {
    if global!(MEMBER_SETS) == 0 {
        return bytes::raw(&SERVICE_OF_TGID, tgid);
    }
    let Some(set) = SERVICE_OF_TGID.get_ptr(set_of(tgid)) else { return 0 };
    // SAFETY: the pointer is into the map's value, a word.
    let set = unsafe { set.cast::<u64>().read_volatile() };
    if set == 0 { 0 } else { members::service_byte(set, tgid) }
}

/// A process joins a service, or leaves it.
#[inline(always)]
pub fn set(tgid: u32, service: Option<u32>) -> Result<(), Loss> {
    if global!(MEMBER_SETS) == 0 {
        return bytes::set(&SERVICE_OF_TGID, tgid, service);
    }
    let word = SERVICE_OF_TGID.get_ptr_mut(set_of(tgid)).ok_or(Loss::ServiceTable)?.cast::<u64>();
    for _ in 0..TRIES {
        // SAFETY: as in `get`.
        let before = unsafe { word.read_volatile() };
        let after = members::with(before, tgid, service.map_or(0, |s| s + 1)).ok_or(Loss::ServiceTable)?;
        if replaced(word, before, after) {
            return Ok(());
        }
    }
    Err(Loss::ServiceTable)
}
