//! Which service a process belongs to; see `acgs_perf_common::members`.
//!
//! In: what the agent has found, and what processes do since: listen, fork, exit. Out: the service of a process.

use acgs_perf_common::ledger::Loss;
use acgs_perf_common::members::{MEMBER_SETS, MORE_MEMBERS, find, is_full, set_of, with, without};
use acgs_perf_common::subprogram;
use aya_ebpf::btf_maps::HashMap;
use aya_ebpf::macros::btf_map;

use crate::count::{lose, replaced};
use crate::flags::NO_PREALLOC;
use crate::kernel::task::Task;

/// Members by set. A variable: each event of the host asks it, and a look into an array is ten steps.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".data.members")] // `MEMBERS_SECTION`
static mut MEMBERS: [u64; MEMBER_SETS as usize] = [0; MEMBER_SETS as usize];
/// tgid → service + 1 of those that found no room in their set. A hash map: asked only where a set was full.
#[btf_map]
static MORE_MEMBERS_OF: HashMap<u64, u64, { MORE_MEMBERS as usize }, NO_PREALLOC> = HashMap::new();

/// How often a change of a set is tried, in case others change it at the same time.
const TRIES: u32 = 3;

/// Service + 1 of a process, 0 for a stranger: for callers that keep two at once. (LLVM spills the undefined half of an
/// `Option` there, which the verifier refuses.)
#[inline(always)]
pub fn service_byte_of_tgid(tgid: u32) -> u32 {
    // SAFETY: the place is in the table, which others may change meanwhile.
    let set = unsafe { set_at(tgid).read_volatile() };
    if set == 0 {
        return 0;
    }
    let service = find(set, tgid);
    if service == 0 && is_full(set) {
        return member_more(tgid);
    }
    service
}

/// Where the set of a process is.
#[inline(always)]
fn set_at(tgid: u32) -> *mut u64 {
    // SAFETY: the table has so many sets.
    unsafe { (&raw mut MEMBERS).cast::<u64>().add(set_of(tgid) as usize) }
}

/// A function that the verifier goes through once.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn member_more(tgid: u32) -> u32 {
    // SAFETY: the pointer is into the map's value.
    MORE_MEMBERS_OF.get_ptr(u64::from(tgid)).map_or(0, |service| unsafe { service.read_volatile() } as u32)
}

/// Service of a process, from 0.
#[inline(always)]
pub fn service_of_tgid(tgid: u32) -> Option<u32> {
    service_byte_of_tgid(tgid).checked_sub(1)
}

/// Service of the running process.
#[inline(always)]
pub fn current_service() -> Option<u32> {
    service_of_tgid(Task::current().tgid())
}

/// A process joins a service.
#[inline(always)]
pub fn joins(tgid: u32, service: u32) {
    set(tgid, service + 1);
}

/// A process that is a member is one no longer.
#[inline(always)]
pub fn leaves(tgid: u32) {
    set(tgid, 0);
}

subprogram! {
    fn set = member_set(; tgid: u32, service: u32) {
        if !is_set(tgid, service) {
            lose(Loss::ServiceTable);
        }
    }
}

#[inline(always)]
fn is_set(tgid: u32, service: u32) -> bool {
    let place = set_at(tgid);
    for _ in 0..TRIES {
        // SAFETY: as in `service_byte_of_tgid`.
        let set = unsafe { place.read_volatile() };
        let new = if service == 0 { without(set, tgid) } else { with(set, tgid, service.wrapping_sub(1)).unwrap_or(0) };
        if service != 0 && new == 0 {
            return MORE_MEMBERS_OF.insert(u64::from(tgid), u64::from(service), 0).is_ok();
        }
        if replaced(place, set, new) {
            if service == 0 && is_full(set) {
                let _was_there = MORE_MEMBERS_OF.remove(u64::from(tgid));
            }
            return true;
        }
    }
    false
}
