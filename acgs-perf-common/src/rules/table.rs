//! Requests that wait: their work so far, by the name of their socket, until a thread goes on with them.
//!
//! A thread that reads one socket must put away the request of another, and has only its name. So there is an array of
//! places, one of which each socket gets at first sight and carries in its name, and behind it a map for those whose
//! place is taken, by the address of their socket. No hook sees the end of a UNIX socket: what it leaves there makes room for
//! the next socket at its address, so that there are never more entries than there were sockets at a time. Places are given
//! out in order, so that those in use lie together: the first look at one is a miss of the caches, and among the costliest
//! loads of all. Redis answers in a second pass over what it has read: there each request is put away once.

use super::Table;
use super::activity::Activity;
use super::runnable::Request;
use super::standing::{Mark, Standing};
use super::transfer::copy;
use crate::ledger::Loss;
use crate::maps::PARKING_PLACES;
use crate::opaque;

/// An entry that nobody has asked for in this time gives its place to another.
const STALE_NS: i64 = 60_000_000_000;

/// A kernel address has only ones above.
const ADDRESS_BITS: u32 = 48;

/// The name of the socket at `address` whose requests wait in the place with this number, of which as many bits count as needed.
#[inline(always)]
#[must_use]
pub const fn name(address: u64, place: u64) -> u64 {
    (place & (PARKING_PLACES as u64 - 1)) << ADDRESS_BITS | address & ((1 << ADDRESS_BITS) - 1)
}

/// The address of a request's socket, by which it is found in the map.
#[inline(always)]
const fn address(request: u64) -> u64 {
    request & ((1 << ADDRESS_BITS) - 1)
}

/// The place of a request.
#[inline(always)]
#[allow(clippy::mut_from_ref, reason = "as in `Table`")]
pub fn place_of<T: Table>(table: &T, request: u64) -> Option<&mut Activity> {
    table.place((request >> ADDRESS_BITS) as u32 & (PARKING_PLACES - 1))
}

/// The entry for this very request, if there is one and no other thread is at it.
#[inline(always)]
#[allow(clippy::mut_from_ref, reason = "as in `Table`")]
pub fn find<T: Table>(table: &T, request: u64, began: u64) -> Option<&mut Activity> {
    let mut entry = place_of(table, request)?;
    if entry.request != request {
        entry = table.spilled(address(request))?;
    }
    (entry.request == request && entry.began == began && !entry.standing.is_out_of_reach()).then_some(entry)
}

/// Takes an entry, so that no other thread goes on with it, answers it or writes it down before it is let go; how it stands then. `None`
/// where another thread has it. Threads on two CPUs can be at one request at the same moment: one that was woken for it puts it away, while
/// another one, which has found it in a queue, replies.
#[inline(always)]
pub fn take<T: Table>(table: &T, entry: &mut Activity) -> Option<Standing> {
    let standing = opaque::reload(&entry.standing);
    let taken = standing.taken();
    (standing != taken && table.exchange(&mut entry.standing, standing, taken)).then_some(taken)
}

/// Lets go of an entry, which stands as `taken`: from now on as `standing`, unless its request was answered meanwhile by a thread that could
/// not take it.
#[inline(always)]
pub fn let_go<T: Table>(table: &T, entry: &mut Activity, taken: Standing, standing: Standing) {
    let _answered = !table.exchange(&mut entry.standing, taken, standing);
}

/// Writes work down in an entry; where another thread is at it, that knows better.
#[inline(always)]
fn write_down<T: Table>(table: &T, entry: &mut Activity, work: &mut Activity) {
    if let Some(taken) = take(table, entry) {
        copy(entry, work);
        let_go(table, entry, taken, work.standing);
    }
}

/// The request of a socket if it waits for something unknown since thread `by` put it away, and when that was.
#[inline(always)]
pub fn waiting<T: Table>(table: &T, id: u64, by: u32) -> Option<(Request, u64)> {
    let entry = place_of(table, id)?;
    let waits = entry.request == id && entry.standing.waits_alone() && entry.calls == 0 && entry.parked_by == by;
    waits.then_some((Request { id, began: entry.began }, entry.at))
}

/// Whether the request of a socket was put away by this worker, which has done its job.
#[inline(always)]
pub fn has_done<T: Table>(table: &T, id: u64, worker: u32) -> bool {
    place_of(table, id)
        .is_some_and(|entry| entry.request == id && entry.parked_by == worker && entry.standing.is_finished())
}

/// Puts the work of thread `by` away.
#[inline(always)]
pub fn park<T: Table>(table: &T, activity: &mut Activity, by: u32) {
    activity.standing.park();
    activity.parked_by = by;
    let request = activity.request;
    let Some(entry) = place_of(table, request) else { return };
    if entry.request == request {
        let later = entry.began.wrapping_sub(activity.began) as i64;
        if later > 0 || (later == 0 && (entry.standing.is_out_of_reach() || entry.calls > activity.calls)) {
            return; // another thread has answered it, and may have read the next one of its connection; or has called a peer for it
        }
    }
    if entry.request == 0
        || entry.request == request
        || entry.standing.is_done()
        || activity.at.wrapping_sub(entry.at) as i64 > STALE_NS
    {
        write_down(table, entry, activity);
        return;
    }
    activity.standing.mark(Mark::Spilled);
    let key = address(request);
    if let Some(spilled) = table.spilled(key) {
        // Of two sockets that were at one address, and of two requests, the one that was read later lives.
        let later = spilled.began.wrapping_sub(activity.began) as i64;
        if later > 0 || (later == 0 && spilled.request != request) {
            return;
        }
    } else {
        // Linux 6.1 takes a new entry only from a map or the stack, not from an argument. So it begins as a copy of what
        // has the place, which nobody takes for this request, since that began at another time.
        let neighbour: &Activity = entry; // by reference: there is no room for a copy on the stack
        if !table.spill(key, neighbour) {
            table.lose(Loss::RequestTableFull);
            return;
        }
        if let Some(spilled) = table.spilled(key) {
            // Another thread may be at the neighbour: nothing that the copy says holds.
            spilled.standing.unmark(Mark::Plain);
            spilled.standing.answered();
        }
    }
    // Looked up anew either way: from here on the verifier follows one way, not two.
    if let Some(spilled) = table.spilled(key) {
        write_down(table, spilled, activity);
    }
}

/// Forgets a request that is answered; `standing` is that of its work.
#[inline(always)]
pub fn forget_answered<T: Table>(table: &T, request: u64, began: u64, standing: Standing) {
    if standing.may_be_found() {
        table.forget_tabled(request, began, standing);
    }
}

/// Forgets an answered request that may be in the table.
#[inline(always)]
pub fn forget_tabled<T: Table>(table: &T, request: u64, began: u64, standing: Standing) {
    let Some(entry) = place_of(table, request) else { return };
    let is_here = entry.request == request;
    // A thread that still has a copy must not put it back: it finds the mark of what was answered.
    let leaves_mark = standing.is_spread() && (is_here || entry.request == 0 || entry.standing.is_over());
    if is_here || leaves_mark {
        entry.request = request;
        entry.began = began;
        entry.standing.answered();
    }
    if standing.has(Mark::Spilled) || (standing.is_tabled() && !is_here) {
        forget_spilled(table, request);
    }
}

/// Takes a request out of the map, and leaves another one at its address there.
#[inline(always)]
fn forget_spilled<T: Table>(table: &T, request: u64) {
    let key = address(request);
    if table.spilled(key).is_some_and(|entry| entry.request == request) {
        table.unspill(key);
    }
}

/// Forgets whatever there is of a socket that is closed.
#[inline(always)]
pub fn forget<T: Table>(table: &T, request: u64) {
    if let Some(entry) = place_of(table, request)
        && entry.request == request
    {
        entry.standing.answered(); // and whoever still has a copy must not put it back
    }
    forget_spilled(table, request);
}
