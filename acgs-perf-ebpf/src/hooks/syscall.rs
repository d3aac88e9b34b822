//! System calls: count, errors and latency per call; and how long a connection waited to be accepted.
//!
//! These two hooks tax every system call on the host, so they are a probe of their own.

use acgs_perf_common::histogram::{BUCKETS, bucket_index};
use acgs_perf_common::maps::{Histogram, SYSCALL_HEADER, SYSCALL_SLOTS, SYSCALL_WORDS, errno_key, syscall_slot_index};
use acgs_perf_common::state::SYSCALLS;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;

use crate::clock::request::ACCEPTED;
use crate::count::{Figures, atomic_add};
use crate::flags::NO_EXIST;
use crate::globals::{attributes, counts, global};
use crate::handoff::WAKE_BYTES;
use crate::kernel::task::{Descriptor, Task};
use crate::kernel::time::{elapsed, now};
use crate::maps::{
    ERRNO, ESTABLISHED, SYSCALL_CLAIMS, SYSCALL_OWNER, SYSCALL_RECORDS, SYSCALL_SLOT, SYSCALL_SLOTS_USED,
};
use crate::service_table::service_of_tgid;
use crate::standby::on_one_cpu;
use crate::state::activity::HANDED;
use crate::state::thread::THREADS;
use crate::{calls, run};
use acgs_perf_common::ledger::Loss;

const WRITE: u32 = 1;
const ACCEPT: i64 = 43;
const ACCEPT4: i64 = 288;
const MAX_ERRNO: i64 = 4095;
/// Slots that a claim tries, in case other CPUs claim at the same time.
const CLAIM_TRIES: u64 = 8;

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
    let thread = THREADS.get_or_create(task).ok_or(Loss::TaskStorage)?;
    thread.syscall = ctx.arg::<u32>(1);
    let now = now();
    thread.syscall_entered = now;
    // Eight bytes to something that is neither a file nor a socket: an eventfd, with which libuv and others wake their loop.
    if attributes()
        && thread.syscall == WRITE
        && thread.activity.is(HANDED)
        && task.third_argument() == WAKE_BYTES
        && task.descriptor(task.first_argument()) == Descriptor::Other
    {
        calls::signals(thread, task, now);
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
    let nr = thread.syscall;
    let record = record(service, nr)?;
    add(record, 0, 1);
    add(record, 2, took);
    let bucket = bucket_index(took) as u32;
    if bucket < BUCKETS as u32 {
        add(record, SYSCALL_HEADER + bucket, 1)
    } else {
        add(record, 3, 1)
    }
    if (-MAX_ERRNO..0).contains(&result) {
        add(record, 1, 1);
        failed(errno_key(service, nr, result.unsigned_abs() as u32))?;
    }
    Ok(())
}

/// First word of the call's record; hands out a slot at first sight.
#[inline(always)]
fn record(service: u32, nr: u32) -> Result<u32, Loss> {
    if nr >= SYSCALLS as u32 {
        return Err(Loss::SyscallSlots);
    }
    let slot = SYSCALL_SLOT.get_ptr_mut(syscall_slot_index(service, nr)).ok_or(Loss::SyscallSlots)?;
    // SAFETY: `slot` points into the map's value.
    let mut at = unsafe { slot.read_volatile() };
    if at == 0 {
        at = claim(service, nr)?;
        // SAFETY: as above. Two CPUs may have claimed a slot each for the same call; the later store wins, and the agent
        // adds up all slots that the call owns.
        unsafe { slot.write_volatile(at) };
    }
    Ok((service * SYSCALL_SLOTS + (at as u32 - 1)) * SYSCALL_WORDS)
}

/// Claims a free slot for a call: an insert that fails if the key exists gives each slot to one CPU.
#[inline(always)]
fn claim(service: u32, nr: u32) -> Result<u64, Loss> {
    let used = SYSCALL_SLOTS_USED.get_ptr_mut(service).ok_or(Loss::SyscallSlots)?;
    // SAFETY: `used` points into the map's value.
    let free = unsafe { used.read_volatile() };
    for at in free..free + CLAIM_TRIES {
        let key = (u64::from(service) << 32) | at;
        if at < u64::from(SYSCALL_SLOTS) && SYSCALL_CLAIMS.insert(key, 0, NO_EXIST).is_ok() {
            atomic_add(used, 1);
            if let Some(owner) = SYSCALL_OWNER.get_ptr_mut(service * SYSCALL_SLOTS + at as u32) {
                // SAFETY: `owner` points into the map's value.
                unsafe { owner.write_volatile(u64::from(nr) + 1) };
            }
            return Ok(at + 1);
        }
    }
    Err(Loss::SyscallSlots)
}

#[inline(always)]
fn add(record: u32, word: u32, value: u64) {
    if let Some(slot) = SYSCALL_RECORDS.get_ptr_mut(record + word) {
        atomic_add(slot, value);
    }
}

#[inline(always)]
fn failed(key: u64) -> Result<(), Loss> {
    if ERRNO.get_ptr_mut(key).is_none() {
        let _exists_meanwhile = ERRNO.insert(key, 0, NO_EXIST);
    }
    let entry = ERRNO.get_ptr_mut(key).ok_or(Loss::ErrnoTableFull)?;
    atomic_add(entry, 1);
    Ok(())
}

#[inline(always)]
fn accepted(task: Task, service: u32, fd: u64) {
    let Some(sock) = task.sock_address(fd) else { return };
    let Some(established) = ESTABLISHED.get_ptr_mut(sock) else { return };
    let now = now();
    // SAFETY: `established` points into the map's value.
    let waited = now.wrapping_sub(unsafe { *established });
    if attributes() {
        // The first request may ask when.
        let _least_recent_makes_room = ESTABLISHED.insert(sock, now | ACCEPTED, 0);
    } else {
        let _gone_meanwhile = ESTABLISHED.remove(sock);
    }
    if (waited as i64) >= 0 {
        Figures::of(service).record(Histogram::AcceptWait, waited);
    }
}
