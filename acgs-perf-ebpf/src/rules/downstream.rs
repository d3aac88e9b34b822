//! Downstream calls: for which request they are.
//!
//! In: connections that the service opens, what it sends and reads on them. Out: the request that waits for an answer is
//! found again when it is read.

use acgs_perf_common::ledger::Loss;
use acgs_perf_common::maps::DownstreamWord;

use super::turn::{Resume, resume, turn_to_oldest};
use crate::count::lose;
use crate::kernel::sock::Sock;
use crate::kernel::task::Task;
use crate::state::socket::SocketState;
use crate::state::thread as thread_state;
use crate::table::downstream;
use crate::table::request::{self as request_table, park};
use acgs_perf_common::rules::activity::{ACTIVE, AWAY, OPENING};
use acgs_perf_common::rules::call::{CALLED, CONNECTING, DownstreamCall, MIXED, QUIET};

/// Sends of a loop that follow so soon upon the first one belong to the same call: headers, then a body.
const SAME_CALL_NS: u64 = 1_000_000;

/// The running thread begins to open a connection.
#[inline(always)]
pub fn connecting(sk: Sock, socket: &mut SocketState, service: u32, now: u64) -> Result<(), Loss> {
    let id = request_table::id_of(socket, sk);
    let call = &mut socket.call;
    downstream::find_slot(call, sk, service);
    downstream::add(service, call.peer, DownstreamWord::Connects, 1);
    let pid = Task::current().pid();
    let thread = thread_state::current()?;
    thread.activity.charge_on_cpu(now);
    turn_to_oldest(thread, pid, now);
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
pub fn sent(sk: Sock, socket: &mut SocketState, service: u32, now: u64) -> Result<(), Loss> {
    let id = request_table::id_of(socket, sk);
    let call = &mut socket.call;
    let pid = Task::current().pid();
    let thread = thread_state::current()?;
    let work = &mut thread.activity;
    if work.is(ACTIVE) {
        work.charge_on_cpu(now);
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
        turn_to_oldest(thread, pid, now);
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
pub fn received(call: &mut DownstreamCall, service: u32, bytes: u64, arrived: u64, now: u64) -> Result<(), Loss> {
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
    let thread = thread_state::current()?;
    if thread.activity.is_for(call.request, call.began) {
        thread.activity.charge_on_cpu(now);
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
