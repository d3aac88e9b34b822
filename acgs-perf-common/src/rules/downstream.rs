//! Downstream calls: for which request they are.
//!
//! In: connections that the service opens, what it sends and reads on them. Out: the request that waits for an answer is
//! found again when it is read.

use super::Table;
use super::call::{CALLED, CONNECTING, DownstreamCall, MIXED, QUIET};
use super::standing::Mark;
use super::thread::{Answer, ThreadState};
use super::turn::Resume;
use super::waited::takes;
use crate::attribution::Component;
use crate::ledger::Loss;
use crate::maps::DownstreamWord;

/// A connection whose answer was read is given to the next request so soon.
const RELEASED_NS: u64 = 5_000_000;
/// Sends of a loop that follow so soon upon the first one belong to the same call: headers, then a body.
const SAME_CALL_NS: u64 = 1_000_000;

/// On one host an answer can be there before the send that asked for it has returned, which is when the call is seen. What had arrived
/// longer before is the answer to something else.
pub const SEND_RETURNS_NS: u64 = 1_000_000;

/// The running thread begins to open a connection, whose socket is named `id`.
#[inline(always)]
pub fn connecting<T: Table>(
    table: &T,
    thread: &mut ThreadState,
    call: &mut DownstreamCall,
    id: u64,
    pid: u32,
    now: u64,
) {
    thread.activity.charge_on_cpu(now);
    thread.runnable.tries(id, now);
    table.turn_to_oldest(thread, pid, now);
    let work = &mut thread.activity;
    if work.standing.is_active() {
        if work.request == 0 {
            work.request = id;
        }
        call.request = work.request;
        call.began = work.began;
        call.phase = CONNECTING;
        call.since = 0;
        work.peer = call.peer;
        work.calls_changed(now, 0, 0);
        work.standing.mark(Mark::Away);
        work.standing.mark(Mark::Opening);
        if thread.lets_go_at_calls() {
            table.park(&mut thread.activity, pid);
            thread.activity.start_anonymous(now);
        }
    }
}

/// The running thread has sent on a connection that the service opened, whose socket is named `id`. `count` counts what it was.
#[inline(always)]
pub fn sent<T: Table>(
    table: &T,
    thread: &mut ThreadState,
    call: &mut DownstreamCall,
    id: u64,
    pid: u32,
    now: u64,
    count: impl Fn(u32, DownstreamWord),
) -> Result<(), Loss> {
    let work = &mut thread.activity;
    if work.standing.is_active() {
        work.charge_on_cpu(now);
    } else {
        work.start_anonymous(now);
    }
    let same = work.is_for(call.request, call.began);
    if call.phase == CALLED || call.phase == MIXED {
        // Who lets the request go has put it away after the first of two sends.
        let more = same || (thread.lets_go_at_calls() && now.wrapping_sub(call.since) < SAME_CALL_NS);
        if !more {
            count(call.slot(), DownstreamWord::Multiplexed);
            if call.phase == CALLED {
                call.phase = MIXED;
                return Err(Loss::CallsMixed);
            }
        }
        return Ok(());
    }
    let has_waited = gets_connection(call, thread.woke_at, now);
    let work = &mut thread.activity;
    // Whose connection this is was known when it was opened.
    let opened_for = call.request != id || work.request == 0;
    if call.phase == CONNECTING && (same || opened_for) {
        if !same {
            let ready = if call.since != 0 { call.since } else { now };
            let mut how = Resume::answered(call, ready);
            table.resume(thread, &mut how, now);
        }
    } else {
        thread.runnable.tries(id, now);
        table.turn_to_oldest(thread, pid, now);
    }
    thread.runnable.calls_for(thread.activity.request);
    let work = &mut thread.activity;
    if work.request == 0 {
        work.request = id;
        if has_waited {
            work.waited_in = Component::ConnectionWait as u32;
        }
    }
    call.request = work.request;
    call.began = work.began;
    call.since = now;
    call.phase = CALLED;
    call.by = pid;
    work.peer = call.peer;
    work.touched = now;
    work.calls_changed(now, 1, 0);
    work.standing.mark(Mark::Away);
    work.standing.unmark(Mark::Opening);
    count(call.slot(), DownstreamWord::Sent);
    if thread.lets_go_at_calls() {
        // Its turn is over; who acts next is another.
        table.park(&mut thread.activity, pid);
        thread.activity.start_anonymous(now);
    }
    Ok(())
}

/// Whether a call that is made now has waited until another one had been answered on the connection, by a thread that woke for that at
/// `woke_at` and has not waited since.
#[inline(always)]
fn gets_connection(call: &DownstreamCall, woke_at: u64, now: u64) -> bool {
    call.phase == QUIET && call.since != 0 && call.since >= woke_at && now.wrapping_sub(call.since) < RELEASED_NS
}

/// Bytes that had arrived at `arrived` were read from such a connection, or its end: the call on it is over. Whether there was
/// a call, and `None` where nobody knows whose answer this is. `answered` counts how long the answer took.
#[inline(always)]
pub fn ends<T: Table>(
    table: &T,
    call: &mut DownstreamCall,
    bytes: u64,
    arrived: u64,
    answered: impl FnOnce(u32, u64),
) -> Option<bool> {
    let phase = call.phase;
    call.phase = QUIET;
    if phase == MIXED {
        return None;
    }
    let called = phase == CALLED;
    if called && bytes != 0 {
        let latency = arrived.wrapping_sub(call.since) as i64;
        if latency > -(SEND_RETURNS_NS as i64) {
            answered(call.slot(), latency.max(0) as u64);
        } else {
            table.lose(Loss::NegativeDifference);
        }
    }
    (call.request != 0).then_some(called)
}

/// The running thread has read the answer on the connection whose socket is named `id`, and goes on with the request of the call.
#[inline(always)]
pub fn received<T: Table>(
    table: &T,
    thread: &mut ThreadState,
    call: &mut DownstreamCall,
    id: u64,
    called: bool,
    arrived: u64,
    now: u64,
) {
    thread.runnable.answered(id);
    let since = core::mem::replace(&mut call.since, now);
    let pid = table.running();
    if called && call.by != pid {
        // Another thread has called, and it is this one that goes on.
        thread.takes = takes(thread.takes, true);
    }
    if called && (call.by != pid || thread.does_jobs == 0) {
        thread.answer = Answer::new(since, arrived, call.slot());
    }
    if thread.activity.is_for(call.request, call.began) {
        thread.activity.charge_on_cpu(now);
        thread.activity.touched = now;
    } else {
        let mut how = Resume::answered(call, arrived);
        table.resume(thread, &mut how, now);
    }
    if thread.activity.is_for(call.request, call.began) {
        thread.runnable.push(call.request, call.began, false);
        thread.activity.standing.mark(Mark::Away);
        if called {
            thread.activity.calls_changed(now, 0, 1);
        }
        if thread.shares_requests() {
            // Whoever goes on with it finds it.
            thread.activity.standing.spread();
            table.park(&mut thread.activity, pid);
        }
    }
}
