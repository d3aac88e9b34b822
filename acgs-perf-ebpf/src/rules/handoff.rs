//! Threads that block and wake: asks the kernel in which system calls they are, and calls the rules of `rules::handoff` of the common
//! crate.
//!
//! In: the state a thread enters or leaves. Out: its activity parked, dropped, begun or taken over, and its history.

use acgs_perf_common::rules::caller::Caller;
use acgs_perf_common::rules::handoff as rules;
use acgs_perf_common::rules::thread::ThreadState;
use acgs_perf_common::rules::worker;
use acgs_perf_common::state::class_of_entry;

use crate::kernel::task::Task;
use crate::table::member::service_byte_of_tgid;
use crate::table::request::Requests;
use crate::table::syscall_class::class_of;

impl Caller for Task {
    #[inline(always)]
    fn pid(&self) -> u32 {
        Self::pid(*self)
    }

    #[inline(always)]
    fn tgid(&self) -> u32 {
        Self::tgid(*self)
    }

    #[inline(always)]
    fn service_byte(&self) -> u32 {
        service_byte_of_tgid(Self::tgid(*self))
    }

    #[inline(always)]
    fn syscall(&self) -> i64 {
        Self::syscall(*self)
    }

    #[inline(always)]
    fn third_argument(&self) -> u64 {
        Self::third_argument(*self)
    }

    #[inline(always)]
    fn awaits_mutex(&self) -> bool {
        Self::awaits_mutex(*self)
    }

    #[inline(always)]
    fn class_of(&self, syscall: i64) -> u64 {
        class_of(syscall).map_or(0, |entry| u64::from(class_of_entry(*entry)))
    }
}

/// The thread blocks in `state`; its time on the CPU is accounted already.
#[inline(always)]
pub fn blocks(thread: &mut ThreadState, task: Task, state: u32, now: u64) {
    rules::blocks(&Requests, thread, &task, state, now);
}

/// The thread is woken from `state` by the running one; its time in that state is accounted already.
#[inline(always)]
pub fn woken(thread: &mut ThreadState, task: Task, service: u32, state: u32, now: u64) {
    rules::woken(&Requests, thread, &task, service, &Task::current(), state, now);
}

/// A thread starts: a pool grows by one for the job that the running one works for.
#[inline(always)]
pub fn born(thread: &mut ThreadState, task: Task, now: u64) {
    rules::born(&Requests, thread, task.pid(), now);
}

/// The running thread has told an event loop that something is done.
#[inline(always)]
pub fn has_signalled(thread: &mut ThreadState, task: Task, now: u64) {
    worker::has_told(&Requests, thread, task.pid(), now);
}

/// The running thread is about to tell an event loop that something is done: a worker with its job. What it does now is another job.
#[inline(always)]
pub fn signals(thread: &mut ThreadState, task: Task, now: u64) {
    worker::finishes_job(&Requests, thread, task.pid(), now);
}
