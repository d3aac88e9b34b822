//! Memory: page faults of a service's threads, and how long they stall because memory has to be freed or moved for them first.
//!
//! In: threads that are born, that exit, and that are walked over before each reading; the begin and the end of each stall. Out: counters
//! and records, as `acgs_perf_common::memory` lays them out, and the control groups of the service's processes.
//!
//! A fault itself runs no program: the kernel counts the faults of each thread, and what its two counters have grown by since they
//! were last looked at is added to the service's. That happens at the walk, and at the exit of the thread.

use acgs_perf_common::fields::NO_FIELD;
use acgs_perf_common::histogram::bucket_index_of_power;
use acgs_perf_common::ledger::Loss;
use acgs_perf_common::memory::{
    BUCKETS, COMPACTION, COUNT, DIRECT_RECLAIM, FAULTS, GROUP_RECLAIM, GROUPS, MAJOR, MINOR, MemoryFields, OVER_RANGE,
    POWER, STALLS, SUM, TIME, fault_index, stall_base,
};
use aya_ebpf::btf_maps::Array;
use aya_ebpf::macros::{btf_map, btf_tracepoint};
use aya_ebpf::programs::BtfTracePointContext;

use super::entry::run;
use super::standby::on_one_cpu;
use super::task_iter::{Context, thread_at};
use crate::count::{atomic_add, replaced};
use crate::flags::MMAPABLE;
use crate::globals::{counts, field};
use crate::kernel::memory::{load, probe};
use crate::kernel::storage::TaskStorage;
use crate::kernel::task::Task;
use crate::kernel::time::{elapsed, now};
use crate::table::member::{service_byte_of_tgid, service_of_tgid};

/// Offsets of the fields that only these programs read.
#[unsafe(no_mangle)]
pub static MEMORY_FIELDS: MemoryFields = MemoryFields::ZERO;

/// Faults by service and kind.
#[btf_map]
static MEMORY_FAULTS: Array<u64, 1, MMAPABLE> = Array::new();
/// Stalls by service and kind.
#[btf_map]
static MEMORY_STALLS: Array<u64, 1, MMAPABLE> = Array::new();
/// Per service, numbers of the control groups of its processes; the agent takes out those that are gone.
#[btf_map]
static MEMORY_GROUPS: Array<[u64; GROUPS], 1, MMAPABLE> = Array::new();
/// When the threads were walked over for the first time.
#[btf_map]
static MEMORY_BEGAN: Array<u64, 1, MMAPABLE> = Array::new();
/// What is known of each thread of a service.
#[btf_map]
static MEMORY_THREADS: TaskStorage<Thread> = TaskStorage::new();

/// A thread.
#[repr(C)]
struct Thread {
    /// Its service + 1; 0 in a new record.
    service: u32,
    padding: u32,
    /// How many of its faults have been added to the service's.
    added: [u64; FAULTS],
    /// When the stall began that it is in, 0 outside of one.
    since: [u64; STALLS],
}

/// What is known of a thread of a service: of one that was not seen before, the faults of its whole life count if it is younger than
/// the recording, and none before this moment otherwise. `None` for strangers, and where the kernel refuses memory.
#[inline(always)]
fn thread_of(task: Task) -> Result<Option<&'static mut Thread>, Loss> {
    let service = service_byte_of_tgid(task.tgid());
    if service == 0 {
        // A process may have left its service before its last threads exit.
        return Ok(MEMORY_THREADS.get(task));
    }
    let thread = MEMORY_THREADS.get_or_create(task).ok_or(Loss::TaskStorage)?;
    if thread.service == 0 && !is_younger(task) {
        thread.added = [faults(task, MINOR), faults(task, MAJOR)];
    }
    thread.service = service;
    Ok(Some(thread))
}

#[inline(always)]
fn faults(task: Task, kind: u32) -> u64 {
    let field = if kind == MINOR { field!(MEMORY_FIELDS.task_minor) } else { field!(MEMORY_FIELDS.task_major) };
    load(task.as_ptr().cast(), field)
}

/// Whether the thread was born after the first walk.
#[inline(always)]
fn is_younger(task: Task) -> bool {
    let Some(began) = MEMORY_BEGAN.get_ptr(0) else { return false };
    // SAFETY: the pointer is into the map's value.
    let began = unsafe { began.read_volatile() };
    began != 0 && load::<u64>(task.as_ptr().cast(), field!(MEMORY_FIELDS.task_started)) >= began
}

/// Adds the faults of a thread since the last time to its service's.
#[inline(always)]
fn add_faults(task: Task, thread: &mut Thread) {
    let Some(service) = thread.service.checked_sub(1) else { return };
    for kind in [MINOR, MAJOR] {
        let added = &raw mut thread.added[kind as usize];
        // The walk may have come to a thread that exits: whoever is late looks again.
        for _ in 0..2 {
            // SAFETY: `added` is in the thread's storage. It is read first, so that the counter is never behind it.
            let before = unsafe { added.read_volatile() };
            let all = faults(task, kind);
            if all == before {
                break;
            }
            if replaced(added, before, all) {
                if let Some(sum) = MEMORY_FAULTS.get_ptr_mut(fault_index(service, kind)) {
                    atomic_add(sum, all.wrapping_sub(before));
                }
                break;
            }
        }
    }
}

#[btf_tracepoint(function = "sched_process_fork")]
pub fn memory_fork(ctx: BtfTracePointContext) -> i32 {
    run(|| on_one_cpu(|| fork(&ctx)))
}

// A thread that is known is known again.
#[btf_tracepoint(function = "sched_process_fork")]
pub fn memory_fork_standby(ctx: BtfTracePointContext) -> i32 {
    run(|| on_one_cpu(|| fork(&ctx)))
}

/// A thread is born, with all its faults before it.
#[inline(always)]
fn fork(ctx: &BtfTracePointContext) -> Result<(), Loss> {
    let (parent, child) = (Task::arg(ctx, 0), Task::arg(ctx, 1));
    let Some(service) = service_of_tgid(parent.tgid()) else { return Ok(()) };
    MEMORY_THREADS.get_or_create(child).ok_or(Loss::TaskStorage)?.service = service + 1;
    Ok(())
}

#[btf_tracepoint(function = "sched_process_exit")]
pub fn memory_exit(ctx: BtfTracePointContext) -> i32 {
    run(|| on_one_cpu(|| exit(&ctx)))
}

// What has been added is not added again.
#[btf_tracepoint(function = "sched_process_exit")]
pub fn memory_exit_standby(ctx: BtfTracePointContext) -> i32 {
    run(|| on_one_cpu(|| exit(&ctx)))
}

#[inline(always)]
fn exit(ctx: &BtfTracePointContext) -> Result<(), Loss> {
    let task = Task::arg(ctx, 0);
    if let Some(thread) = thread_of(task)? {
        add_faults(task, thread);
    }
    Ok(())
}

/// The threads that there are.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
extern "C" fn memory_threads(ctx: *const Context) -> i32 {
    let Some(task) = thread_at(ctx) else { return 0 };
    run(|| walk(task))
}

#[inline(always)]
fn walk(task: Task) -> Result<(), Loss> {
    let Some(thread) = thread_of(task)? else { return begin() };
    add_faults(task, thread);
    if task.pid() == task.tgid()
        && let Some(service) = thread.service.checked_sub(1)
    {
        keep_group(task, service);
    }
    begin()
}

/// The first walk has come to its first thread.
#[inline(always)]
fn begin() -> Result<(), Loss> {
    if let Some(began) = MEMORY_BEGAN.get_ptr_mut(0)
        // SAFETY: the pointer is into the map's value.
        && unsafe { began.read_volatile() } == 0
    {
        replaced(began, 0, now());
    }
    Ok(())
}

/// Keeps the number of the control group that a process is in, if there is room for it.
#[inline(always)]
fn keep_group(task: Task, service: u32) {
    let (Some(group), Some(groups)) = (group_of(task), MEMORY_GROUPS.get_ptr_mut(service)) else { return };
    for at in 0..GROUPS {
        // SAFETY: `at` is within the entry of the map.
        let place = unsafe { groups.cast::<u64>().add(at) };
        // SAFETY: `place` points into the map's value.
        if unsafe { place.read_volatile() } == group || replaced(place, 0, group) {
            return;
        }
    }
}

/// The number of a process's control group in the unified hierarchy; `None` where there is no such thing.
#[inline(always)]
fn group_of(task: Task) -> Option<u64> {
    if field!(MEMORY_FIELDS.groups_unified) as u32 == NO_FIELD {
        return None;
    }
    let groups: *const u8 = probe(task.as_ptr().cast(), field!(MEMORY_FIELDS.task_groups))?;
    let group: *const u8 = probe(groups, field!(MEMORY_FIELDS.groups_unified))?;
    let node: *const u8 = probe(group, field!(MEMORY_FIELDS.group_node))?;
    probe::<u64>(node, field!(MEMORY_FIELDS.node_id)).filter(|id| *id != 0)
}

/// A stall begins, of the running thread.
#[inline(always)]
fn stalls(kind: u32) -> Result<(), Loss> {
    let task = Task::current();
    if service_byte_of_tgid(task.tgid()) != 0
        && let Some(thread) = thread_of(task)?
    {
        thread.since[kind as usize] = now();
    }
    Ok(())
}

/// It is over.
#[inline(always)]
fn goes_on(kind: u32) -> Result<(), Loss> {
    let task = Task::current();
    let Some(service) = service_of_tgid(task.tgid()) else { return Ok(()) };
    let Some(thread) = MEMORY_THREADS.get(task) else { return Ok(()) };
    let since = core::mem::take(&mut thread.since[kind as usize]);
    if since == 0 || !counts() {
        return Ok(());
    }
    let ns = elapsed(since, now())?;
    let record = stall_base(service, kind);
    add(record + COUNT, 1);
    add(record + SUM, ns);
    let bucket = bucket_index_of_power(ns, POWER) as u32;
    add(record + if bucket < BUCKETS { TIME + bucket } else { OVER_RANGE }, 1);
    Ok(())
}

#[inline(always)]
fn add(word: u32, value: u64) {
    if let Some(word) = MEMORY_STALLS.get_ptr_mut(word) {
        atomic_add(word, value);
    }
}

/// The programs at the begin and at the end of a kind of stall, each with its standby. One that began twice began the second time, a
/// moment later; one that is over is not over again.
macro_rules! stall {
    ($kind:ident, $begin:ident, $begin_standby:ident, $end:ident, $end_standby:ident) => {
        #[btf_tracepoint]
        pub fn $begin(_ctx: BtfTracePointContext) -> i32 {
            run(|| on_one_cpu(|| stalls($kind)))
        }

        #[btf_tracepoint]
        pub fn $begin_standby(_ctx: BtfTracePointContext) -> i32 {
            run(|| on_one_cpu(|| stalls($kind)))
        }

        #[btf_tracepoint]
        pub fn $end(_ctx: BtfTracePointContext) -> i32 {
            run(|| on_one_cpu(|| goes_on($kind)))
        }

        #[btf_tracepoint]
        pub fn $end_standby(_ctx: BtfTracePointContext) -> i32 {
            run(|| on_one_cpu(|| goes_on($kind)))
        }
    };
}

stall!(
    DIRECT_RECLAIM,
    mm_vmscan_direct_reclaim_begin,
    mm_vmscan_direct_reclaim_begin_standby,
    mm_vmscan_direct_reclaim_end,
    mm_vmscan_direct_reclaim_end_standby
);
stall!(
    GROUP_RECLAIM,
    mm_vmscan_memcg_reclaim_begin,
    mm_vmscan_memcg_reclaim_begin_standby,
    mm_vmscan_memcg_reclaim_end,
    mm_vmscan_memcg_reclaim_end_standby
);
stall!(COMPACTION, mm_compaction_begin, mm_compaction_begin_standby, mm_compaction_end, mm_compaction_end_standby);
