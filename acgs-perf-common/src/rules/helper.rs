//! Helpers: a thread gives its request to another one and waits until that is done, as who waits for the result of a job does.
//!
//! In: what a thread gives away, and who lets it go on. Out: its request has spent that wait as the helper has, and not in a wait for a lock. The
//! helper is known by the request that it was given; or, where it was busy and has found its job in a queue, by what it has done for others.

use super::Table;
use super::activity::{Activity, LOCK};
use super::caller::Caller;
use super::thread::{Answer, ThreadState};
use super::transfer::{append, copy};
use super::worker::{MOMENT_NS, begin_next_job};
use crate::attribution::Component;
use crate::state::State;

/// Of the time since it gave its request away, this part at most is a thread's own work if it only waits for the helper.
const OWN_PART: u64 = 4;
/// So often threads have let others go on with what these had given them, when whom they let go on has waited for them.
const SURE: u32 = 2;

/// The thread has given what it works on to another one.
#[inline(always)]
pub fn gives(thread: &mut ThreadState, now: u64) {
    if !has_given(thread) {
        thread.gifts = 0;
    }
    thread.gifts += 1;
    waits_from(thread, now);
}

#[inline(always)]
fn waits_from(thread: &mut ThreadState, now: u64) {
    (thread.gave_at, thread.gave_locked) = (now, thread.activity.parts[LOCK]);
}

/// Whether it has given away, or got back, what it works on now.
#[inline(always)]
const fn has_given(thread: &ThreadState) -> bool {
    thread.gave_at >= thread.activity.began
}

/// Whether it has done little since but wait for locks, that in which it is now among them.
#[inline(always)]
const fn only_waits(thread: &ThreadState, now: u64) -> bool {
    let since = now.wrapping_sub(thread.gave_at);
    let waits = now.wrapping_sub(thread.activity.at);
    let locked = thread.activity.parts[LOCK].wrapping_sub(thread.gave_locked).wrapping_add(waits);
    let own = since.wrapping_sub(locked);
    own <= since / OWN_PART || own <= MOMENT_NS
}

/// The thread, which is `task`, is about to be woken by `waker`: if that is its helper, it has waited for what that has done. Goes before
/// `handoff::leaves`.
#[inline(always)]
pub fn lets_go_on<T: Table, C: Caller>(table: &T, thread: &mut ThreadState, task: &C, waker: &C, now: u64) {
    if thread.state == State::Lock as u32
        && thread.activity.is_for_request()
        && !thread.shares_requests()
        && waker.is_in_futex()
        && waker.tgid() == task.tgid()
        && waker.pid() != task.pid()
    {
        table.helped(thread, now);
    }
}

/// The running thread lets go on the other one, which has a request and waits in a futex.
#[inline(always)]
pub fn helped(helper: &mut ThreadState, thread: &mut ThreadState, now: u64) {
    let (work, job) = (&thread.activity, &helper.activity);
    let is_for_same = job.is_for(work.request, work.began);
    if !job.standing.is_active() || (job.standing.is_known() && !job.standing.is_handed()) {
        return; // it has a request of its own, and has let go of a lock
    }
    if thread.awaits_job != 0 && work.outstanding != 0 && !(is_for_same && job.calls >= work.calls) {
        is_answered(&mut thread.activity, now);
        return;
    }
    if is_for_same && !(has_given(thread) && only_waits(thread, now)) {
        return;
    }
    if !is_for_same && !may_get_result(thread, helper) {
        return;
    }
    helper.activity.charge_on_cpu(now);
    if is_for_same {
        comes_back(&mut helper.activity, &mut thread.activity, now);
        if thread.awaits_job != 0 {
            helper.helps = helper.helps.saturating_add(1);
            helper.told_at = if helper.does_jobs != 0 { now } else { 0 };
        }
    } else {
        gets_result(helper, &mut thread.activity, now);
    }
    if thread.awaits_job != 0 {
        thread.gifts = thread.gifts.saturating_sub(1);
    }
    helper.answer.arrived = 0; // the next one's answer is another one
    knows_of_helpers(thread, helper.helps);
    knows_of_helpers(helper, thread.helps);
    thread.is_helped = 1;
    waits_from(thread, now);
}

/// Whether the thread has waited for the result of a job that the helper has found in a queue. Who waits with a short limit may wait for an
/// interpreter's global lock; who was handed its request, for its next job.
#[inline(always)]
const fn may_get_result(thread: &ThreadState, helper: &ThreadState) -> bool {
    let gave = has_given(thread) && thread.gifts != 0;
    let is_sure = (helper.helps >= SURE || thread.helps >= SURE) && helper.activity.standing.is_handed();
    thread.awaits_job != 0 && !thread.activity.standing.is_handed() && (gave || is_sure)
}

/// Those that give to each other know as much.
#[inline(always)]
pub const fn knows_of_helpers(thread: &mut ThreadState, helps: u32) {
    if thread.helps < helps {
        thread.helps = helps;
    }
}

/// It has called a peer itself, and the helper has waited for the answer.
#[inline(always)]
fn is_answered(work: &mut Activity, now: u64) {
    work.charge(Component::Downstream, now, work.peer);
    work.calls_changed(now, 0, work.outstanding);
}

/// The thread goes on with its request as its helper has left it.
#[inline(always)]
fn comes_back(helper: &mut Activity, work: &mut Activity, now: u64) {
    let (standing, depth, waited) = (work.standing, work.depth, (work.waited_in, work.waited_since));
    helper.standing.spread();
    copy(work, helper);
    work.standing = standing.with_account_of(helper.standing);
    (work.depth, work.touched) = (depth, now);
    (work.waited_in, work.waited_since) = waited;
}

/// It has waited for the helper, and then for what that did.
#[inline(always)]
fn gets_result(helper: &mut ThreadState, work: &mut Activity, now: u64) {
    waits_for_answer(&helper.answer, work, helper.activity.began);
    waits_for_begin(helper, work);
    let depth = work.depth;
    append(work, &mut helper.activity);
    work.depth = depth;
    if helper.does_jobs != 0 {
        begin_next_job(&mut helper.activity, now);
        helper.told_at = 0;
    }
}

/// A peer's answer, of which the helper was told before it began, came while the request waited.
#[inline(always)]
fn waits_for_answer(answer: &Answer, work: &mut Activity, began: u64) {
    if answer.arrived > work.at && began >= answer.since {
        work.charge(Component::PoolWait, answer.since, 0);
        work.charge(Component::Downstream, answer.arrived, answer.peer);
    }
}

/// The request has waited until the helper began with its job.
#[inline(always)]
fn waits_for_begin(helper: &mut ThreadState, work: &mut Activity) {
    let job = &mut helper.activity;
    if helper.told_at > job.began {
        // Since then it is at the next job, and as good as known from all that it has done.
        work.charge(Component::PoolWait, helper.told_at, 0);
    } else if helper.does_jobs == 0 {
        // A loop has nothing to do until an event comes, or it is time for something.
        if job.waited_in == Component::Sleep as u32 {
            work.charge(Component::Lock, job.waited_since, 0);
            work.charge(Component::Sleep, job.began, 0);
        }
        work.charge(Component::Lock, job.began, 0);
    } else if job.began > work.at {
        work.charge(Component::PoolWait, job.began, 0);
    } else if job.starts_at(work.at) {
        job.began = work.at; // it was given the job a moment before the thread began to wait
    }
}
