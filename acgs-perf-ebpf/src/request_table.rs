//! Requests that wait: their work so far, by the address of their socket, until a thread goes on with them.
//!
//! A hash map, because a thread that reads one socket must put away the request of another. It is touched only when a
//! request waits or changes threads, never by one that is read, computed and answered in one go.

use crate::Loss;
use crate::activity::{Activity, TABLED};
use crate::maps::PARKED;

/// The entry for this very request, if there is one.
#[inline(always)]
pub fn find(request: u64, began: u64) -> Option<&'static mut Activity> {
    let entry = PARKED.get_ptr_mut(request)?;
    // SAFETY: `entry` points into the map's value; entries are changed by the threads that work for the request, in turn.
    let entry = unsafe { &mut *entry };
    (entry.began == began).then_some(entry)
}

/// Puts the work of thread `by` away.
#[inline(always)]
pub fn park(activity: &mut Activity, by: u32) -> Result<(), Loss> {
    activity.flags |= TABLED;
    activity.parked_by = by;
    match PARKED.get_ptr_mut(activity.request) {
        // SAFETY: as in `find`.
        Some(entry) => unsafe { *entry = *activity },
        None => PARKED.insert(activity.request, activity, 0).map_err(|_| Loss::RequestTableFull)?,
    }
    Ok(())
}

/// Forgets a request.
#[inline(always)]
pub fn remove(request: u64) {
    let _was_not_there = PARKED.remove(request);
}
