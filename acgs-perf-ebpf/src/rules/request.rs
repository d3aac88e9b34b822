//! A server-side socket's request begins, goes on, and is answered: which thread works for it, and what its row gets.
//!
//! In: reads and sends on sockets. Out: each request's row, whose components add up to its latency. A thread that reads a request
//! works for it until it replies, reads another socket, or goes to wait for events. What a thread does before anybody knows for
//! whom belongs to the request that shows next.

use acgs_perf_common::attribution::{Component, FIRST_OF_SERVICE_TIME};
use acgs_perf_common::ledger::Loss;

use super::row::{self, queue_of};
use super::turn::{Resume, charge_loop_wait, resume, share};
use crate::kernel::sock::Sock;
use crate::kernel::task::Task;
use crate::kernel::time::now;
use crate::state::socket::SocketState;
use crate::state::thread as thread_state;
use crate::table::exemplar;
use crate::table::request::{self as request_table, find, park};
use acgs_perf_common::opaque;
use acgs_perf_common::rules::activity::{ACTIVE, AWAY, Activity, HANDED, KNOWN, PLAIN, READY, SPREAD, TABLED};
use acgs_perf_common::rules::thread::ThreadState;
use acgs_perf_common::rules::transfer::append;
use acgs_perf_common::subprogram;

/// Evidence that a thread is an event loop is capped here, so that it can stop being one.
const MAX_LOOP_EVIDENCE: u32 = 16;

/// The running thread has read the first bytes of a request; `accepted` is when its connection was, if it waited for that.
#[inline(always)]
pub fn began(sk: Sock, socket: &mut SocketState, accepted: u64, now: u64) -> Result<(), Loss> {
    let task = Task::current();
    let pid = task.pid();
    let queue = queue_of(&mut socket.row);
    opaque::clear(&mut queue[..FIRST_OF_SERVICE_TIME]);
    // Until it is known better.
    queue[Component::QueueOther as usize] = now.wrapping_sub(socket.arrived);
    let thread = thread_state::of(task)?;
    let runs_since = if thread.is_on_cpu() { thread.since } else { now };
    let work = &mut thread.activity;
    if work.is_live() {
        work.charge_on_cpu(now);
        park(work, pid);
    }
    if thread.unanswered != 0 && thread.loop_evidence < MAX_LOOP_EVIDENCE {
        thread.loop_evidence += 1;
    }
    thread.unanswered = 1;
    let id = request_table::id_of(socket, sk);
    thread.runnable.push(id, now, true);
    work.start(id, ACTIVE | KNOWN, now);
    let mut since = socket.arrived;
    let queue = queue_of(&mut socket.row);
    queue[Component::QueueOther as usize] = 0;
    if accepted > since {
        queue[Component::QueueAccept as usize] = accepted - since;
        since = accepted;
    }
    if runs_since <= since {
        // It was on its CPU all the time; there is nothing to look up, and the segment follows from the sum.
        queue[Component::QueueOnCpu as usize] += now.saturating_sub(since);
    } else if since < now {
        explain(thread, socket, since, now);
    }
    Ok(())
}

subprogram! {
    /// What the thread that reads the request did between `since` and `until`, while the request waited.
    fn explain = explain_queue(thread: &mut ThreadState, socket: &mut SocketState; since: u64, until: u64) {
        let work = &mut thread.activity;
        thread.history.explain(since, until, queue_of(&mut socket.row), work);
        work.queue_segments = work.segments_len;
    }
}

/// The running thread has read more bytes of a request; they had arrived at `arrived`.
#[inline(always)]
pub fn continued(sk: Sock, socket: &mut SocketState, arrived: u64) -> Result<(), Loss> {
    let thread = thread_state::current()?;
    let request = request_table::id_of(socket, sk);
    if thread.activity.is_for(request, socket.read) {
        thread.activity.flags &= !AWAY;
        return Ok(());
    }
    let now = now();
    let ready = if arrived == 0 { now } else { arrived };
    let mut how = Resume { request, began: socket.read, ready, wait: Component::Idle as u32, peer: 0 };
    resume(thread, &mut how, now);
    thread.activity.flags &= !AWAY;
    Ok(())
}

/// The running thread has sent the first bytes of the reply: fills the socket's row.
#[inline(always)]
pub fn answered(sk: Sock, socket: &mut SocketState, service: u32, now: u64) -> Result<(), Loss> {
    let task = Task::current();
    let thread = thread_state::of(task)?;
    let request = request_table::id_of(socket, sk);
    thread.unanswered = 0;
    thread.runnable.acts_for(request);
    thread.activity.charge_on_cpu(now);
    if exemplar::is_wanted(socket, service) {
        socket.note_client(sk);
    } else if quick(socket, thread, request, task.pid(), now) {
        return Ok(());
    }
    answer(thread, socket, service, now);
    Ok(())
}

subprogram! {
    /// The thread has replied, and its work was not plain, or the request may be an exemplar.
    fn answer = attribution_answer(thread: &mut ThreadState, socket: &mut SocketState; service: u32, now: u64) {
        let pid = Task::current().pid();
        let (request, began) = (socket.known_id(), socket.read);
        let work = &mut thread.activity;
        socket.is_narrow = 0;
        if work.is_for(request, began) {
            thread.loop_evidence = thread.loop_evidence.saturating_sub(1);
            row::fill(socket, work, now);
            exemplar::offer(socket, work, service);
            request_table::forget_answered(request, began, work.flags);
            work.start_anonymous(now);
            return;
        }
        if let Some(entry) = find(request, began) {
            adopt(entry, thread, pid, now);
            row::fill(socket, entry, now);
            exemplar::offer(socket, entry, service);
            request_table::forget_answered(request, began, entry.flags | TABLED);
        } else {
            take_up(socket, work, now);
            exemplar::offer(socket, work, service);
            // The thread that has read it may still have it, and must not put it away.
            request_table::forget_answered(request, began, SPREAD);
        }
        let work = &mut thread.activity;
        if work.is(KNOWN) {
            park(work, pid);
        } else {
            request_table::forget_answered(work.request, work.began, work.flags);
        }
        work.start_anonymous(now);
    }
}

/// The usual cases of a busy server: the thread has only computed for this request; or it has read others meanwhile, and
/// now replies to one after the other. Same figures as the rules below, a fraction of the work.
#[inline(always)]
fn quick(socket: &mut SocketState, thread: &mut ThreadState, request: u64, pid: u32, now: u64) -> bool {
    let work = &mut thread.activity;
    if work.flags & !TABLED == ACTIVE | KNOWN | PLAIN && work.request == request && work.began == socket.read {
        row::fill_narrow(socket, work.parts[0], 0);
        request_table::forget_answered(request, work.began, work.flags);
        work.start_anonymous(now);
        return true;
    }
    if work.flags != ACTIVE | PLAIN {
        return false;
    }
    let Some(entry) = find(request, socket.read) else { return false };
    let (parked, began) = (entry.at, work.began);
    if entry.flags & !TABLED != ACTIVE | KNOWN | PLAIN
        || entry.parked_by != pid
        || parked < thread.tick
        || parked < thread.since
        || began < parked
    {
        return false;
    }
    row::fill_narrow(socket, entry.parts[0] + work.parts[0], began - parked);
    request_table::forget_answered(request, socket.read, TABLED);
    work.start_anonymous(now);
    true
}

subprogram! {
    /// The parked request turns out to be the one that the thread works for.
    fn adopt = attribution_adopt(entry: &mut Activity, thread: &mut ThreadState; pid: u32, now: u64) {
        let (tick, work) = (thread.tick, &mut thread.activity);
        if !work.is(ACTIVE) {
            entry.charge(Component::Unknown, now, 0);
            return;
        }
        let known = work.is(KNOWN);
        let start = if known { work.touched } else { work.began };
        let own = entry.parked_by == pid && !work.is(HANDED);
        if !entry.is(READY) && own {
            // Until the thread woke it waited for something; after that the thread worked for others.
            entry.charge_part(work.origin, if tick < start { tick } else { start }, 0);
        }
        if entry.is(READY) || own {
            charge_loop_wait(entry, thread, start);
        } else {
            entry.charge(Component::PoolWait, start, 0);
        }
        if !known {
            append(entry, &mut thread.activity);
            return;
        }
        let queues = thread.runnable.is_queue();
        share(entry, &mut thread.activity, queues, now);
    }
}

/// Nobody put the request away: another thread has taken it up from a queue without having slept.
#[inline(always)]
fn take_up(socket: &mut SocketState, work: &mut Activity, now: u64) {
    if work.is(ACTIVE) && !work.is(KNOWN) && work.began >= socket.read {
        let waited = work.began - socket.read;
        work.waited_for_pool(waited);
        row::fill(socket, work, now);
    } else {
        row::clear(socket, now.wrapping_sub(socket.read));
    }
}
