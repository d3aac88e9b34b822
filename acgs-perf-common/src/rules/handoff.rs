//! Threads that block and wake: what becomes of their work, and how work passes from thread to thread.
//!
//! In: the state a thread enters or leaves. Out: its activity parked, dropped, begun or taken over, and its history.

use super::Table;
use super::activity::Activity;
use super::caller::{Caller, FUTEX};
use super::helper;
use super::results::make_ring;
use super::runnable::name_of_worker;
use super::sleep::goes_on_sleeping;
use super::standing::Mark;
use super::table::find;
use super::thread::ThreadState;
use super::transfer::copy;
use super::worker::{MOMENT_NS, begin_next_job, begins_unknown_job, is_misled, is_result, looks_for_job};
use crate::attribution::Component;
use crate::state::{CallClass, State};

const WRITE: i64 = 1;
/// Calls that send: beside `write` those that are its relatives, `sendfile` and `splice`, and the socket's own.
const SENDS: [i64; 8] = [WRITE, 20, 40, 44, 46, 275, 296, 307];
const KILL: i64 = 62;
const TGKILL: i64 = 234;
/// Bytes that a thread writes to wake another one, at most: one to a pipe or pair of sockets, eight to an eventfd.
pub const WAKE_BYTES: u64 = 8;
/// Sleeps of a loop for which a result from a pool is remembered.
const POOL_SLEEPS: u32 = 64;
/// Bytes between the two words on which who waits for a condition of glibc waits in turn, at most; two semaphores are further apart.
const CONDITION: u64 = 8;
/// A worker waits for its next job for as long, at least: pools of Java and tokio end one after ten seconds to a minute.
const PATIENCE_NS: u64 = 1_000_000_000;
/// Wake-ups from thread to thread that a request follows.
const MAX_DEPTH: u32 = 3;

/// The component of a request whose thread was in `state`.
#[inline(always)]
fn component_of(state: u32, has_called: bool) -> Component {
    match state {
        s if s == State::OnCpu as u32 => Component::OnCpu,
        s if s == State::RunQueue as u32 => Component::RunQueue,
        s if s == State::CpuQuota as u32 => Component::CpuQuota,
        s if s == State::Lock as u32 => Component::Lock,
        s if s == State::Disk as u32 => Component::Disk,
        s if s == State::Socket as u32 || s == State::Poll as u32 => {
            if has_called {
                Component::Downstream
            } else {
                Component::Idle
            }
        }
        s if s == State::Sleep as u32 => Component::Sleep,
        s if s == State::Fault as u32 => Component::Fault,
        _ => Component::Other,
    }
}

/// The component of the queue time of a request that waits for a thread in `state`, where no rule says more.
#[inline(always)]
fn queue_component_of(state: u32) -> Component {
    match state {
        s if s == State::Lock as u32 => Component::QueueLock,
        s if s == State::Disk as u32 => Component::QueueDisk,
        s if s == State::Sleep as u32 => Component::QueueSleep,
        s if s == State::Fault as u32 => Component::QueueFault,
        _ => Component::QueueOther,
    }
}

/// The thread leaves the state that it was in until now: accounts that for whom it works. `who` is the process that ended it.
#[inline(always)]
pub fn leaves(thread: &mut ThreadState, now: u64, who: u32) {
    let state = thread.state;
    if thread.activity.standing.is_active() {
        let component = if state == State::Socket as u32 && thread.sends != 0 {
            Component::SendBuffer
        } else if state == State::Lock as u32 && thread.awaits_job != 0 && thread.activity.outstanding != 0 {
            // Another thread waits for the answer, and lets this one know.
            Component::Downstream
        } else {
            component_of(state, thread.activity.waits_for_peer(state))
        };
        let who = if component as u32 == Component::Downstream as u32 { thread.activity.peer } else { who };
        thread.activity.charge(component, now, who);
    }
}

/// The thread, which is known to be off its CPU since `thread.since` or not `known`, gets one. Goes before `leaves`.
///
/// A thread that still counts as blocked here was woken while it went to sleep: the wake-up came before the switch, was
/// not seen as one, and all the time since the switch was spent runnable.
#[inline(always)]
pub fn gets_cpu(thread: &mut ThreadState, known: bool, now: u64) {
    if thread.activity.standing.is_unknown_job() && thread.has_job == 0 {
        looks_for_job(thread, now);
    }
    if thread.state != State::RunQueue as u32 {
        thread.history.set_last(Component::QueueRunQueue);
        if !thread.activity.standing.is_active() {
            thread.activity.start_anonymous(if known { thread.since } else { now });
        }
    }
    thread.history.push(Component::QueueOnCpu, now);
}

/// The thread, which is `task` of `service`, is about to be woken: where a process of the same service lets it go on, it was locked.
/// Goes before `leaves`.
#[inline(always)]
pub fn is_unlocked<C: Caller>(thread: &mut ThreadState, task: &C, service: u32, waker: &C, now: u64) {
    let state = thread.state;
    if state == State::Poll as u32
        && thread.activity.standing.is_active()
        && !thread.activity.waits_for_peer(state)
        && is_let_go_on(task.tgid(), service, waker)
    {
        thread.activity.charge(Component::Lock, now, waker.tgid());
    }
}

/// The thread blocks in `state`; its time on the CPU is accounted already.
#[inline(always)]
pub fn blocks<T: Table, C: Caller>(table: &T, thread: &mut ThreadState, task: &C, state: u32, now: u64) {
    let is_on_other_word = is_on_other_word(thread);
    let live = thread.activity.is_live();
    let waits_for_events = state == State::Poll as u32;
    // Who waits for an interpreter's global lock has a short limit, or waits for a mutex.
    // A loop that has a pool waits for a lock, if it is no thread of a runtime.
    let may_be_worker = thread.pool_sleeps == 0 || thread.takes != 0;
    let has_time = has_time(thread, now);
    let awaits_job =
        state == State::Lock as u32 && may_be_worker && has_time && task.syscall() == FUTEX && !task.awaits_mutex();
    thread.awaits_job = u32::from(awaits_job);
    if thread.slept_since != 0 && !goes_on_sleeping(thread, now) {
        thread.slept_since = 0;
    }
    let work = &mut thread.activity;
    let mut component = queue_component_of(state);
    if waits_for_events {
        component = if live && work.waits_for_peer(state) && thread.loop_evidence == 0 {
            Component::QueueDownstream
        } else {
            Component::QueueIdle
        };
        // A thread that is no event loop, and gets nothing back from workers, goes on with its request, whatever it waits for; and a worker with its job, of which nobody
        // knows yet for whom it is.
        let has_work = work.is_for_request() || (thread.does_jobs != 0 && work.standing.is_unknown_job());
        if !has_work || thread.loop_evidence != 0 || thread.pool_sleeps != 0 || thread.takes != 0 {
            if live && !(thread.takes != 0 && is_in_table(work, now)) {
                table.park(work, task.pid());
            }
            work.standing.free();
        }
        thread.runnable.sleeps();
        thread.pool_sleeps = thread.pool_sleeps.saturating_sub(1);
        if thread.pool_sleeps == 0 {
            thread.misled = 0;
        }
        thread.queue_gave = 0;
    } else if awaits_job && (!work.is_for_request() || work.standing.is_handed() || thread.takes != 0) {
        // It may be amid its job, or wait for the next one: Python's threads wait for that on a new word each time.
        let is_amid = is_on_other_word && work.standing.is_unknown_job();
        if !is_amid {
            component = Component::QueueIdle;
        }
        if !work.is_for_request() {
            // A loop that is busy is not told of each job that is done: libuv tells it of the first.
            if thread.has_job != 0 && work.standing.is_unknown_job() {
                table.keep(thread, !is_amid);
            }
            if !is_amid {
                thread.has_job = 0;
                thread.activity.standing.free();
            }
        } else if thread.takes != 0 {
            // A thread of a runtime: whatever its request waits for, it need not be this thread that goes on with it.
            if !is_in_table(work, now) {
                table.park(work, task.pid());
            }
            work.standing.free();
        } else if thread.told_at != 0 && work.outstanding == 0 {
            // Whom it has let go on has all of it.
            work.standing.free();
        } else if !work.standing.is_given() {
            // It may have finished, and the thread that replies may be too busy to be woken.
            work.standing.set_finished(!is_on_other_word && work.outstanding == 0);
            table.park(work, task.pid());
            work.standing.set_finished(false);
        }
    } else if state == State::Socket as u32 {
        thread.sends = u32::from(SENDS.contains(&task.syscall()));
        component = if thread.sends != 0 {
            Component::QueueOther
        } else if live && work.waits_for_peer(state) {
            Component::QueueDownstream
        } else {
            Component::QueueIdle
        };
    }
    thread.history.push(component, now);
}

/// Whether a worker has finished since then with what this thread gave away: the table knows more of it than the thread, which had kept it
/// because nothing showed that it is a loop.
#[inline(always)]
fn is_done_elsewhere<T: Table>(table: &T, work: &Activity, since: u64) -> bool {
    work.is_for_request()
        && work.standing.is_spread()
        && !work.standing.is_handed()
        && find(table, work.request, work.began).is_some_and(|entry| entry.standing.is_finished() && entry.at > since)
}

/// Whether the table has what a thread of a runtime knows of its request, but for a moment. Another thread may be about to go on with it.
#[inline(always)]
fn is_in_table(work: &Activity, now: u64) -> bool {
    work.standing.is_tabled() && now.wrapping_sub(work.touched) < MOMENT_NS
}

/// The thread, which is `task` of `service`, is woken from `state`; its time in that state is accounted already.
#[inline(always)]
pub fn woken<T: Table, C: Caller>(
    table: &T,
    thread: &mut ThreadState,
    task: &C,
    service: u32,
    waker: &C,
    state: u32,
    now: u64,
) {
    let work = &mut thread.activity;
    if state == State::Poll as u32 && is_done_elsewhere(table, work, thread.since) {
        work.standing.free();
    }
    if !work.standing.is_active() {
        work.start_anonymous(now);
        work.standing.mark(Mark::Woken);
        // Who had nothing to do, and goes on because its time limit has passed, does so for who waited for that.
        if state == State::Sleep as u32 {
            work.waited_in = Component::Sleep as u32;
            if thread.slept_since == 0 {
                thread.slept_since = thread.since;
            }
            work.waited_since = thread.slept_since;
        }
        let idle_since = if state == State::Sleep as u32 { thread.slept_since } else { thread.since };
        (thread.woke_at, thread.idle_since) = (now, idle_since);
        thread.polled_idle = u32::from(thread.word == 0);
    }
    if state == State::Poll as u32 {
        (thread.woke_at, thread.idle_since, thread.polled_idle) = (now, thread.since, 1);
    }
    let (tgid, waker_tgid) = (task.tgid(), waker.tgid());
    if thread.is_helped != 0 {
        thread.is_helped = 0; // it goes on with its own
    } else if tgid != waker_tgid {
        if state == State::Poll as u32 && is_let_go_on(tgid, service, waker) {
            work.waited_in = Component::Lock as u32;
        }
    } else if may_hand_over(thread, state, waker) && waker.pid() != task.pid() && !is_amid_job(table, thread, state) {
        table.take_over(thread, task.pid(), state, now);
    }
}

/// A thread starts: a pool grows by one for the job that the running one works for.
#[inline(always)]
pub fn born<T: Table>(table: &T, thread: &mut ThreadState, pid: u32, now: u64) {
    thread.activity.start_anonymous(now);
    table.take_over(thread, pid, State::Lock as u32, now);
    thread.history.push(Component::QueueRunQueue, now);
}

/// Whether a process of the same service lets the thread go on on purpose, as the backends of PostgreSQL do.
#[inline(always)]
fn is_let_go_on<C: Caller>(tgid: u32, service: u32, waker: &C) -> bool {
    let waker_tgid = waker.tgid();
    tgid != waker_tgid && waker.service_byte() == service + 1 && matches!(waker.syscall(), KILL | TGKILL | WRITE)
}

/// Whether the thread, which blocks now, waits for as long as it takes, as a worker does for its next job: without a limit, or with one after which
/// it ends, because there is too little to do.
#[inline(always)]
const fn has_time(thread: &ThreadState, now: u64) -> bool {
    thread.limit == 0 || thread.limit.wrapping_sub(now) >= PATIENCE_NS
}

/// Whether this looks like a job or a result that is handed over, not like an interrupt or a lock that became free.
#[inline(always)]
fn may_hand_over<C: Caller>(thread: &ThreadState, state: u32, waker: &C) -> bool {
    let syscall = waker.syscall();
    if state == State::Lock as u32 {
        return syscall == FUTEX && thread.awaits_job != 0;
    }
    if syscall < 0 || syscall == FUTEX || (state != State::Poll as u32 && state != State::Other as u32) {
        return false;
    }
    let class = waker.class_of(syscall);
    // An interrupt upon a thread that sends data may wake anybody.
    (class == CallClass::ByDescriptor as u64 || class == CallClass::Socket as u64)
        && waker.third_argument() <= WAKE_BYTES
}

/// Whether a worker waits for something that its job needs, and not for the next one: its request is not answered, and it waited for that job
/// on another futex. Python's locks are such.
#[inline(always)]
fn is_amid_job<T: Table>(table: &T, thread: &ThreadState, state: u32) -> bool {
    let work = &thread.activity;
    state == State::Lock as u32
        && work.is_for_request()
        && work.standing.is_handed()
        && is_on_other_word(thread)
        && find(table, work.request, work.began).is_some()
}

/// Whether it waits, or has waited last, on another futex than that on which it was last given a job.
#[inline(always)]
const fn is_on_other_word(thread: &ThreadState) -> bool {
    thread.job_word != 0 && thread.word.wrapping_sub(thread.job_word).wrapping_add(CONDITION) > 2 * CONDITION
}

/// The woken thread `pid` works for whom the running one, `giver`, works for.
#[inline(always)]
pub fn take_over<T: Table>(
    table: &T,
    giver: &mut ThreadState,
    giver_pid: u32,
    thread: &mut ThreadState,
    pid: u32,
    state: u32,
    now: u64,
) {
    if !giver.activity.standing.is_active() || giver.activity.depth >= MAX_DEPTH {
        return;
    }
    giver.activity.charge_on_cpu(now);
    // They are threads of the same runtime, if none of them waits with its own request for the other one.
    let has_own = thread.activity.is_for_request() && !thread.activity.standing.is_handed();
    if thread.takes < giver.takes && !has_own {
        thread.takes = giver.takes;
    }
    helper::knows_of_helpers(thread, giver.helps);
    thread.answer = giver.answer;
    if state == State::Lock as u32 && is_misled(giver) {
        begins_unknown_job(thread, &giver.history, now);
        return;
    }
    let is_of_pool = thread.has_job != 0 || giver.activity.standing.is_handed();
    if state == State::Lock as u32 && is_of_pool && is_on_other_word(thread) {
        return; // another worker has let go of a lock
    }
    // A loop hands a job to a worker.
    let queues = state == State::Lock as u32 && giver.runnable.is_queue();
    // A loop is nobody's worker: threads that read for themselves take from each other what can go on, as those of a runtime do.
    if state == State::Lock as u32 && thread.loop_evidence == 0 && giver.takes == 0 {
        giver.runnable.tries(name_of_worker(pid), now);
        table.turn_to_job(giver, giver_pid, thread.since, now);
        giver.runnable.calls_for(giver.activity.request);
    }
    let given = &mut giver.activity;
    let work = &mut thread.activity;
    if work.is_for_request() && state == State::Poll as u32 {
        if work.request != given.request {
            table.park(work, pid);
        }
    } else if work.is_for_request()
        && !(work.standing.is_handed() && given.standing.is_known() && !given.standing.is_handed())
    {
        return; // it has a request of its own
    }
    let comes_back = state == State::Poll as u32 && given.standing.is_handed();
    if comes_back {
        giver.has_woken = 1;
        if thread.pool_sleeps == 0 {
            make_ring(table);
        }
        thread.pool_sleeps = POOL_SLEEPS;
        // It is at an unknown job since it has done the one before: that has waited for it. A known one it has just put away.
        let has_result = is_result(given, now);
        thread.queue_gave = u32::from(giver.kept != 0 || has_result);
        if has_result {
            // Not given to the loop itself, which may have others to reply to first.
            table.keep(giver, true);
            begin_next_job(&mut giver.activity, now);
        }
    }
    helper::gives(giver, now);
    let given = &mut giver.activity;
    given.standing.spread();
    copy(work, given);
    work.standing = given.standing.handed_over();
    work.depth = match comes_back {
        true => given.depth.saturating_sub(1),
        false if given.standing.is_known() => given.depth + 1,
        false => 1,
    };
    work.touched = now;
    if state == State::Poll as u32 {
        if given.standing.is_handed() {
            giver.has_job = 0;
            thread.runnable.answered(name_of_worker(giver_pid));
            begin_next_job(given, now);
        } else {
            given.standing.give();
        }
    }
    thread.does_jobs = u32::from(state == State::Lock as u32);
    (thread.told_at, thread.gave_at) = (0, 0);
    if state == State::Lock as u32 {
        // For this job, if it has waited for one.
        (thread.woke_at, thread.idle_since, thread.polled_idle) = (now, thread.since, 0);
        thread.job_word = thread.word;
    }
    // What it did before was to be idle; a request that it reads now waited for the waker.
    thread.history.copy_from(&giver.history);
    if queues && given.is_live() {
        table.park(given, giver_pid);
        given.start_anonymous(now);
    }
}
