//! The states of threads, in their local storage.
//!
//! In: a thread. Out: its state. `clock::thread` moves a thread from state to state; the rules say for whom it works.

use acgs_perf_common::ledger::Loss;
use acgs_perf_common::rules::thread::ThreadState;
use aya_ebpf::macros::btf_map;

use crate::kernel::storage::TaskStorage;
use crate::kernel::task::Task;

/// Clock of each thread.
#[btf_map]
pub static THREADS: TaskStorage<ThreadState> = TaskStorage::new();

/// The state of a thread, new if it has none.
#[inline(always)]
pub fn of(task: Task) -> Result<&'static mut ThreadState, Loss> {
    THREADS.get_or_create(task).ok_or(Loss::TaskStorage)
}

/// The state of the running thread.
#[inline(always)]
pub fn current() -> Result<&'static mut ThreadState, Loss> {
    of(Task::current())
}
