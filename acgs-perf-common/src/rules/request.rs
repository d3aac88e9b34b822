//! A server-side socket's request begins, goes on, and is answered: which thread works for it, and what its row gets.
//!
//! In: reads and sends on sockets. Out: each request's row, whose components add up to its latency. A thread that reads a request
//! works for it until it replies, reads another socket, or goes to wait for events. What a thread does before anybody knows for
//! whom belongs to the request that shows next.

use super::activity::Activity;
use super::row::{self, queue_of};
use super::standing::{Custody, Mark, Standing};
use super::table::{find, forget_answered, has_done, take};
use super::thread::ThreadState;
use super::turn::Resume;
use super::waited::{catch_up_at_reply, fill_from_queue, takes};
use super::{Row, Served, Table};
use crate::attribution::{Component, FIRST_OF_SERVICE_TIME};
use crate::{opaque, subprogram};

/// Evidence that a thread is an event loop is capped here, so that it can stop being one.
const MAX_LOOP_EVIDENCE: u32 = 16;

/// A request is being read, and nothing is known yet of its queue time.
#[inline(always)]
pub fn queue_unknown<S: Served>(socket: &mut S, now: u64) {
    let waited = now.wrapping_sub(socket.arrived());
    let queue = queue_of(socket.row());
    opaque::clear(&mut queue[..FIRST_OF_SERVICE_TIME]);
    queue[Component::QueueOther as usize] = waited;
}

/// The running thread has read the first bytes of a request, of which `queue_unknown` was said; `accepted` is when its
/// connection was, if it waited for that.
#[inline(always)]
pub fn began<T: Table>(
    table: &T,
    thread: &mut ThreadState,
    socket: &mut T::Socket,
    id: u64,
    pid: u32,
    accepted: u64,
    now: u64,
) {
    let runs_since = if thread.is_on_cpu() { thread.since } else { now };
    let work = &mut thread.activity;
    if work.is_live() {
        work.charge_on_cpu(now);
        table.park(work, pid);
    }
    if thread.unanswered != 0 && thread.loop_evidence < MAX_LOOP_EVIDENCE {
        thread.loop_evidence += 1;
    }
    thread.unanswered = 1;
    thread.polled = 0;
    thread.runnable.push(id, now, true);
    work.start(id, Custody::Own, now);
    let mut since = socket.arrived();
    let queue = queue_of(socket.row());
    queue[Component::QueueOther as usize] = 0;
    if accepted > since {
        queue[Component::QueueAccept as usize] = accepted - since;
        since = accepted;
    }
    if runs_since <= since {
        // It was on its CPU all the time; there is nothing to look up, and the segment follows from the sum.
        queue[Component::QueueOnCpu as usize] += now.saturating_sub(since);
    } else if since < now {
        explain(thread, socket.row(), since, now);
    }
}

subprogram! {
    /// What the thread that reads the request did between `since` and `until`, while the request waited.
    fn explain = explain_queue(thread: &mut ThreadState, row: &mut Row; since: u64, until: u64) {
        let work = &mut thread.activity;
        thread.history.explain(since, until, queue_of(row), work);
        work.queue_segments = work.segments_len;
    }
}

/// The running thread has read more bytes of a request; they had arrived at `arrived`.
#[inline(always)]
pub fn continued<T: Table>(
    table: &T,
    thread: &mut ThreadState,
    request: u64,
    began: u64,
    arrived: u64,
    now: impl FnOnce() -> u64,
) {
    if thread.activity.is_for(request, began) {
        thread.activity.waited_for_body(thread.polled);
        thread.polled = 0;
        thread.activity.standing.unmark(Mark::Away);
        return;
    }
    let now = now();
    let ready = if arrived == 0 { now } else { arrived };
    let mut how = Resume { request, began, ready, wait: Component::RequestBody as u32, peer: 0 };
    table.resume(thread, &mut how, now);
    thread.activity.standing.unmark(Mark::Away);
}

/// The running thread has sent the first bytes of the reply to this request.
#[inline(always)]
pub fn replies<T: Table>(table: &T, thread: &mut ThreadState, request: u64, now: u64) {
    thread.unanswered = 0;
    thread.runnable.acts_for(request, |id, worker| has_done(table, id, worker));
    thread.activity.charge_on_cpu(now);
}

/// Fills the socket's row after `replies`, where [`fill_quickly`] does not, or the segments are wanted.
#[inline(always)]
pub fn answer<T: Table>(table: &T, thread: &mut ThreadState, socket: &mut T::Socket, service: u32, now: u64) {
    let pid = table.running();
    let (request, began) = (socket.id(), socket.read());
    let work = &mut thread.activity;
    *socket.is_narrow() = 0;
    if work.is_for(request, began) {
        if !is_only_computed(work) {
            thread.loop_evidence = thread.loop_evidence.saturating_sub(1);
            thread.takes = takes(thread.takes, false);
        }
        table.fill(socket, work, now);
        table.offer(socket, work, service);
        forget_answered(table, request, began, work.standing);
        work.start_anonymous(now);
        return;
    }
    if has_changed_places(table, thread, request, began, pid) {
        let work = &mut thread.activity;
        work.share(now.wrapping_sub(began));
        table.fill(socket, work, now);
        table.offer(socket, work, service);
        forget_answered(table, request, began, Standing::SPREAD.tabled());
        work.start_anonymous(now);
        return;
    }
    if let Some(entry) = find(table, request, began)
        && take(table, entry).is_some()
    {
        catch_up_at_reply(table, entry, thread, pid, now);
        table.fill(socket, entry, now);
        table.offer(socket, entry, service);
        forget_answered(table, request, began, entry.standing.tabled());
    } else {
        fill_from_queue(table, socket, thread, now);
        table.offer(socket, &mut thread.activity, service);
        // The thread that has read it may still have it, and must not put it away.
        forget_answered(table, request, began, Standing::SPREAD);
    }
    let work = &mut thread.activity;
    if work.standing.is_known() {
        table.park(work, pid);
    } else if work.request != 0 {
        forget_answered(table, work.request, work.began, work.standing);
    }
    work.start_anonymous(now);
}

/// Fills the socket's row after `replies` in the usual cases of a busy server: the thread has only computed for this request; or it has read others meanwhile, and
/// now replies to one after the other. Same figures
/// as by [`answer`], a fraction of the work. False in all other cases.
#[inline(always)]
pub fn fill_quickly<T: Table>(
    table: &T,
    thread: &mut ThreadState,
    socket: &mut T::Socket,
    request: u64,
    pid: u32,
    now: u64,
) -> bool {
    let work = &mut thread.activity;
    if is_only_computed(work) && work.request == request && work.began == socket.read() {
        row::fill_narrow(socket, work.parts[0], 0);
        forget_answered(table, request, work.began, work.standing);
        work.start_anonymous(now);
        return true;
    }
    if !work.standing.is_fresh() {
        return false;
    }
    // Of a loop with a pool it may wait for what a worker has done.
    if thread.pool_sleeps != 0 {
        return false;
    }
    let Some(entry) = find(table, request, socket.read()) else { return false };
    let (parked, began) = (entry.at, work.began);
    if !is_only_computed(entry)
        || entry.parked_by != pid
        || parked < thread.woke_at
        || parked < thread.since
        || began < parked
    {
        return false;
    }
    row::fill_narrow(socket, entry.parts[0] + work.parts[0], began - parked);
    forget_answered(table, request, socket.read(), Standing::TABLED);
    work.start_anonymous(now);
    thread.takes = takes(thread.takes, false);
    true
}

/// Whether it is a request for which one thread has computed, and nothing else.
#[inline(always)]
fn is_only_computed(work: &Activity) -> bool {
    work.standing.is_only_computed()
}

/// Whether the thread, a worker that replies itself, was woken for another job, and has found this one in the queue: two workers have changed
/// places. The one that was woken for this has found nothing, and has put it away as it went to wait for the next job.
#[inline(always)]
fn has_changed_places<T: Table>(table: &T, thread: &mut ThreadState, request: u64, began: u64, pid: u32) -> bool {
    let work = &mut thread.activity;
    if thread.does_jobs == 0 || thread.pool_sleeps != 0 || !work.is_for_request() || !work.standing.is_handed() {
        return false;
    }
    if let Some(entry) = find(table, request, began)
        && (entry.parked_by == pid || !entry.standing.is_finished())
    {
        return false;
    }
    work.starts_at(began)
}
