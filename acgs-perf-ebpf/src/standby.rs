//! Programs that can lose their CPU, and those that stand by for them.
//!
//! From Linux 7.0 on a tracepoint leaves preemption enabled. A thread that loses its CPU in the middle of a program leaves it
//! under way there, and until it goes on the kernel runs that program for nobody else on the CPU: their events are missed. So
//! each such program has a *standby*, attached behind it, that does what the program has left undone. Where nothing else tells,
//! the program leaves a mark in the state of its thread, and the standby takes it away. On other kernels nothing of this is
//! loaded.

use crate::Loss;
use crate::kernel::{Task, global, preempt_disable, preempt_enable};
use crate::maps::THREADS;
use crate::service_table::service_of_tgid;

/// Marks of a thread: its last send, or its last read, has been seen.
pub const SENT: u32 = 1;
pub const RECEIVED: u32 = 2;

/// Runs the body of a program so that nothing comes between its steps: neither another thread nor `sched_switch` for this one.
#[inline(always)]
pub fn on_one_cpu(body: impl FnOnce() -> Result<(), Loss>) -> Result<(), Loss> {
    let preemptible = global!(PREEMPTIBLE) != 0;
    if preemptible {
        preempt_disable();
    }
    let result = body();
    if preemptible {
        preempt_enable();
    }
    result
}

/// The same of a program whose standby needs a mark.
#[inline(always)]
pub fn marked(mark: u32, body: impl FnOnce() -> Result<(), Loss>) -> Result<(), Loss> {
    on_one_cpu(|| {
        if global!(PREEMPTIBLE) != 0 {
            let task = Task::current();
            if service_of_tgid(task.tgid()).is_none() {
                return Ok(());
            }
            // Without memory for the mark everything is left to the standby.
            let Some(thread) = THREADS.get_or_create(task) else { return Ok(()) };
            thread.seen |= mark;
        }
        body()
    })
}

/// Runs the body of a standby, if its program has not left the mark.
#[inline(always)]
pub fn unless_marked(mark: u32, body: impl FnOnce() -> Result<(), Loss>) -> Result<(), Loss> {
    let task = Task::current();
    if service_of_tgid(task.tgid()).is_none() {
        return Ok(());
    }
    if let Some(thread) = THREADS.get(task)
        && thread.seen & mark != 0
    {
        thread.seen &= !mark;
        return Ok(());
    }
    on_one_cpu(body)
}
