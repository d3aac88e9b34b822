//! Timers of event loops and runtimes: what a loop waits for, besides events, is its next timer.
//!
//! In: waits for events with a time limit. Out: whether a request, of which nothing is known but that it waited, goes on because a timer is due,
//! and since when it has slept then. A loop has its timers for itself. In a runtime, as in Go, one thread waits for the next timer of all, now
//! this one and now that one, and others go on with what is due: there the timers are the process's.

use super::Table;
use super::activity::Activity;
use super::limit::{LOOK_NS, NS_PER_MS, is_as_long};
use super::thread::ThreadState;
use crate::attribution::Component;

/// A runtime goes on with what is due in so short a time, if it has a CPU.
const GOES_ON_NS: u64 = 2 * NS_PER_MS;
/// Processes whose timers are known, a power of two.
pub const PROCESSES: u32 = 64;

/// A timer, as the waits for it show it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Timer {
    /// When it is due.
    pub due: u64,
    /// Since when it is waited for, however often other events have ended the wait.
    pub since: u64,
    /// For how long the timer before was waited for.
    pub before: u64,
}

/// The timers of a process whose threads wait for them in turn.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Timers {
    /// Whose they are.
    process: u64,
    /// The one that is waited for, or was waited for last.
    next: Timer,
    /// The one before, if it was due.
    last: Timer,
}

impl Timer {
    /// It is waited for since `now`: another one, unless the thread goes on with a wait that was rounded down, or both are due at one moment.
    #[inline(always)]
    fn is_awaited(&mut self, due: u64, goes_on: bool, now: u64) {
        if goes_on {
            self.due = due;
        } else if !self.is_at(due) {
            *self = Self { due, since: now, before: self.due.wrapping_sub(self.since) };
        }
    }

    #[inline(always)]
    const fn is_at(&self, due: u64) -> bool {
        due.wrapping_sub(self.due).wrapping_add(NS_PER_MS) <= 2 * NS_PER_MS
    }

    /// Whether each timer is set when the one before was due, as where one after the other sleeps while it holds a lock: both were as long. Timers
    /// of requests that have nothing to do with each other are hidden behind those that are due earlier, for times that differ; where there are
    /// so many that the next one is never far, all waits are rounded to the same millisecond.
    #[inline(always)]
    const fn is_set_in_turn(&self) -> bool {
        let awaited = self.due.wrapping_sub(self.since);
        awaited > NS_PER_MS && is_as_long(awaited, self.before)
    }

    /// Whether what goes on at `now` may do so because of this timer: waits are rounded up to milliseconds.
    #[inline(always)]
    const fn has_let_go_on(&self, now: u64) -> bool {
        self.due != 0 && now.wrapping_sub(self.due).wrapping_add(NS_PER_MS) < NS_PER_MS + GOES_ON_NS
    }

    /// Since when who has waited since `waiting` has slept.
    #[inline(always)]
    const fn slept_since(&self, waiting: u64) -> u64 {
        if self.is_set_in_turn() && self.since > waiting { self.since } else { waiting }
    }
}

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
