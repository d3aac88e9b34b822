//! Processes: children inherit the service, the dead leave it, and the agent hears of new programs.

use acgs_perf_common::ledger::Loss;
use acgs_perf_common::maps::Counter;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;

use super::entry::run;
use crate::clock::thread;
use crate::count::Figures;
use crate::globals::{global, keeps_thread_clocks};
use crate::kernel::task::Task;
use crate::state::thread::THREADS;
use crate::table::exec as execed;
use crate::table::member::{joins, leaves, service_of_tgid};

#[btf_tracepoint]
pub fn sched_process_fork(ctx: BtfTracePointContext) -> i32 {
    run(|| fork(&ctx))
}

#[btf_tracepoint]
pub fn sched_process_fork_standby(ctx: BtfTracePointContext) -> i32 {
    run(|| if is_born(&ctx) { Ok(()) } else { fork(&ctx) })
}

/// Whether the child has been seen: a thread by its clock, a process by its service.
#[inline(always)]
fn is_born(ctx: &BtfTracePointContext) -> bool {
    let (parent, child) = (Task::arg(ctx, 0), Task::arg(ctx, 1));
    if child.tgid() == parent.tgid() { THREADS.get(child).is_some() } else { service_of_tgid(child.tgid()).is_some() }
}

#[inline(always)]
fn fork(ctx: &BtfTracePointContext) -> Result<(), Loss> {
    let (parent, child) = (Task::arg(ctx, 0), Task::arg(ctx, 1));
    let tgid = parent.tgid();
    let Some(service) = service_of_tgid(tgid) else { return Ok(()) };
    let is_thread = child.tgid() == tgid;
    if !is_thread {
        joins(child.tgid(), service);
        Figures::of(service).add(Counter::Forked, 1);
    }
    if keeps_thread_clocks() {
        thread::born(child, is_thread)?;
    }
    Ok(())
}

#[btf_tracepoint]
pub fn sched_process_exit(ctx: BtfTracePointContext) -> i32 {
    run(|| exit(&ctx))
}

// A process that has left already is a stranger's.
#[btf_tracepoint]
pub fn sched_process_exit_standby(ctx: BtfTracePointContext) -> i32 {
    run(|| exit(&ctx))
}

#[inline(always)]
fn exit(ctx: &BtfTracePointContext) -> Result<(), Loss> {
    let task = Task::arg(ctx, 0);
    let tgid = task.tgid();
    let Some(service) = service_of_tgid(tgid) else { return Ok(()) };
    let has_group_dead = global!(FIELDS.exit_has_group_dead) != 0;
    let last = if has_group_dead { ctx.arg::<u64>(1) & 1 != 0 } else { task.pid() == tgid };
    if keeps_thread_clocks() && !last {
        thread::ends(task, service);
    }
    if last {
        // Before the id is freed: whoever gets it next starts as a stranger.
        leaves(tgid);
        Figures::of(service).add(Counter::Exited, 1);
        if keeps_thread_clocks() {
            thread::account_until_now(task, service)?; // its last switch is a stranger's
        }
    }
    Ok(())
}

#[btf_tracepoint]
pub fn sched_process_exec(ctx: BtfTracePointContext) -> i32 {
    run(|| exec(&ctx))
}

// Told twice, the agent looks twice.
#[btf_tracepoint]
pub fn sched_process_exec_standby(ctx: BtfTracePointContext) -> i32 {
    run(|| if execed::last() == Some(u64::from(Task::arg(&ctx, 0).tgid())) { Ok(()) } else { exec(&ctx) })
}

#[inline(always)]
fn exec(ctx: &BtfTracePointContext) -> Result<(), Loss> {
    execed::push(Task::arg(ctx, 0).tgid());
    Ok(())
}
