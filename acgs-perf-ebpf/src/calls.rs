//! Downstream calls, and the end of a worker's job: for whom they are.
//!
//! In: connections that the service opens, what it sends and reads on them. Out: the request that waits for an answer is
//! found again when it is read.

use acgs_perf_common::ledger::Loss;
use acgs_perf_common::maps::DownstreamWord;

use crate::attribution::{Resume, claim, resume};
use crate::count::lose;
use crate::kernel::sock::Sock;
use crate::kernel::task::Task;
use crate::state::activity::{ACTIVE, AWAY, HANDED, OPENING, READY};
use crate::state::call::{CALLED, CONNECTING, Call, MIXED, QUIET};
use crate::state::socket::SocketState;
use crate::state::thread::ThreadState;
use crate::table::downstream;
use crate::table::request::{self as request_table, park};

/// Sends of a loop that follow so soon upon the first one belong to the same call: headers, then a body.
const SAME_CALL_NS: u64 = 1_000_000;

/// The running thread tells an event loop that something is done: a worker with its job. What it does now is another job.
#[inline(always)]
pub fn signals(thread: &mut ThreadState, task: Task, now: u64) {
    let work = &mut thread.activity;
    if work.is_for_request() && work.is(HANDED) {
        work.settle(now);
        work.flags |= READY;
        park(work, task.pid());
        let depth = work.depth;
        work.start(0, ACTIVE | HANDED, now);
        work.depth = depth;
    }
}

/// The running thread begins to open a connection.
#[inline(always)]
pub fn connecting(sk: Sock, socket: &mut SocketState, service: u32, now: u64) -> Result<(), Loss> {
    let id = request_table::id_of(socket, sk);
    let call = &mut socket.call;
    downstream::find_slot(call, sk, service);
    downstream::add(service, call.peer, DownstreamWord::Connects, 1);
    let pid = Task::current().pid();
    let thread = ThreadState::current()?;
    thread.activity.settle(now);
    claim(thread, pid, now);
    let work = &mut thread.activity;
    if work.is(ACTIVE) {
        if work.request == 0 {
            work.request = id;
        }
        call.request = work.request;
        call.began = work.began;
        call.phase = CONNECTING;
        call.since = 0;
        work.peer = call.peer;
        work.calls_changed(now, 0, 0);
        work.flags |= AWAY | OPENING;
        if thread.runnable.is_queue() {
            park(work, pid);
            work.start_anonymous(now);
        }
    }
    Ok(())
}

/// The running thread has sent on a connection that the service opened.
#[inline(always)]
pub fn call_sent(sk: Sock, socket: &mut SocketState, service: u32, now: u64) -> Result<(), Loss> {
    let id = request_table::id_of(socket, sk);
    let call = &mut socket.call;
    let pid = Task::current().pid();
    let thread = ThreadState::current()?;
    let work = &mut thread.activity;
    if work.is(ACTIVE) {
        work.settle(now);
    } else {
        work.start_anonymous(now);
    }
    let same = work.is_for(call.request, call.began);
    if call.phase == CALLED || call.phase == MIXED {
        // A loop that queues has put the request away after the first of two sends.
        let more = same || (thread.runnable.is_queue() && now.wrapping_sub(call.since) < SAME_CALL_NS);
        if !more {
            downstream::add(service, call.peer, DownstreamWord::Multiplexed, 1);
            if call.phase == CALLED {
                call.phase = MIXED;
                return Err(Loss::CallsMixed);
            }
        }
        return Ok(());
    }
    // Whose connection this is was known when it was opened.
    let opened_for = call.request != id || work.request == 0;
    if call.phase == CONNECTING && (same || opened_for) {
        if !same {
            let ready = if call.since != 0 { call.since } else { now };
            let mut how = Resume::answered(call, ready);
            resume(thread, &mut how, now);
        }
    } else {
        claim(thread, pid, now);
    }
    thread.runnable.calls_for(thread.activity.request);
    let work = &mut thread.activity;
    if work.request == 0 {
        work.request = id;
    }
    call.request = work.request;
    call.began = work.began;
    call.since = now;
    call.phase = CALLED;
    work.peer = call.peer;
    work.touched = now;
    work.calls_changed(now, 1, 0);
    work.flags = (work.flags | AWAY) & !OPENING;
    downstream::add(service, call.peer, DownstreamWord::Sent, 1);
    if thread.runnable.is_queue() {
        // Its turn is over; who acts next is another.
        park(work, pid);
        work.start_anonymous(now);
    }
    Ok(())
}

/// The running thread has read from such a connection; the bytes had arrived at `arrived`.
#[inline(always)]
pub fn call_received(call: &mut Call, service: u32, bytes: u64, arrived: u64, now: u64) -> Result<(), Loss> {
    let phase = call.phase;
    call.phase = QUIET;
    if phase == MIXED {
        return Ok(()); // whose answer this is nobody knows
    }
    let answers = phase == CALLED && bytes != 0;
    if answers {
        let latency = arrived.wrapping_sub(call.since);
        if latency as i64 >= 0 {
            downstream::answered(service, call.peer, latency);
        } else {
            lose(Loss::NegativeDifference);
        }
    }
    if call.request == 0 {
        return Ok(());
    }
    let thread = ThreadState::current()?;
    if thread.activity.is_for(call.request, call.began) {
        thread.activity.settle(now);
        thread.activity.touched = now;
    } else {
        let mut how = Resume::answered(call, arrived);
        resume(thread, &mut how, now);
    }
    if thread.activity.is_for(call.request, call.began) {
        thread.runnable.push(call.request, call.began, false);
        thread.activity.flags |= AWAY;
        if phase == CALLED {
            thread.activity.calls_changed(now, 0, 1);
        }
    }
    Ok(())
}
