//! For what a request has waited that is answered by a thread which does not have it: it was put away, or another thread has read it.
//!
//! In: the thread that replies, and what is known of the request. Out: its row. It has waited for the thread, if that was busy with others', or
//! for whatever has woken the thread, if that had nothing to do; and how sure it is that the thread is one of a runtime's, which take from
//! each other what can go on.

use super::activity::Activity;
use super::row;
use super::sleep;
use super::thread::ThreadState;
use super::turn::{IS_ITS_OWN, IS_SHARED, Wait, catch_up};
use super::worker::{MOMENT_NS, is_misled};
use super::{Served, Table};
use crate::attribution::Component;

/// A request that a thread took from another one weighs as much as so many that it answered itself, not only computing; and is capped.
const TAKE: u32 = 8;
const MAX_TAKES: u32 = 64;
/// Who had nothing to do for less may have been woken for another request.
const IDLE_NS: u64 = 1_000_000;

/// The parked request turns out to be the one that the thread `pid` works for.
#[inline(always)]
pub fn catch_up_at_reply<T: Table>(table: &T, entry: &mut Activity, thread: &mut ThreadState, pid: u32, now: u64) {
    let work = &thread.activity;
    if !work.standing.is_active() {
        entry.charge(Component::Unknown, now, 0);
        return;
    }
    let (start, before) = if work.standing.is_known() { (work.touched, IS_SHARED) } else { (work.began, IS_ITS_OWN) };
    let mut wait = Wait::none(start, before);
    // A loop that slept meanwhile was not told so: who was woken for the job has left it to others.
    let has_slept = thread.woke_at > entry.at + MOMENT_NS;
    let is_finished = entry.standing.is_finished() && !has_slept;
    let is_left = entry.standing.is_handed() && entry.parked_by != pid && has_slept;
    // Who was woken with a result has it.
    let has_result =
        work.standing.is_unknown_job() && thread.woke_at.wrapping_sub(work.began) as i64 > MOMENT_NS as i64;
    let waits_for_result = is_left || (entry.parked_by == pid && entry.standing.waits_alone());
    let may_be_job = thread.pool_sleeps != 0 && (entry.calls == 0 || entry.standing.is_handed());
    if may_be_job && waits_for_result && !has_result {
        table.claim(entry);
    }
    let is_with_worker = entry.parked_by == pid && entry.standing.is_spread();
    // The worker to which it was given is still at its job, or has told long ago that it is done: that was another one's.
    let is_others = is_with_worker || (is_left && entry.standing.is_finished() && thread.runnable.is_queue());
    if may_be_job && (is_others || is_finished) && !is_misled(thread) {
        thread.misled = takes(thread.misled, is_others);
    }
    let is_own = entry.parked_by == pid && !work.standing.is_handed();
    let idle_until = if work.standing.is_handed() { work.woken_at() } else { thread.woke_at };
    let was_idle = idle_until > entry.at;
    let busy_until = earlier(later(thread.idle_since, entry.at), idle_until);
    let waited = idle_until.wrapping_sub(entry.at);
    // Not one that a worker gives back.
    let is_taken = was_idle && entry.parked_by != pid && !entry.standing.is_handed();
    let idle = if is_taken { idle_until - busy_until } else { 0 };
    // Not where it was busy all the time since it put this away.
    let may_have_slept = entry.outstanding == 0 && (was_idle || !is_own);
    let slept_since = if may_have_slept { sleep::slept_in_runtime(table, thread, entry.at, start) } else { None };
    if let Some(since) = slept_since {
        entry.charge(Component::Idle, earlier(since, start), 0);
        (wait.until, wait.component) = (start, Component::Sleep as u32);
    } else if was_idle || (is_own && !is_finished) {
        // Until the thread woke it waited for something, and not for this thread, which had nothing to do; after that the thread worked
        // for others.
        (wait.until, wait.component) = (idle_until, work.waited_in);
        if is_own && sleep::lets_go_on(thread, entry) {
            // Since it was put away, unless it had to wait for others' timers before its own was set.
            wait.component = Component::Sleep as u32;
            entry.charge(Component::Idle, earlier(sleep::slept_since(thread, entry.at), start), 0);
        } else if work.waited_in == Component::Sleep as u32 {
            // A timer, which ended the thread's wait. When it was set nobody knows, nor what the request waited for before.
            entry.charge(Component::Idle, earlier(work.waited_since, start), 0);
        } else if thread.queue_gave != 0 && entry.calls == 0 && entry.standing.waits_alone() {
            // One of several results that a pool has given back at once.
            wait.component = Component::PoolWait as u32;
        } else if !is_own {
            // Before it had nothing to do it was busy with others'.
            entry.charge(thread_wait(thread), busy_until, 0);
        }
    } else if !is_finished {
        (wait.until, wait.component) = (start, thread_wait(thread) as u32);
    }
    if is_own {
        thread.takes = takes(thread.takes, false);
    } else if was_idle || !is_finished {
        thread.takes = takes_after(thread.takes, thread.polled_idle, idle, waited, work.has_blocked());
    }
    catch_up(entry, thread, &mut wait, now);
}

/// Nobody put the request away: another thread has taken it up from a queue without having slept; or it was idle, and then the request
/// waited for whatever woke it, and not for a thread.
#[inline(always)]
pub fn fill_from_queue<T: Table>(table: &T, socket: &mut T::Socket, thread: &mut ThreadState, now: u64) {
    let read = socket.read();
    let (woke_at, idle_since, thread_wait) = (thread.woke_at, thread.idle_since, thread_wait(thread));
    let began = later(thread.activity.began, read);
    let slept_in_runtime = sleep::slept_in_runtime(table, thread, read, began);
    let work = &mut thread.activity;
    if work.standing.is_for_request() && work.standing.is_handed() && work.starts_at(read) {
        // It was given another one, with an event, and replies to that later.
        work.share(now.wrapping_sub(read));
        table.fill(socket, work, now);
        return;
    }
    // It has waited for a CPU, or for the lock of the queue, before it found the request there.
    if !work.standing.is_active() || work.standing.is_known() || !work.starts_at(read) {
        row::clear(socket.row(), now.wrapping_sub(read));
        return;
    }
    let idle_until = if work.standing.is_handed() { work.woken_at() } else { woke_at };
    let idle_until = earlier(later(idle_until, read), began);
    // Before it had nothing to do it was busy with others'.
    let busy_until = earlier(later(idle_since, read), idle_until);
    let (slept, idle) = if let Some(since) = slept_in_runtime {
        let since = earlier(since, began);
        (began - since, since - read)
    } else if work.waited_in == Component::Sleep as u32 {
        let since = earlier(later(work.waited_since, read), idle_until);
        (idle_until - since, since - read)
    } else {
        (0, idle_until - busy_until)
    };
    let (waited, has_blocked) = (began - read, work.has_blocked());
    work.waited_before(Component::Sleep, slept);
    work.waited_before(Component::Idle, idle);
    work.waited_before(thread_wait, waited - slept - idle);
    table.fill(socket, work, now);
    thread.takes = takes_after(thread.takes, thread.polled_idle, idle_until - busy_until, waited, has_blocked);
}

/// How sure it is that a thread takes what others have read, after it has answered such a request, for which it was `idle` for so much of the time
/// that this has `waited`. Who waits for events, and then replies to what another one has read, takes. Who waits for a futex does if that was for
/// a good part of the time: a shorter wait may be for the lock of a queue, or for another request. But a worker of a pool also waits for what its
/// job needs, which a thread of a runtime leaves to others.
#[inline(always)]
const fn takes_after(before: u32, polled: u32, idle: u64, waited: u64, has_blocked: bool) -> u32 {
    let has_taken = if polled != 0 { idle > MOMENT_NS } else { idle > IDLE_NS && idle > waited / 4 };
    if has_taken || has_blocked { takes(before, has_taken) } else { before }
}

/// In what a request waited that the thread took up, which had not been idle meanwhile.
#[inline(always)]
fn thread_wait(thread: &ThreadState) -> Component {
    if thread.takes != 0 {
        // In a runtime it can wait for a lock or a timer that the kernel knows nothing of.
        Component::Idle
    } else if thread.loop_evidence == 0 || thread.activity.standing.is_handed() {
        Component::PoolWait
    } else {
        Component::LoopWait
    }
}

/// How sure it is that a thread takes what others have read, after it has answered a request: one that it took, or not.
#[inline(always)]
pub const fn takes(before: u32, took: bool) -> u32 {
    match took {
        true if before < MAX_TAKES => before + TAKE,
        true => before,
        false => before.saturating_sub(1),
    }
}

#[inline(always)]
fn earlier(one: u64, other: u64) -> u64 {
    if one < other { one } else { other }
}

#[inline(always)]
fn later(one: u64, other: u64) -> u64 {
    if one > other { one } else { other }
}
