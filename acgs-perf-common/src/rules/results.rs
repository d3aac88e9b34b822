//! Jobs that workers have done for nobody knows whom: a worker that was busy has found the job in a queue, or the loop does not give its jobs
//! away in the order in which it has read the requests. Kept until the loop that they were given back to replies to a request of which nothing
//! is known but that it has waited since.
//!
//! In: the work of a worker as it tells its loop that it is done. Out: the request's wait for the worker, and what that did for it. Loops go on
//! with results in the order in which they came back: a ring per process. Its places are kept in the map of requests that wait, where a process's
//! number and a place stand for the address of a socket.

use super::Table;
use super::activity::Activity;
use super::standing::Mark;
use super::thread::ThreadState;
use super::transfer::{append, copy};
use crate::attribution::Component;
use crate::ledger::Loss;
use crate::opaque;

/// Results of a process that are kept at a time, a power of two.
const KEPT: u32 = 64;
/// Processes with a ring of their own, a power of two.
const PROCESSES: u32 = 64;
/// No address of a socket begins like that.
const RESULTS: u64 = 1 << 32;
/// In place of a place: the entry that counts, in `calls` how many were kept, in `outstanding` how many of those were taken.
const COUNTS: u32 = KEPT;
/// A worker that was busy has begun with its next job when it told of the last one, which may be before the request was read.
const EARLY_NS: u64 = 1_000_000;

#[inline(always)]
const fn key(process: u32, place: u32) -> u64 {
    RESULTS | ((process & (PROCESSES - 1)) as u64) << 8 | place as u64
}

/// The entry of the map at this key, which is made if need be; `None` if there is no room: its request waits for the pool, for all that is known.
#[inline(always)]
fn entry<T: Table>(table: &T, key: u64) -> Option<&mut Activity> {
    if table.spilled(key).is_none() && !table.spill(key, table.place(0)?) {
        table.lose(Loss::RequestTableFull);
        return None; // as in `table::park`
    }
    table.spilled(key)
}

/// Makes the ring of this process, if it has none. Where it may not wait, Linux has memory for one new entry at a time; the second one is for the
/// first result.
#[inline(always)]
pub fn make_ring<T: Table>(table: &T) {
    entry(table, key(table.process(), COUNTS));
}

/// Keeps the running thread's work, which is accounted up to now; in place of the one that has waited longest where there is no room. One that
/// is not `finished` may go on: what is kept of it counts until then, where nothing else has come back.
#[inline(always)]
pub fn keep<T: Table>(table: &T, thread: &mut ThreadState, finished: bool) {
    let process = table.process();
    if takes_back(table, thread, process) {
        return;
    }
    let work = &mut thread.activity;
    let Some(counts) = entry(table, key(process, COUNTS)) else { return };
    if counts.request != RESULTS || counts.parked_by != process {
        copy(counts, work);
        (counts.request, counts.parked_by, counts.calls, counts.outstanding) = (RESULTS, process, 0, 0);
        counts.standing = work.standing.tabled();
    }
    let next = counts.calls;
    let Some(result) = entry(table, key(process, next & (KEPT - 1))) else { return };
    counts.calls = next.wrapping_add(1);
    if counts.calls.wrapping_sub(counts.outstanding) > KEPT {
        counts.outstanding = counts.calls.wrapping_sub(KEPT);
    }
    // The loop may look at it meanwhile, on another CPU.
    result.standing.mark(Mark::Taken);
    copy(result, work);
    let mut standing = work.standing.tabled();
    standing.set_finished(finished);
    opaque::store(&mut result.standing, standing);
    thread.kept_place = next & (KEPT - 1);
    thread.kept_job = work.began;
}

/// Takes back what was kept of this job before, which is out of date now. Whether that comes too late, because a request has got it.
#[inline(always)]
fn takes_back<T: Table>(table: &T, thread: &ThreadState, process: u32) -> bool {
    let job = thread.activity.began;
    if thread.kept_job != job {
        return false;
    }
    let Some(result) = table.spilled(key(process, thread.kept_place & (KEPT - 1))) else { return false };
    if result.began != job {
        return false;
    }
    result.at = 0;
    result.standing.is_done()
}

/// The request, which was put away, goes on: the oldest result of a job that was begun since it was read is its own. What had come
/// back before it was put away was somebody's who has gone.
#[inline(always)]
pub fn claim<T: Table>(table: &T, request: &mut Activity) {
    let process = table.process();
    let Some(counts) = table.spilled(key(process, COUNTS)) else { return };
    if counts.parked_by != process {
        return;
    }
    let mut next = counts.outstanding;
    let mut unfinished = COUNTS;
    for _ in 0..KEPT {
        if next == counts.calls {
            break;
        }
        let place = next & (KEPT - 1);
        let Some(result) = table.spilled(key(process, place)) else { return };
        let has_gone = result.at.wrapping_sub(request.at) as i64 <= 0;
        let is_there = !has_gone && !result.standing.has(Mark::Taken);
        let is_its_own = is_there && (result.began + EARLY_NS).wrapping_sub(request.began) as i64 > 0;
        let is_finished = result.standing.is_finished();
        if (has_gone || (is_its_own && is_finished)) && counts.outstanding == next {
            counts.outstanding = next.wrapping_add(1);
        }
        next = next.wrapping_add(1);
        if is_its_own && is_finished {
            return get(request, result);
        }
        if is_its_own && unfinished == COUNTS {
            unfinished = place;
        }
    }
    if unfinished != COUNTS
        && let Some(result) = table.spilled(key(process, unfinished))
    {
        get(request, result);
    }
}

/// The request has waited for a worker, and then for what that has done.
#[inline(always)]
fn get(request: &mut Activity, result: &mut Activity) {
    request.charge(Component::PoolWait, result.began, 0);
    if result.starts_at(request.at) {
        result.began = request.at; // the request was put away a moment after its worker was woken
    }
    append(request, result);
    result.at = 0;
    result.standing.answered();
}
