//! The thread clock: what each target thread is doing, one state at a time, so that the times add up to wall time.

use acgs_perf_common::ledger::Loss;
use acgs_perf_common::maps::{BLOCKED_HISTOGRAM, Counter, Histogram, STATE_COUNTER};
use acgs_perf_common::state::{CallClass, FIRST_BLOCKED, STATES, State, class_of_entry};

use super::limit;
use crate::count::Figures;
use crate::globals::{attributes, within_window};
use crate::kernel::task::{Descriptor, Task};
use crate::kernel::time::{elapsed, now};
use crate::rules::handoff::{self, blocks, woken};
use crate::state::thread::{self as thread_state, THREADS};
use crate::table::request::Requests;
use crate::table::syscall_class::class_of;
use crate::table::worker;
use acgs_perf_common::opaque::reload;
use acgs_perf_common::rules::handoff as rules;
use acgs_perf_common::rules::helper;
use acgs_perf_common::rules::limit::wakes;
use acgs_perf_common::rules::thread::ThreadState;
use acgs_perf_common::subprogram;

/// Leaves the current state: accounts the time spent in it, as far as it lies in the window, and returns all of it. `who`
/// is the process or thread that ended it.
#[inline(always)]
fn leave(thread: &mut ThreadState, service: u32, now: u64, who: u32, attributes: bool) -> Result<u64, Loss> {
    let spent = elapsed(thread.since, now)?;
    account(thread, service, now);
    if attributes {
        rules::leaves(thread, now, who);
    }
    Ok(spent)
}

subprogram! {
    /// Adds the time in the thread's state to the sums of its service, as far as it lies in the window.
    fn account = thread_account(thread: &mut ThreadState; service: u32, now: u64) {
        let state = thread.state;
        if state < STATES as u32 {
            Figures::at_any_time(service).add_at(STATE_COUNTER + state, within_window(thread.since, now));
        }
    }
}

/// The running task makes a new one, which will be runnable at once; `is_thread`: another one of its process.
#[inline(always)]
pub fn born(task: Task, is_thread: bool) -> Result<(), Loss> {
    let thread = thread_state::of(task)?;
    let now = now();
    thread.enter(State::RunQueue as u32, now);
    if is_thread && attributes() {
        handoff::born(thread, task, now);
    }
    Ok(())
}

/// The thread is about to be made runnable.
#[inline(always)]
pub fn waking(task: Task, service: u32) -> Result<(), Loss> {
    let thread = thread_state::of(task)?;
    if thread.since == 0 {
        thread.enter(State::RunQueue as u32, now());
        return Ok(());
    }
    let state = thread.state;
    if state < FIRST_BLOCKED as u32 {
        return Ok(());
    }
    let now = now();
    let figures = Figures::of(service);
    let spent = elapsed(thread.since, now);
    account(thread, service, now);
    thread.held_back = u32::from(task.wakes_held_back());
    if attributes() {
        wakes(thread, now);
        let waker = Task::current();
        let ended = reload(&thread.state);
        // Timers and disks wake from an interrupt, which comes upon whoever runs.
        let is_deliberate = waker.syscall() >= 0 && !matches_any(ended, [State::Sleep, State::Disk, State::Fault]);
        rules::is_unlocked(thread, &task, service, &waker, now);
        helper::lets_go_on(&Requests, thread, &task, &waker, now);
        rules::leaves(thread, now, if is_deliberate { waker.pid() } else { 0 });
        let ended = reload(&thread.state);
        woken(thread, task, service, ended, now);
        thread.queues(now);
    }
    thread.enter(State::RunQueue as u32, now);
    figures.record_at(BLOCKED_HISTOGRAM + state - FIRST_BLOCKED as u32, spent?);
    Ok(())
}

#[inline(always)]
fn matches_any(state: u32, states: [State; 3]) -> bool {
    states.iter().any(|s| *s as u32 == state)
}

/// The thread gets a CPU. Returns how long it waited on the run queue for another one to leave it.
#[inline(always)]
pub fn switched_in(task: Task, service: u32, prev: Task, now: u64) -> Result<u64, Loss> {
    let thread = thread_state::of(task)?;
    let known = thread.since != 0 && thread.state != State::OnCpu as u32;
    let attributes = attributes();
    if attributes {
        rules::gets_cpu(thread, known, now);
    }
    if !known {
        thread.enter(State::OnCpu as u32, now);
        return Ok(0);
    }
    let figures = Figures::of(service);
    thread.state = thread.runnable_state();
    let held_back = thread.held_back != 0;
    let waited = leave(thread, service, now, if held_back { 0 } else { prev.tgid() }, attributes);
    thread.enter(State::OnCpu as u32, now);
    let waited = waited?;
    if held_back {
        thread.held_back = 0;
        return Ok(0); // nobody ran instead
    }
    figures.record(Histogram::RunQueue, waited);
    Ok(waited)
}

/// The thread leaves its CPU.
#[inline(always)]
pub fn switched_out(task: Task, service: u32, runnable: bool, now: u64) -> Result<(), Loss> {
    let thread = thread_state::of(task)?;
    let figures = Figures::of(service);
    let attributes = attributes();
    let spent = if thread.since != 0 { leave(thread, service, now, 0, attributes) } else { Ok(0) };
    let (state, counter) = if runnable {
        thread.held_back = u32::from(task.is_held_back());
        (State::RunQueue as u32, Counter::InvoluntarySwitches)
    } else {
        let entry = entry_of(task.syscall());
        if attributes {
            limit::of_wait(thread, entry, now);
        }
        (blocked_state(task, entry), Counter::VoluntarySwitches)
    };
    if attributes {
        if runnable {
            thread.queues(now);
        } else {
            thread.scratch = state;
            let state = reload(&thread.scratch);
            blocks(thread, task, state, now);
        }
    }
    thread.enter(state, now);
    figures.add(counter, 1);
    spent.map(|_| ())
}

/// First sight of a thread that existed before we attached: from now on its time counts in the state it is in.
#[inline(always)]
pub fn begin(task: Task) -> Result<(), Loss> {
    let thread = thread_state::of(task)?;
    if thread.since == 0 {
        let state = match (task.is_runnable(), task.is_on_cpu()) {
            (_, true) => State::OnCpu as u32,
            (true, false) => State::RunQueue as u32,
            (false, false) => blocked_state(task, entry_of(task.syscall())),
        };
        thread.enter(state, now());
    }
    Ok(())
}

/// The thread ends: what it has answered was its process's.
#[inline(always)]
pub fn ends(task: Task, service: u32) {
    if let Some(thread) = THREADS.get(task) {
        worker::settle(thread, service, task.tgid());
    }
}

/// Accounts the time in the state the thread is in now, at the end of a recording.
#[inline(always)]
pub fn account_until_now(task: Task, service: u32) -> Result<(), Loss> {
    let Some(thread) = THREADS.get(task) else { return Ok(()) };
    worker::settle(thread, service, task.tgid());
    let since = thread.since;
    if since != 0 {
        // A switch that is under way on another CPU may have read its clock after this one.
        let now = now().max(since);
        if thread.state == State::RunQueue as u32 {
            thread.state = thread.runnable_state();
        }
        let spent = leave(thread, service, now, 0, attributes());
        thread.since = now;
        spent?;
    }
    Ok(())
}

/// The entry of the table of calls for the call with this number; other beyond the table, and a page fault outside of a call.
#[inline(always)]
fn entry_of(syscall: i64) -> u64 {
    match syscall {
        0.. => class_of(syscall).map_or(State::Other as u64, |entry| *entry),
        _ => State::Fault as u64,
    }
}

/// In what the thread blocks: the I/O-wait mark, then the system call it is in; outside of one it is a page fault.
#[inline(always)]
fn blocked_state(task: Task, entry: u64) -> u32 {
    let class = class_of_entry(entry);
    // io_uring_enter marks every wait as I/O, also that for a socket.
    if task.in_iowait() && class != State::Poll as u32 {
        return State::Disk as u32;
    }
    if class != CallClass::ByDescriptor as u32 {
        return class;
    }
    match task.descriptor(task.first_argument()) {
        Descriptor::Socket => State::Socket as u32,
        Descriptor::Storage => State::Disk as u32,
        Descriptor::Other => State::Other as u32,
    }
}
