//! Requests of event loops and runtimes that sleep: what a loop waits for, besides events, is its next timer.
//!
//! In: waits for events with a time limit. Out: whether a request, of which nothing is known but that it waited, goes on because a timer is due,
//! and since when it has slept then. A loop has its timers for itself. In a runtime, as in Go, one thread waits for the next timer of all, now
//! this one and now that one, and others go on with what is due: there the timers are the process's.

use super::Table;
use super::activity::Activity;
use super::limit::LOOK_NS;
use super::thread::ThreadState;
use super::timer::{NS_PER_MS, Timers};
use crate::attribution::Component;

/// The thread, which blocks now, waits for events until its next timer, perhaps since other events have woken it.
#[inline(always)]
pub fn waits_for_timer<T: Table>(table: &T, thread: &mut ThreadState, now: u64) {
    let due = thread.limit;
    if due == 0 {
        return;
    }
    let goes_on = goes_on_sleeping(thread, now);
    if thread.takes == 0 {
        thread.timer.is_awaited(due, goes_on, now);
        return;
    }
    let process = u64::from(table.process());
    let Some(timers) = table.timers(process as u32) else { return };
    if timers.process != process {
        *timers = Timers { process, ..Timers::default() };
    }
    if !goes_on && !timers.next.is_at(due) && timers.next.due.wrapping_sub(now) as i64 <= NS_PER_MS as i64 {
        timers.last = timers.next;
    }
    timers.next.is_awaited(due, goes_on, now);
}

/// Whether the thread, which blocks now, has only looked for what is due since its last wait ended by itself, and found that it is too early.
#[inline(always)]
pub fn goes_on_sleeping(thread: &ThreadState, now: u64) -> bool {
    thread.slept_since != 0 && thread.activity.standing.is_only_woken() && now.wrapping_sub(thread.since) < LOOK_NS
}

/// Whether a timer of a loop is due since its last wait ended, however that ended: loops wait until their next timer, in milliseconds that are
/// rounded up, and look at their timers after each wait.
#[inline(always)]
const fn is_due(thread: &ThreadState) -> bool {
    let limit = thread.limit;
    limit != 0 && (thread.woke_at + NS_PER_MS).wrapping_sub(limit) as i64 >= 0
}

/// Whether a request of an event loop, of which nothing is known but that it waited, goes on because a timer of the loop is due.
#[inline(always)]
pub fn lets_go_on(thread: &ThreadState, entry: &Activity) -> bool {
    // Who has a pool may have been woken by that, unless its wait has ended by itself.
    let may_be_result = thread.pool_sleeps != 0 && thread.activity.waited_in != Component::Sleep as u32;
    let has_timers = thread.takes == 0 && !may_be_result && is_due(thread);
    has_timers && entry.outstanding == 0 && entry.standing.waits_alone()
}

/// Since when a request of an event loop, which has waited since `waiting` and goes on because a timer is due, has slept.
#[inline(always)]
pub const fn slept_since(thread: &ThreadState, waiting: u64) -> u64 {
    thread.timer.slept_since(waiting)
}

/// Since when a request of a runtime, of which nothing is known but that it has waited since `waiting`, has slept, if it goes on at `now` because
/// a timer of its process is due.
#[inline(always)]
pub fn slept_in_runtime<T: Table>(table: &T, thread: &ThreadState, waiting: u64, now: u64) -> Option<u64> {
    if thread.takes == 0 {
        return None;
    }
    let process = table.process();
    let timers = table.timers(process)?;
    if timers.process != u64::from(process) {
        return None;
    }
    if timers.next.has_let_go_on(now) {
        Some(timers.next.slept_since(waiting))
    } else if timers.last.has_let_go_on(now) {
        Some(timers.last.slept_since(waiting))
    } else {
        None
    }
}
