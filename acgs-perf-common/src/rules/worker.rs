//! Workers of a pool, from one job to the next: a job is found, is done, and the loop is told of it.
//!
//! In: that a worker gets a CPU, or has told its loop that something is done. Out: its work, which is for a request that it was handed, or a
//! result of which `results` finds out for whom it is. How a job is handed over: `handoff`.

use super::Table;
use super::activity::{Activity, LOCK};
use super::history::History;
use super::standing::{Custody, Mark};
use super::thread::ThreadState;
use crate::subprogram;

/// What a thread does for its request in so short a time does not count, where two threads could be at the same entry of the table.
pub const MOMENT_NS: u64 = 50_000;
/// So sure that jobs are not given away in the order in which requests were read.
const MISLED: u32 = 16;

/// The running thread has told an event loop that something is done, as asyncio's do: if that has not woken the loop, it finishes its job now.
#[inline(always)]
pub fn has_told<T: Table>(table: &T, thread: &mut ThreadState, pid: u32, now: u64) {
    if thread.has_woken == 0 {
        finishes_job(table, thread, pid, now);
    } else {
        (thread.has_woken, thread.kept) = (0, 0);
    }
}

/// The running thread is about to tell an event loop that something is done: a worker with its job. What it does now is another job.
#[inline(always)]
pub fn finishes_job<T: Table>(table: &T, thread: &mut ThreadState, pid: u32, now: u64) {
    let work = &mut thread.activity;
    thread.has_job = 0;
    thread.kept = u32::from(is_result(work, now));
    if work.is_for_request() && work.standing.is_handed() {
        work.charge_on_cpu(now);
        work.standing.set_finished(true);
        table.park(work, pid);
    } else if thread.kept != 0 {
        work.charge_on_cpu(now);
        table.keep(thread, true);
    } else {
        return;
    }
    begin_next_job(&mut thread.activity, now);
}

subprogram! {
    /// The thread gets a CPU, and has done nothing since it told its loop that a job is done but wait for one, or for the interpreter's lock, for which
    /// there is a limit: it has not looked into its queue yet. What it finds there begins no earlier.
    pub fn looks_for_job = worker_looks_for_job(thread: &mut ThreadState; now: u64) {
        let waited_for_mutex = thread.activity.parts[LOCK] != 0 && thread.limit == 0;
        let work = &mut thread.activity;
        if !waited_for_mutex && work.at.wrapping_sub(work.began) < work.waited_to_run() + MOMENT_NS {
            begin_next_job(work, now);
        }
    }
}

/// A worker has done its job; if it does not sleep now, it does another.
#[inline(always)]
pub fn begin_next_job(work: &mut Activity, now: u64) {
    let depth = work.depth;
    work.start(0, Custody::Worker, now);
    work.depth = depth;
}

/// Whether the work of a thread that gives something back is a job of nobody knows whom, and not only what lies between two jobs.
#[inline(always)]
pub fn is_result(work: &Activity, now: u64) -> bool {
    work.standing.is_unknown_job() && !work.standing.has(Mark::Woken) && now.wrapping_sub(work.began) > MOMENT_NS
}

/// Whether the loop is known not to give jobs away in the order in which it has read the requests. It stays so for as long as it has a pool.
#[inline(always)]
pub const fn is_misled(thread: &ThreadState) -> bool {
    thread.misled >= MISLED
}

/// A worker is woken for a job of which its result will tell for whom it was.
#[inline(always)]
pub fn begins_unknown_job(thread: &mut ThreadState, history: &History, now: u64) {
    if thread.activity.is_for_request() && !thread.activity.standing.is_handed() {
        return; // it has a request of its own
    }
    thread.activity.start(0, Custody::Worker, now);
    thread.activity.depth = 1;
    (thread.has_job, thread.does_jobs) = (1, 1);
    (thread.told_at, thread.gave_at) = (0, 0);
    (thread.woke_at, thread.idle_since, thread.polled_idle) = (now, thread.since, 0);
    thread.job_word = thread.word;
    thread.history.copy_from(history);
}
