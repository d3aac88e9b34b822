//! System calls: count, errors and latency per call; and how long a connection waited to be accepted.
//!
//! These two hooks tax every system call on the host, so they are a probe of their own.

use acgs_perf_common::ledger::Loss;
use acgs_perf_common::maps::Histogram;
use acgs_perf_common::rules::handoff::WAKE_BYTES;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;

use super::entry::run;
use super::standby::on_one_cpu;
use crate::count::Figures;
use crate::globals::{attributes, counts, global};
use crate::kernel::task::{Descriptor, Task};
use crate::kernel::time::{elapsed, now};
use crate::rules::handoff;
use crate::state::thread::{self as thread_state, THREADS};
use crate::table::member::service_of_tgid;
use crate::table::{accept, syscall};

const WRITE: u32 = 1;
const ACCEPT: i64 = 43;
const ACCEPT4: i64 = 288;

#[btf_tracepoint]
pub fn sys_enter(ctx: BtfTracePointContext) -> i32 {
    run(|| of_service(|task, _| enter(&ctx, task)))
}

#[btf_tracepoint]
pub fn sys_enter_standby(ctx: BtfTracePointContext) -> i32 {
    run(|| of_service(|task, _| if is_in_call(task) { Ok(()) } else { enter(&ctx, task) }))
}

/// Runs the body for a thread of a service, on one CPU. Strangers come and go in fewer steps than it takes to keep it.
#[inline(always)]
fn of_service(body: impl FnOnce(Task, u32) -> Result<(), Loss>) -> Result<(), Loss> {
    let task = Task::current();
    match service_of_tgid(task.tgid()) {
        Some(service) => on_one_cpu(|| body(task, service)),
        None => Ok(()),
    }
}

#[inline(always)]
fn enter(ctx: &BtfTracePointContext, task: Task) -> Result<(), Loss> {
    let thread = thread_state::of(task)?;
    thread.syscall = ctx.arg::<u32>(1);
    let now = now();
    thread.syscall_entered = now;
    // Eight bytes to something that is neither a file nor a socket: an eventfd, with which libuv and others wake their loop.
    if attributes()
        && thread.syscall == WRITE
        && thread.activity.standing.is_handed()
        && task.third_argument() == WAKE_BYTES
        && task.descriptor(task.first_argument()) == Descriptor::Other
    {
        handoff::signals(thread, task, now);
    }
    Ok(())
}

#[btf_tracepoint]
pub fn sys_exit(ctx: BtfTracePointContext) -> i32 {
    run(|| of_service(|task, service| exit(&ctx, task, service)))
}

#[btf_tracepoint]
pub fn sys_exit_standby(ctx: BtfTracePointContext) -> i32 {
    run(|| of_service(|task, service| if is_in_call(task) { exit(&ctx, task, service) } else { Ok(()) }))
}

/// Whether the entry of the running thread's system call has been seen and its exit not.
#[inline(always)]
fn is_in_call(task: Task) -> bool {
    THREADS.get(task).is_some_and(|thread| thread.syscall_entered != 0)
}

#[inline(always)]
fn exit(ctx: &BtfTracePointContext, task: Task, service: u32) -> Result<(), Loss> {
    if !counts() {
        if let Some(thread) = THREADS.get(task) {
            thread.syscall_entered = 0;
        }
        return Ok(());
    }
    let result = ctx.arg::<i64>(1);
    // The number comes from the registers here: a server usually sits in accept since before we attached.
    let accepting = matches!(task.syscall(), ACCEPT | ACCEPT4);
    if accepting && (global!(TCP_ACTIVE) != 0 || attributes()) && result >= 0 {
        accepted(task, service, result as u64);
    }
    let Some(thread) = THREADS.get(task) else { return Ok(()) };
    let entered = thread.syscall_entered;
    if entered == 0 {
        return Ok(()); // entered before we attached
    }
    thread.syscall_entered = 0;
    let took = elapsed(entered, now())?;
    syscall::count(service, thread.syscall, took, result)
}

#[inline(always)]
fn accepted(task: Task, service: u32, fd: u64) {
    let Some(sock) = task.sock_address(fd) else { return };
    if let Some(waited) = accept::accepted(sock) {
        Figures::of(service).record(Histogram::AcceptWait, waited);
    }
}
