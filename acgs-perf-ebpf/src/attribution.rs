//! Which request a thread works for: the rules.
//!
//! In: reads and sends on sockets, threads that block and are woken. Out: each request's row, whose components add up to
//! its latency. A thread that reads a request works for it until it replies, reads another socket, or goes to wait for
//! events; the answer to a downstream call brings the request back to the thread that reads it; a thread woken by one that
//! works for a request works for it too. What a thread does before anybody knows for whom belongs to the request that
//! shows next.

use acgs_perf_common::attribution::{
    ALL, ATTRIBUTION_WORDS, CALLS_WORD, Component, FIRST_OF_SERVICE_TIME, MANY_CALLS_WORD, NARROW_WORDS, ONE_CALL_WORD,
    PEER_SLOTS, PEER_WORD, QUEUE_WORD, SERVICE_COMPONENTS, SHARED_WORD, component_word as word,
};
use acgs_perf_common::ledger::Loss;

use crate::count::lose;
use crate::kernel::sock::Sock;
use crate::kernel::task::Task;
use crate::kernel::time::now;
use crate::opaque;
use crate::state::activity::{self, ACTIVE, AWAY, Activity, GUESSED, HANDED, KNOWN, PLAIN, READY, SPREAD, TABLED};
use crate::state::call::Call;
use crate::state::history::QUEUE_ROOM;
use crate::state::runnable::Request;
use crate::state::socket::SocketState;
use crate::state::thread::ThreadState;
use crate::subprogram::subprogram;
use crate::table::exemplar;
use crate::table::request::{self as request_table, find, park};

/// So sure can one become that a thread is an event loop.
const LOOP_SURE: u32 = 16;

/// The components of the queue time in a row, and what follows them.
#[inline(always)]
fn queue_of(row: &mut [u64; ATTRIBUTION_WORDS]) -> &mut [u64; QUEUE_ROOM] {
    // SAFETY: the row is longer than that.
    unsafe { &mut *row.as_mut_ptr().add(QUEUE_WORD).cast() }
}

/// The running thread has read the first bytes of a request; `accepted` is when its connection was, if it waited for that.
#[inline(always)]
pub fn began(sk: Sock, socket: &mut SocketState, accepted: u64, now: u64) -> Result<(), Loss> {
    let task = Task::current();
    let pid = task.pid();
    let queue = queue_of(&mut socket.row);
    opaque::clear(&mut queue[..FIRST_OF_SERVICE_TIME]);
    // Until it is known better.
    queue[Component::QueueOther as usize] = now.wrapping_sub(socket.arrived);
    let thread = ThreadState::of(task)?;
    let runs_since = if thread.is_on_cpu() { thread.since } else { now };
    let work = &mut thread.activity;
    if work.is_live() {
        work.settle(now);
        park(work, pid);
    }
    if thread.unanswered != 0 && thread.is_loop < LOOP_SURE {
        thread.is_loop += 1;
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
    let thread = ThreadState::current()?;
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

/// Nothing is known of how the request was served.
#[inline(always)]
pub fn unknown(socket: &mut SocketState) {
    socket.is_narrow = 0;
    clear(socket, socket.replied.wrapping_sub(socket.read));
}

/// The running thread has sent the first bytes of the reply: fills the socket's row.
#[inline(always)]
pub fn answered(sk: Sock, socket: &mut SocketState, service: u32, now: u64) -> Result<(), Loss> {
    let task = Task::current();
    let thread = ThreadState::of(task)?;
    let request = request_table::id_of(socket, sk);
    thread.unanswered = 0;
    thread.runnable.acts_for(request);
    thread.activity.settle(now);
    if exemplar::is_wanted(socket, service) {
        socket.note_client(sk);
    } else if quick(socket, thread, request, task.pid(), now) {
        return Ok(());
    }
    answer(thread, socket, service, now);
    Ok(())
}

subprogram! {
    /// The same where the figures are not plain, or the request may be an exemplar.
    fn answer = attribution_answer(thread: &mut ThreadState, socket: &mut SocketState; service: u32, now: u64) {
        let pid = Task::current().pid();
        let (request, began) = (socket.known_id(), socket.read);
        let work = &mut thread.activity;
        socket.is_narrow = 0;
        if work.is_for(request, began) {
            thread.is_loop = thread.is_loop.saturating_sub(1);
            finish(socket, work, now);
            exemplar::offer(socket, work, service);
            request_table::settle(request, began, work.flags);
            work.start_anonymous(now);
            return;
        }
        if let Some(entry) = find(request, began) {
            adopt(entry, thread, pid, now);
            finish(socket, entry, now);
            exemplar::offer(socket, entry, service);
            request_table::settle(request, began, entry.flags | TABLED);
        } else {
            take_up(socket, work, now);
            exemplar::offer(socket, work, service);
            // The thread that has read it may still have it, and must not put it away.
            request_table::settle(request, began, SPREAD);
        }
        let work = &mut thread.activity;
        if work.is(KNOWN) {
            park(work, pid);
        } else {
            request_table::settle(work.request, work.began, work.flags);
        }
        work.start_anonymous(now);
    }
}

subprogram! {
    /// The request could have gone on, but its thread worked for others, or waited for a CPU or a disk itself.
    fn charge_loop_wait = charge_loop_wait_until(entry: &mut Activity, thread: &mut ThreadState; until: u64) {
        let since = entry.at;
        if until.wrapping_sub(since) as i64 <= 0 {
            return;
        }
        if thread.since > since {
            let (run_queue, disk) = thread.history.waits(since, until);
            entry.charge(Component::RunQueue, since + run_queue, 0);
            entry.charge(Component::Disk, since + run_queue + disk, 0);
        }
        entry.charge(Component::LoopWait, until, 0);
    }
}

/// The usual cases of a busy server: the thread has only computed for this request; or it has read others meanwhile, and
/// now replies to one after the other. Same figures as the rules below, a fraction of the work.
#[inline(always)]
fn quick(socket: &mut SocketState, thread: &mut ThreadState, request: u64, pid: u32, now: u64) -> bool {
    let work = &mut thread.activity;
    if work.flags & !TABLED == ACTIVE | KNOWN | PLAIN && work.request == request && work.began == socket.read {
        narrow(socket, work.parts[0], 0);
        request_table::settle(request, work.began, work.flags);
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
    narrow(socket, entry.parts[0] + work.parts[0], began - parked);
    request_table::settle(request, socket.read, TABLED);
    work.start_anonymous(now);
    true
}

/// Writes a row of which only these components can be other than 0, beside those of the queue time.
#[inline(always)]
fn narrow(socket: &mut SocketState, on_cpu: u64, loop_wait: u64) {
    if socket.is_narrow == 0 {
        clear(socket, 0);
        socket.is_narrow = 1;
    }
    socket.row[word(Component::OnCpu)] = on_cpu;
    socket.row[word(Component::LoopWait)] = loop_wait;
    socket.row[word(Component::Reply)] = 0;
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
            activity::append(entry, &mut thread.activity);
            return;
        }
        let queues = thread.runnable.is_queue();
        share(entry, &mut thread.activity, queues, now);
    }
}

/// The thread went from one request to another unseen: since its last event nobody can tell them apart. A loop that queues
/// had only read for `work`, and acts for `entry`; otherwise each of them gets half.
#[inline(always)]
fn share(entry: &mut Activity, work: &mut Activity, queues: bool, now: u64) {
    let both = now.wrapping_sub(work.touched);
    if both as i64 > 0 {
        let part = if queues { both } else { both / 2 };
        entry.charge(Component::OnCpu, work.touched + part, 0);
        entry.charge(Component::LoopWait, now, 0);
        entry.share(both);
        work.share(both);
        work.give_up(part);
    }
}

subprogram! {
    /// In a loop that queues: the request that has waited longest is the one that acts now.
    pub fn claim = attribution_claim(thread: &mut ThreadState; pid: u32, now: u64) {
        if !thread.runnable.is_queue() {
            return;
        }
        let ambiguous = thread.runnable.is_ambiguous();
        let Some(mut next) = thread.runnable.next() else { return };
        turn_to(thread, &mut next, Component::LoopWait as u32, pid, now);
        if ambiguous {
            thread.activity.flags |= GUESSED;
        }
    }
}

subprogram! {
    /// The thread wakes a worker: finds out for whom. If for none of those that it has just read, then for the one that has
    /// waited longest without a call, which is how a pool without a free thread looks.
    pub fn hands_over = attribution_hands_over(thread: &mut ThreadState; pid: u32, now: u64) {
        let work = &thread.activity;
        let own = work.is_live() && !work.is(HANDED);
        if thread.runnable.is_queue() {
            if let Some(mut next) = thread.runnable.pop() {
                turn_to(thread, &mut next, Component::LoopWait as u32, pid, now);
                return;
            }
            if own {
                return;
            }
        } else if work.is_live() {
            return;
        }
        // Without a pool it would wake a helper of its own.
        if thread.has_pool == 0 {
            return;
        }
        if let Some(mut next) = thread.runnable.next_waiting(|address| request_table::waiting(address, pid)) {
            turn_to(thread, &mut next, Component::PoolWait as u32, pid, now);
        }
    }
}

subprogram! {
    /// The thread, whose work is accounted up to now, works for the parked request `next`; until then it waited in `wait`.
    fn turn_to = attribution_turn_to(thread: &mut ThreadState, next: &mut Request; wait: u32, pid: u32, now: u64) {
        let work = &mut thread.activity;
        if work.is_for(next.address, next.began) {
            return;
        }
        let Some(entry) = find(next.address, next.began) else { return };
        if entry.parked_by != pid {
            return;
        }
        let known = work.is_live();
        let start = if known { work.touched } else { work.began };
        if wait == Component::LoopWait as u32 {
            charge_loop_wait(entry, thread, start);
        } else {
            entry.charge_part(wait, start, 0);
        }
        let work = &mut thread.activity;
        if known {
            share(entry, work, true, now);
            park(work, pid);
        } else {
            activity::append(entry, work);
        }
        activity::copy(work, entry);
        work.flags = (entry.flags & !READY) | ACTIVE | TABLED;
        work.touched = now;
    }
}

/// Nobody put the request away: another thread has taken it up from a queue without having slept.
#[inline(always)]
fn take_up(socket: &mut SocketState, work: &mut Activity, now: u64) {
    if work.is(ACTIVE) && !work.is(KNOWN) && work.began >= socket.read {
        let waited = work.began - socket.read;
        work.waited_for_pool(waited);
        finish(socket, work, now);
    } else {
        clear(socket, now.wrapping_sub(socket.read));
    }
}

/// A row whose service time is unknown.
#[inline(always)]
fn clear(socket: &mut SocketState, unknown: u64) {
    opaque::clear(&mut socket.row[word(Component::OnCpu)..QUEUE_WORD]);
    opaque::clear(&mut socket.row[NARROW_WORDS..]);
    socket.row[word(Component::Unknown)] = unknown;
}

subprogram! {
    /// Writes the work into the socket's row.
    fn finish = attribution_finish(socket: &mut SocketState, work: &mut Activity; now: u64) {
        work.calls_changed(now, 0, 0);
        let (total, time) = (work.total(), now.wrapping_sub(socket.read));
        if total > time {
            clear(socket, time);
            lose(Loss::Inconsistent);
            return;
        }
        for part in 0..SERVICE_COMPONENTS {
            opaque::copy_word(&mut socket.row[word(ALL[FIRST_OF_SERVICE_TIME + part])], &work.parts[part]);
        }
        socket.row[word(Component::Unknown)] += time - total;
        socket.row[word(Component::Reply)] = 0;
        socket.row[SHARED_WORD] = work.shared;
        socket.row[CALLS_WORD] = u64::from(work.calls);
        socket.row[ONE_CALL_WORD] = work.one_call;
        socket.row[MANY_CALLS_WORD] = work.many_calls;
        for slot in 0..PEER_SLOTS {
            opaque::copy_word(&mut socket.row[PEER_WORD + slot], &work.peer_ns[slot]);
        }
    }
}

/// More of a reply was sent: all of it since the first byte is the component `reply`.
#[inline(always)]
pub fn replied_more(socket: &mut SocketState, now: u64) {
    socket.row[word(Component::Reply)] = now.wrapping_sub(socket.replied);
}

/// How a request that was put away goes on.
#[repr(C)]
pub struct Resume {
    /// See `Activity`.
    pub request: u64,
    pub began: u64,
    /// When it could have gone on.
    pub ready: u64,
    /// Component of the wait until then.
    pub wait: u32,
    /// Slot of the peer, for downstream.
    pub peer: u32,
}

impl Resume {
    /// A call got its answer, or its connection, at `ready`.
    #[inline(always)]
    pub fn answered(call: &Call, ready: u64) -> Self {
        let Call { request, began, peer, .. } = *call;
        Self { request, began, ready, wait: Component::Downstream as u32, peer }
    }
}

subprogram! {
    /// The thread reads or sends for a request that was put away: it goes on with it.
    pub fn resume = attribution_resume(thread: &mut ThreadState, how: &mut Resume; now: u64) {
        let work = &mut thread.activity;
        work.settle(now);
        let Some(entry) = find(how.request, how.began) else { return };
        // What the thread did since it woke for this answer is for the request; if it was busy before, that was for others.
        let ready = how.ready;
        let unclaimed = work.is(ACTIVE) && work.request == 0 && work.began >= ready;
        let start = if unclaimed { work.began } else { now };
        let before = entry.at;
        entry.charge_part(how.wait, if ready < start { ready } else { start }, how.peer);
        if entry.is(GUESSED) {
            entry.share(entry.at - before);
            entry.flags &= !GUESSED;
        }
        charge_loop_wait(entry, thread, start);
        let work = &mut thread.activity;
        if unclaimed {
            activity::append(entry, work);
        } else if work.is_live() {
            park(work, Task::current().pid());
        }
        activity::copy(work, entry);
        work.flags = (entry.flags & !READY) | ACTIVE | TABLED;
        work.touched = now;
    }
}
