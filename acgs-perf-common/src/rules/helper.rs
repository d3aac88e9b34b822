//! Helpers: a thread gives its request to another one and waits until that is done, as who waits for the result of a job does.
//!
//! In: what a thread gives away, and who wakes it. Out: its request has spent the time as the helper has, and not in a wait for a lock.

use super::activity::{Activity, LOCK};
use super::thread::ThreadState;
use super::transfer::copy;
use crate::state::State;

/// Of the time since it gave its request away, this part at most is a thread's own work if it only waits for the helper.
const OWN_PART: u64 = 4;

/// The thread has given what it works on to another one, or has got it back from there.
#[inline(always)]
pub fn gives(thread: &mut ThreadState, now: u64) {
    (thread.gave_at, thread.gave_locked) = (now, thread.activity.parts[LOCK]);
}

/// Whether the thread, which is woken from `state`, has given the request that it has read to another one, and has done little but wait for
/// locks since. That wait is accounted.
#[inline(always)]
pub fn may_await(thread: &ThreadState, state: u32, now: u64) -> bool {
    let work = &thread.activity;
    if state != State::Lock as u32 || thread.gave_at == 0 || !work.standing.is_own_and_spread() {
        return false;
    }
    let since = now.wrapping_sub(thread.gave_at);
    let locked = work.parts[LOCK].wrapping_sub(thread.gave_locked);
    since.wrapping_sub(locked) <= since / OWN_PART
}

/// The thread goes on with its request as its helper has left it, if that is the same one.
#[inline(always)]
pub fn comes_back(thread: &mut ThreadState, helper: &mut Activity, now: u64) {
    let work = &mut thread.activity;
    if !helper.is_for(work.request, work.began) {
        return;
    }
    let (standing, depth, waited) = (work.standing, work.depth, (work.waited_in, work.waited_since));
    helper.standing.spread();
    copy(work, helper);
    work.standing = standing.with_account_of(helper.standing);
    (work.depth, work.touched) = (depth, now);
    (work.waited_in, work.waited_since) = waited;
    gives(thread, now);
}
