//! Requests that wait: their work so far, by the name of their socket, until a thread goes on with them.
//!
//! A thread that reads one socket must put away the request of another, and has only its name. So there is an array of
//! places, one of which each socket gets at first sight and carries in its name, and behind it a hash map for those whose
//! place is taken, by the address of their socket. No hook sees the end of a UNIX socket: what it leaves there makes room for
//! the next socket at its address, so that there are never more entries than there were sockets at a time. Places are given
//! out in order, so that those in use lie together: the first look at one is a miss of the caches, and among the costliest
//! loads of all. Redis answers in a second pass over what it has read: there each request is put away once.

use acgs_perf_common::ledger::Loss;
use acgs_perf_common::maps::{PARKED_REQUESTS, PARKING_PLACES};
use aya_ebpf::btf_maps::{Array, HashMap};
use aya_ebpf::macros::btf_map;

use crate::count::{lose, prefetch};
use crate::flags::{MMAPABLE, NO_PREALLOC};
use crate::kernel::sock::Sock;
use crate::state::socket::SocketState;
use acgs_perf_common::rules::activity::{Activity, DONE, KNOWN, PLAIN, SPILLED, SPREAD, TABLED};
use acgs_perf_common::rules::runnable::Request;
use acgs_perf_common::rules::transfer::copy;
use acgs_perf_common::subprogram;

/// Places of `PARKING` given out so far.
#[btf_map]
static NEXT_PLACE: Array<u64, 1> = Array::new();
/// Requests that wait, each in the place that its socket's name gives; see above. The agent has no use for it: an
/// array that can be mapped begins with a page, and so each place with a cache line.
#[btf_map]
static PARKING: Array<Activity, { PARKING_PLACES as usize }, MMAPABLE> = Array::new();
/// Requests whose place is taken, by the address of their socket. Memory is taken only for those that do wait. No LRU hash map:
/// that takes memory for all entries at once (46 MB), and drops requests that still wait before it is full.
#[btf_map]
static PARKED: HashMap<u64, Activity, { PARKED_REQUESTS as usize }, NO_PREALLOC> = HashMap::new();

/// An entry that nobody has asked for in this time gives its place to another.
const STALE_NS: i64 = 60_000_000_000;

/// A kernel address has only ones above.
const ADDRESS_BITS: u32 = 48;

/// A number that names the socket: its address, and where its requests wait. The verifier lets nobody compute with the
/// pointer itself, so the number goes through memory.
#[inline(always)]
pub fn id_of(socket: &mut SocketState, sk: Sock) -> u64 {
    if socket.id == 0 {
        socket.id = sk.address();
        socket.id = new_id(socket.known_id());
    }
    socket.known_id()
}

/// The name of the socket at `address`, with the next place in the array.
#[inline(always)]
fn new_id(address: u64) -> u64 {
    let mut next = 0;
    if let Some(slot) = NEXT_PLACE.get_ptr_mut(0) {
        // SAFETY: the pointer is into the map's value. Two CPUs may give out one place twice, which the hash map makes good.
        unsafe {
            next = slot.read_volatile();
            slot.write_volatile(next.wrapping_add(1));
        }
    }
    (next & (PARKING_PLACES as u64 - 1)) << ADDRESS_BITS | address & ((1 << ADDRESS_BITS) - 1)
}

/// The address of a request's socket, by which it is found in the hash map.
#[inline(always)]
fn address(request: u64) -> u64 {
    request & ((1 << ADDRESS_BITS) - 1)
}

/// The place of a request in the array.
#[inline(always)]
fn place(request: u64) -> Option<&'static mut Activity> {
    let index = (request >> ADDRESS_BITS) as u32 & (PARKING_PLACES - 1);
    // SAFETY: the pointer is into the map's value; entries are changed by the threads that work for the request, in turn.
    PARKING.get_ptr_mut(index).map(|entry| unsafe { &mut *entry })
}

/// Prefetches the first cache line of a request's place.
#[inline(always)]
pub fn prefetch_place(request: u64) {
    if let Some(entry) = place(request) {
        prefetch(&raw mut entry.request);
    }
}

/// The entry for this very request, if there is one.
#[inline(always)]
pub fn find(request: u64, began: u64) -> Option<&'static mut Activity> {
    let mut entry = place(request)?;
    if entry.request != request {
        // SAFETY: as in `place`.
        entry = unsafe { &mut *PARKED.get_ptr_mut(address(request))? };
    }
    (entry.request == request && entry.began == began && !entry.is(DONE)).then_some(entry)
}

/// The request of a socket if it waits for something unknown since thread `by` put it away.
#[inline(always)]
pub fn waiting(id: u64, by: u32) -> Option<Request> {
    let entry = place(id)?;
    let waits = entry.request == id
        && entry.flags & (KNOWN | DONE | SPREAD) == KNOWN
        && entry.calls == 0
        && entry.parked_by == by;
    waits.then_some(Request { id, began: entry.began })
}

subprogram! {
    /// Puts the work of thread `by` away.
    pub fn park = request_park(activity: &mut Activity; by: u32) {
        activity.flags |= TABLED;
        activity.parked_by = by;
        let request = activity.request;
        let Some(entry) = place(request) else { return };
        if entry.request == request && entry.began == activity.began && entry.is(DONE) {
            return; // another thread has answered it
        }
        if entry.request == 0
            || entry.request == request
            || entry.is(DONE)
            || activity.at.wrapping_sub(entry.at) as i64 > STALE_NS
        {
            copy(entry, activity);
            return;
        }
        activity.flags |= SPILLED;
        let key = address(request);
        if let Some(spilled) = PARKED.get_ptr(key) {
            // SAFETY: as in `place`.
            let spilled = unsafe { &*spilled };
            // Of two sockets that were at one address, the one that was read later lives.
            if spilled.request != request && activity.began.wrapping_sub(spilled.began) as i64 <= 0 {
                return;
            }
        } else {
            // Linux 6.1 takes a new entry only from a map or the stack, not from an argument. So it begins as a copy of what
            // has the place, which nobody takes for this request, since that began at another time.
            let neighbour: &Activity = entry; // by reference: there is no room for a copy on the stack
            if PARKED.insert(key, neighbour, 0).is_err() {
                lose(Loss::RequestTableFull);
                return;
            }
        }
        // Looked up anew either way: from here on the verifier follows one way, not two.
        if let Some(spilled) = PARKED.get_ptr_mut(key) {
            // SAFETY: as in `place`.
            copy(unsafe { &mut *spilled }, activity);
        }
    }
}

/// Forgets a request that is answered; `flags` are those of its work.
#[inline(always)]
pub fn forget_answered(request: u64, began: u64, flags: u32) {
    if flags & (TABLED | SPREAD) != 0 {
        forget_tabled(request, began, flags);
    }
}

subprogram! {
    /// Forgets an answered request that may be in the table.
    fn forget_tabled = request_settle(; request: u64, began: u64, flags: u32) {
        let Some(entry) = place(request) else { return };
        let is_here = entry.request == request;
        // A thread that still has a copy must not put it back.
        let leaves_mark = flags & SPREAD != 0 && (is_here || entry.request == 0 || entry.is(DONE));
        if is_here || leaves_mark {
            entry.request = if leaves_mark { request } else { 0 };
            entry.began = began;
            entry.flags = DONE | (entry.flags & PLAIN);
        }
        if flags & SPILLED != 0 || (flags & TABLED != 0 && !is_here) {
            forget_spilled(request);
        }
    }
}

/// Takes a request out of the hash map, and leaves another one at its address there.
#[inline(always)]
fn forget_spilled(request: u64) {
    let key = address(request);
    // SAFETY: as in `place`.
    if PARKED.get_ptr(key).is_some_and(|entry| unsafe { (*entry).request } == request) {
        let _gone_meanwhile = PARKED.remove(key);
    }
}

/// Forgets whatever there is of a socket that is closed.
#[inline(always)]
pub fn forget(request: u64) {
    if let Some(entry) = place(request)
        && entry.request == request
    {
        entry.request = 0;
    }
    forget_spilled(request);
}
