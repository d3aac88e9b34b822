//! Task iterators: threads that exist when we attach begin their clocks, and at the end all clocks are brought up to date.
//!
//! aya-ebpf has no macro for iterators, so these two are entry points by hand. The context is
//! `struct { struct bpf_iter_meta *meta; struct task_struct *task; }`; `task` is null after the last one.

use acgs_perf_common::ledger::Loss;

use super::entry::run;
use crate::clock::thread;
use crate::kernel::task::Task;
use crate::table::member::service_of_tgid;

#[repr(C)]
pub struct Context {
    meta: u64,
    task: *const u8,
}

/// The thread that the iterator has come to; `None` after the last one.
#[inline(always)]
pub fn thread_at(ctx: *const Context) -> Option<Task> {
    // SAFETY: the kernel passes a valid context.
    let task = unsafe { (*ctx).task };
    (!task.is_null()).then(|| Task::from_raw(task))
}

#[inline(always)]
fn each(ctx: *const Context, body: impl FnOnce(Task, u32) -> Result<(), Loss>) -> i32 {
    let Some(task) = thread_at(ctx) else { return 0 };
    match service_of_tgid(task.tgid()) {
        Some(service) => run(|| body(task, service)),
        None => 0,
    }
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
extern "C" fn threads_begin(ctx: *const Context) -> i32 {
    each(ctx, |task, _| thread::begin(task))
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
extern "C" fn threads_settle(ctx: *const Context) -> i32 {
    each(ctx, thread::account_until_now)
}
