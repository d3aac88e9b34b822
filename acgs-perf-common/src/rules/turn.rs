//! A thread turns to a request that was put away: because it reads or sends for it, or because it must be its turn.
//!
//! In: the request, and what it waited for. Out: its work is that of the thread, accounted up to now; what the thread worked on
//! before is put away.

use super::Table;
use super::activity::Activity;
use super::call::DownstreamCall;
use super::history::Waits;
use super::runnable::Request;
use super::standing::Mark;
use super::table::{find, let_go, take, waiting};
use super::thread::ThreadState;
use super::transfer::{append, copy};
use crate::attribution::Component;
use crate::{opaque, subprogram};

/// A call got its answer, a connection was opened, or more of a request has arrived: the request goes on.
#[repr(C)]
pub struct Resume {
    /// See `Activity`.
    pub request: u64,
    /// When it was read.
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
    #[must_use]
    pub fn answered(call: &DownstreamCall, ready: u64) -> Self {
        let DownstreamCall { request, began, peer, .. } = *call;
        Self { request, began, ready, wait: Component::Downstream as u32, peer }
    }
}

/// What a request that was put away has waited for, and what its thread has done meanwhile.
#[repr(C)]
pub struct Wait {
    /// It waited until then in `component`, and could have gone on from then on.
    pub until: u64,
    /// A component of the service time.
    pub component: u32,
    /// Slot of the peer, for downstream.
    pub peer: u32,
    /// Since then the thread has worked for it.
    pub start: u64,
    /// What becomes of the work that the thread has had: one of those below.
    before: u32,
    /// Linux 6.1 lets nobody pass on what has a hole.
    padding: u32,
}

/// The thread's work was for nobody yet, and is for this request.
pub const IS_ITS_OWN: u32 = 0;
/// The thread's work was for another request, up to now.
pub const IS_OTHERS: u32 = 1;
/// The thread's work was for another request, which it left unseen.
pub const IS_SHARED: u32 = 2;

impl Wait {
    /// It could go on since it was put away.
    #[inline(always)]
    #[must_use]
    pub const fn none(start: u64, before: u32) -> Self {
        Self::until(0, Component::Idle as u32, start, before)
    }

    /// It waited in `component` until then.
    #[inline(always)]
    #[must_use]
    pub const fn until(until: u64, component: u32, start: u64, before: u32) -> Self {
        Self { until, component, peer: 0, start, before, padding: 0 }
    }
}

subprogram! {
    /// Brings a request that was put away up to date: what it waited for, the wait for its thread, and what that has done for it.
    pub fn catch_up = attribution_catch_up(entry: &mut Activity, thread: &mut ThreadState, wait: &mut Wait; now: u64) {
        let start = wait.start;
        let before = entry.at;
        entry.charge_part(wait.component, if wait.until < start { wait.until } else { start }, wait.peer);
        if wait.before != IS_SHARED && entry.standing.has(Mark::Guessed) && wait.component == Component::Downstream as u32 {
            entry.share(entry.at - before);
            entry.standing.unmark(Mark::Guessed);
        }
        charge_loop_wait(entry, thread, start);
        let work = &mut thread.activity;
        if wait.before == IS_ITS_OWN {
            append(entry, work);
        } else if wait.before == IS_SHARED {
            share(entry, work, thread.runnable.is_queue(), now);
        }
    }
}

/// The thread, whose work is accounted up to now, works for a request that was put away; what it worked on before is put away, unless
/// it is this request's.
#[inline(always)]
pub fn switch_to<T: Table>(table: &T, thread: &mut ThreadState, entry: &mut Activity, wait: &mut Wait, now: u64) {
    if take(table, entry).is_none() {
        return;
    }
    catch_up(entry, thread, wait, now);
    let work = &mut thread.activity;
    if wait.before != IS_ITS_OWN && work.is_live() {
        table.park(work, table.running());
    }
    copy(work, entry);
    let taken = opaque::reload(&entry.standing);
    work.standing = taken.resumed();
    let_go(table, entry, taken, taken.let_go());
    work.touched = now;
}

/// The thread reads or sends for a request that was put away: it goes on with it.
#[inline(always)]
pub fn resume<T: Table>(table: &T, thread: &mut ThreadState, how: &Resume, now: u64) {
    let work = &mut thread.activity;
    work.charge_on_cpu(now);
    let Some(entry) = find(table, how.request, how.began) else { return };
    // What the thread did since it woke for this answer is for the request; if it was busy before, that was for others.
    let is_unclaimed = work.standing.is_active() && work.request == 0 && work.began >= how.ready;
    let (start, before) = if is_unclaimed { (work.began, IS_ITS_OWN) } else { (now, IS_OTHERS) };
    let mut wait = Wait { peer: how.peer, ..Wait::until(how.ready, how.wait, start, before) };
    switch_to(table, thread, entry, &mut wait, now);
}

/// In a loop that queues: the request that has waited longest is the one that acts now.
#[inline(always)]
pub fn turn_to_oldest<T: Table>(table: &T, thread: &mut ThreadState, pid: u32, now: u64) {
    if !thread.runnable.is_queue() || thread.shares_requests() {
        return;
    }
    let ambiguous = thread.runnable.is_ambiguous();
    let Some(mut next) = thread.runnable.next_to_act() else { return };
    table.turn_to(thread, &mut next, Component::LoopWait as u32, pid, now);
    if ambiguous {
        thread.activity.standing.mark(Mark::Guessed);
    }
}

/// The thread wakes a worker, which has had nothing to do since `free_since`: finds out for whom. If for none of those that it has just
/// read, then for the one that has waited longest without a call, which is how a pool without a free thread looks; but what was put away
/// while this worker had nothing to do did not wait for it.
#[inline(always)]
pub fn turn_to_job<T: Table>(table: &T, thread: &mut ThreadState, pid: u32, free_since: u64, now: u64) {
    let work = &thread.activity;
    let own = work.is_live() && !work.standing.is_handed();
    if thread.runnable.is_queue() {
        if let Some(mut next) = thread.runnable.pop() {
            table.turn_to(thread, &mut next, Component::LoopWait as u32, pid, now);
            return;
        }
        if own {
            return;
        }
    } else if work.is_live() {
        return;
    }
    // Without a pool it would wake a helper of its own.
    if thread.pool_sleeps == 0 {
        return;
    }
    if let Some(mut next) = thread.runnable.next_waiting(free_since, |id| waiting(table, id, pid)) {
        table.turn_to(thread, &mut next, Component::PoolWait as u32, pid, now);
    }
}

/// The thread, whose work is accounted up to now, works for the parked request `next`; until then it waited in `wait`.
#[inline(always)]
pub fn turn_to<T: Table>(table: &T, thread: &mut ThreadState, next: &Request, wait: u32, pid: u32, now: u64) {
    let work = &thread.activity;
    if work.is_for(next.id, next.began) {
        return;
    }
    let Some(entry) = find(table, next.id, next.began) else { return };
    if entry.parked_by != pid {
        return;
    }
    let (start, before) = if work.is_live() { (work.touched, IS_SHARED) } else { (work.began, IS_ITS_OWN) };
    let mut wait = match wait == Component::LoopWait as u32 {
        true => Wait::none(start, before),
        false => Wait::until(start, wait, start, before),
    };
    switch_to(table, thread, entry, &mut wait, now);
}

subprogram! {
    /// The request could have gone on, but its thread worked for others, or waited for a CPU, its quota or a disk itself.
    pub fn charge_loop_wait = charge_loop_wait_until(entry: &mut Activity, thread: &mut ThreadState; until: u64) {
        let since = entry.at;
        if until.wrapping_sub(since) as i64 <= 0 {
            return;
        }
        if thread.since > since {
            let Waits { run_queue, cpu_quota, disk } = thread.history.waits(since, until);
            entry.charge(Component::RunQueue, since + run_queue, 0);
            entry.charge(Component::CpuQuota, since + run_queue + cpu_quota, 0);
            entry.charge(Component::Disk, since + run_queue + cpu_quota + disk, 0);
        }
        entry.charge(Component::LoopWait, until, 0);
    }
}

/// The thread went from one request to another unseen: since its last event nobody can tell them apart. A loop that queues
/// had only read for `work`, and acts for `entry`; otherwise each of them gets half.
#[inline(always)]
fn share(entry: &mut Activity, work: &mut Activity, queues: bool, now: u64) {
    let both = now.wrapping_sub(work.touched);
    if both as i64 > 0 {
        let part = if queues { both } else { both / 2 };
        let before = entry.at;
        entry.charge(Component::OnCpu, work.touched + part, 0);
        entry.charge(Component::LoopWait, now, 0);
        entry.share(entry.at - before);
        work.share(both);
        work.move_to_loop_wait(part);
    }
}
