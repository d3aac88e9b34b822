//! Programs that can lose their CPU, and those that stand by for them.
//!
//! From Linux 7.0 on a tracepoint leaves preemption enabled. A thread that loses its CPU in the middle of a program leaves it
//! under way there, and until it goes on the kernel runs that program for nobody else on the CPU: their events are missed. Two
//! things together keep that from losing anything:
//!
//! - a program keeps its CPU from its first steps to its last (`on_one_cpu`), so that only the few instructions of the kernel
//!   around it are left in which a thread can be stopped;
//! - behind it stand others, its *standbys*, one after the other: each does what all before it have left undone. An event is
//!   missed only where as many threads as there are programs in the chain are stopped at once, each in another one of them.
//!
//! In: the body of a hook and its place in the chain. Where nothing else tells what is done, the thread's state keeps a mark:
//! the place of the last program of the chain that ran. A mark in front of one's own place is of this event. A later one is of
//! the event before, whose end did not run. On other kernels nothing of this is loaded.

use acgs_perf_common::ledger::Loss;

use crate::count::lose;
use crate::globals::global;
use crate::kernel::preemption::{preempt_disable, preempt_enable};
use crate::kernel::task::Task;
use crate::state::thread::THREADS;
use crate::table::member::service_of_tgid;

/// Marks of a thread: of its last send, and of its last read.
pub const SENT: usize = 0;
pub const RECEIVED: usize = 1;

/// Place of the last standby of a chain with marks; the program itself has place 1.
pub const LAST: u8 = 4;

/// Runs the body of a program so that nothing comes between its steps: neither another thread nor `sched_switch` for this one.
/// What the body lost is counted within, so that little is left behind. The body stands here once, for both kinds of kernels.
#[inline(always)]
pub fn on_one_cpu(body: impl FnOnce() -> Result<(), Loss>) -> Result<(), Loss> {
    let preemptible = global!(PREEMPTIBLE) != 0;
    if preemptible {
        preempt_disable();
    }
    if let Err(loss) = body() {
        lose(loss);
    }
    if preemptible {
        preempt_enable();
    }
    Ok(())
}

/// Runs the body of a program that has standbys with a mark.
#[inline(always)]
pub fn marked(mark: usize, body: impl FnOnce() -> Result<(), Loss>) -> Result<(), Loss> {
    if global!(PREEMPTIBLE) == 0 { body() } else { standby(1, mark, body) }
}

/// Runs the body of the standby in this `place`, unless one in front of it has done so for this event.
#[inline(always)]
pub fn standby(place: u8, mark: usize, body: impl FnOnce() -> Result<(), Loss>) -> Result<(), Loss> {
    let task = Task::current();
    // Strangers first: they come and go in fewer steps than it takes to keep the CPU.
    if service_of_tgid(task.tgid()).is_none() {
        return Ok(());
    }
    on_one_cpu(|| {
        let Some(thread) = THREADS.get_or_create(task) else {
            // Without memory for the mark nobody knows of the others, so that only one may do it.
            return if place == LAST { body() } else { Ok(()) };
        };
        let seen = core::mem::replace(&mut thread.seen[mark], place);
        if seen != 0 && seen < place { Ok(()) } else { body() }
    })
}
