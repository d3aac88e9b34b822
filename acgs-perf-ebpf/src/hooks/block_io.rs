//! Block I/O: how long requests to a device wait for it, and how long it works on them, per service and device.
//!
//! In: requests that are queued (`block_rq_insert`, which those skip that a device takes at once), handed to the device, and
//! completed. Out: records of services, as `acgs_perf_common::block_io` lays them out, and of nobody.
//!
//! Whose a request is, its first hook decides, because later ones run for whoever keeps the queue going. It is the running process's
//! if that is a member. A kernel thread works for others, as when it writes pages back: then it is the service's to whom the control
//! group of the data belongs alone, and nobody's that is known otherwise. A group belongs to the service whose threads were in it, as
//! the recording began or as they asked for I/O themselves, unless other processes were too; the root group belongs to nobody.

use acgs_perf_common::block_io::{
    BUCKETS, BYTES, BlockIoFields, DEVICE, DEVICE_OVER_RANGE, DEVICE_SUM, DEVICES, ERRORS, GROUPS, IN_FLIGHT, NOBODY,
    POWER, QUEUE, QUEUE_OVER_RANGE, QUEUE_SUM, REQUESTS, device_word, record_base,
};
use acgs_perf_common::fields::NO_FIELD;
use acgs_perf_common::histogram::bucket_index_of_power;
use acgs_perf_common::ledger::Loss;
use aya_ebpf::btf_maps::{Array, HashMap};
use aya_ebpf::macros::{btf_map, btf_tracepoint};
use aya_ebpf::programs::BtfTracePointContext;

use super::entry::run;
use super::standby::on_one_cpu;
use super::task_iter::{Context, thread_at};
use crate::count::{atomic_add, replaced};
use crate::flags::{MMAPABLE, NO_EXIST, NO_PREALLOC};
use crate::globals::{counts, field};
use crate::kernel::memory::{load, probe};
use crate::kernel::task::Task;
use crate::kernel::time::{elapsed, now};
use crate::table::member::service_byte_of_tgid;

/// Offsets of the fields that only these programs read.
#[unsafe(no_mangle)]
pub static BLOCK_IO_FIELDS: BlockIoFields = BlockIoFields::ZERO;

/// Records by owner, device and operation.
#[btf_map]
static BLOCK_IO_RECORDS: Array<u64, 1, MMAPABLE> = Array::new();
/// Per owner, the devices that have records of their own.
#[btf_map]
static BLOCK_IO_DEVICES: Array<[u64; DEVICES], 1, MMAPABLE> = Array::new();
/// Address of a request → what is known of it until it completes. A hash map: the kernel has no storage for requests. It is not
/// one whose least recent entries make room, so that what does not fit is counted; a request whose end was missed gives its
/// entry back when the kernel uses it again, as it does with all requests. Entries take memory only while they are there, so that
/// the room for a busy service is no cost of an idle one.
#[btf_map]
static BLOCK_IO_IN_FLIGHT: HashMap<u64, InFlight, { IN_FLIGHT as usize }, NO_PREALLOC> = HashMap::new();
/// Serial number of a control group → its owner, or one of the two below. A hash map: asked once per request of a member or of a
/// kernel thread, beside which it is nothing.
#[btf_map]
static BLOCK_IO_GROUPS: HashMap<u64, u64, { GROUPS as usize }, NO_PREALLOC> = HashMap::new();

/// Only strangers are in the group.
const STRANGERS: u64 = 1 << 32;
/// More than one service is, or a service and strangers.
const SHARED: u64 = 1 << 33;
/// `PF_KTHREAD`.
const KERNEL_THREAD: u32 = 0x0020_0000;
/// The operation in `request.cmd_flags`, `REQ_OP_MASK`; 0 reads, 1 writes.
const OPERATION: u32 = 0xff;
const OTHER: u32 = 2;

/// A request on its way.
#[repr(C)]
#[derive(Clone, Copy)]
struct InFlight {
    /// The kernel's own time of its start, 0 where the device keeps none: tells a request from the last that was at its address.
    start: u64,
    /// When it began to wait, 0 if that is not known.
    queued: u64,
    /// When the device got it, 0 before.
    issued: u64,
    bytes: u32,
    /// First word of its record.
    record: u32,
}

/// `struct request *`.
#[derive(Clone, Copy)]
struct Request(*const u8);

impl Request {
    #[inline(always)]
    fn arg(ctx: &BtfTracePointContext) -> Self {
        Self(ctx.arg::<*const u8>(0))
    }

    #[inline(always)]
    fn address(self) -> u64 {
        self.0 as u64
    }

    #[inline(always)]
    fn start(self) -> u64 {
        load(self.0, field!(BLOCK_IO_FIELDS.request_start))
    }

    #[inline(always)]
    fn bytes(self) -> u32 {
        load(self.0, field!(BLOCK_IO_FIELDS.request_bytes))
    }

    #[inline(always)]
    fn operation(self) -> u32 {
        (load::<u32>(self.0, field!(BLOCK_IO_FIELDS.request_flags)) & OPERATION).min(OTHER)
    }

    /// The device; `None` for requests to none, such as those to a controller.
    #[inline(always)]
    fn device(self) -> Option<u64> {
        let queue: *const u8 = load(self.0, field!(BLOCK_IO_FIELDS.request_queue));
        let disk: *const u8 = probe(queue, field!(BLOCK_IO_FIELDS.queue_disk))?;
        let major = probe(disk, field!(BLOCK_IO_FIELDS.disk_major))?;
        Some(device_word(major, probe(disk, field!(BLOCK_IO_FIELDS.disk_minor))?))
    }

    /// The control group of its data.
    #[inline(always)]
    fn group(self) -> Option<u64> {
        if field!(BLOCK_IO_FIELDS.bio_group) as u32 == NO_FIELD {
            return None;
        }
        let bio: *const u8 = load(self.0, field!(BLOCK_IO_FIELDS.request_bio));
        let on_device: *const u8 = probe(bio, field!(BLOCK_IO_FIELDS.bio_group))?;
        let group: *const u8 = probe(on_device, field!(BLOCK_IO_FIELDS.group_owner))?;
        serial(group.wrapping_add(field!(BLOCK_IO_FIELDS.owner_state)))
    }

    /// What is known of it.
    #[inline(always)]
    fn known(self) -> Option<InFlight> {
        let entry = BLOCK_IO_IN_FLIGHT.get_ptr(self.address())?;
        // SAFETY: the pointer is into the map's value.
        let known = unsafe { entry.read() };
        let start = self.start();
        // Without a time of its start, one that has been issued may be the last at this address.
        (known.start == start && (start != 0 || known.issued == 0)).then_some(known)
    }
}

/// The number of a control group, which no other ever has; `None` for the root group.
#[inline(always)]
fn serial(state: *const u8) -> Option<u64> {
    let parent: *const u8 = probe(state, field!(BLOCK_IO_FIELDS.state_parent))?;
    if parent.is_null() {
        return None;
    }
    probe(state, field!(BLOCK_IO_FIELDS.state_serial))
}

/// The control group in which a thread asks for block I/O.
#[inline(always)]
fn group_of(task: Task) -> Option<u64> {
    if field!(BLOCK_IO_FIELDS.controller) as u32 == NO_FIELD {
        return None;
    }
    let groups: *const u8 = probe(task.as_ptr().cast(), field!(BLOCK_IO_FIELDS.task_groups))?;
    let controllers = field!(BLOCK_IO_FIELDS.groups_controllers);
    serial(probe(groups, controllers + field!(BLOCK_IO_FIELDS.controller) * size_of::<u64>())?)
}

#[inline(always)]
fn is_kernel_thread(task: Task) -> bool {
    load::<u32>(task.as_ptr().cast(), field!(BLOCK_IO_FIELDS.task_flags)) & KERNEL_THREAD != 0
}

/// A thread of `owner` is in the group.
#[inline(always)]
fn is_in(group: u64, owner: u64) {
    match BLOCK_IO_GROUPS.get_ptr_mut(group) {
        // SAFETY: the pointer is into the map's value.
        Some(known) if unsafe { known.read_volatile() } == owner => {}
        // SAFETY: as above.
        Some(known) => unsafe { known.write_volatile(SHARED) },
        // Without room the group has no owner.
        None => drop(BLOCK_IO_GROUPS.insert(group, owner, NO_EXIST)),
    }
}

/// The threads that there are, each in its group.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
extern "C" fn block_io_groups(ctx: *const Context) -> i32 {
    let Some(task) = thread_at(ctx) else { return 0 };
    if is_kernel_thread(task) {
        return 0;
    }
    let Some(group) = group_of(task) else { return 0 };
    let service = u64::from(service_byte_of_tgid(task.tgid()));
    is_in(group, if service == 0 { STRANGERS } else { service });
    0
}

/// Whose a request is; `None` if it is a stranger's.
#[inline(always)]
fn owner(request: Request) -> Option<u32> {
    let task = Task::current();
    let service = service_byte_of_tgid(task.tgid());
    if service != 0 {
        if let Some(group) = group_of(task) {
            is_in(group, u64::from(service));
        }
        return Some(service);
    }
    if !is_kernel_thread(task) {
        return None;
    }
    let owner = request.group().and_then(|group| BLOCK_IO_GROUPS.get_ptr(group));
    // SAFETY: the pointer is into the map's value.
    match owner.map(|owner| unsafe { owner.read_volatile() }) {
        Some(STRANGERS) => None,
        Some(SHARED) | None => Some(NOBODY),
        Some(owner) => Some(owner as u32),
    }
}

/// First word of the record in which a request counts.
#[inline(always)]
fn record_of(request: Request, owner: u32) -> Option<u32> {
    Some(record_base(owner, slot_of(owner, request.device()?), request.operation()))
}

/// The slot of a device, which it gets at first sight; 0 once there is none left.
#[inline(always)]
fn slot_of(owner: u32, device: u64) -> u32 {
    let Some(devices) = BLOCK_IO_DEVICES.get_ptr_mut(owner) else { return 0 };
    for at in 0..DEVICES {
        // SAFETY: `at` is within the entry of the map.
        let place = unsafe { devices.cast::<u64>().add(at) };
        // SAFETY: `place` points into the map's value.
        let is_its = || unsafe { place.read_volatile() } == device;
        // Of two CPUs with a new device one gets the place, and the other may have the same device.
        if is_its() || replaced(place, 0, device) || is_its() {
            return at as u32 + 1;
        }
    }
    0
}

#[btf_tracepoint]
pub fn block_rq_insert(ctx: BtfTracePointContext) -> i32 {
    run(|| on_one_cpu(|| insert(Request::arg(&ctx))))
}

// What is known already is put there again.
#[btf_tracepoint]
pub fn block_rq_insert_standby(ctx: BtfTracePointContext) -> i32 {
    run(|| on_one_cpu(|| if Request::arg(&ctx).known().is_some() { Ok(()) } else { insert(Request::arg(&ctx)) }))
}

#[inline(always)]
fn insert(request: Request) -> Result<(), Loss> {
    let Some(record) = owner(request).and_then(|owner| record_of(request, owner)) else { return Ok(()) };
    let start = request.start();
    let queued = if start == 0 { now() } else { start };
    remember(request, InFlight { start, queued, issued: 0, bytes: 0, record })
}

#[btf_tracepoint]
pub fn block_rq_issue(ctx: BtfTracePointContext) -> i32 {
    run(|| on_one_cpu(|| issue(Request::arg(&ctx))))
}

// Where the kernel keeps no time of the start it cannot be told whether it was seen; it is then done twice, a moment later.
#[btf_tracepoint]
pub fn block_rq_issue_standby(ctx: BtfTracePointContext) -> i32 {
    let request = Request::arg(&ctx);
    run(|| on_one_cpu(|| if request.known().is_some_and(|known| known.issued != 0) { Ok(()) } else { issue(request) }))
}

#[inline(always)]
fn issue(request: Request) -> Result<(), Loss> {
    let (start, bytes) = (request.start(), request.bytes());
    if let Some(known) = request.known() {
        return remember(request, InFlight { issued: now(), bytes, ..known });
    }
    let Some(record) = owner(request).and_then(|owner| record_of(request, owner)) else {
        // The last at this address, whose end was missed.
        let _mostly_none = BLOCK_IO_IN_FLIGHT.remove(request.address());
        return Ok(());
    };
    remember(request, InFlight { start, queued: start, issued: now(), bytes, record })
}

#[inline(always)]
fn remember(request: Request, known: InFlight) -> Result<(), Loss> {
    BLOCK_IO_IN_FLIGHT.insert(request.address(), known, 0).map_err(|_| Loss::RequestTableFull)
}

#[btf_tracepoint]
pub fn block_rq_complete(ctx: BtfTracePointContext) -> i32 {
    run(|| on_one_cpu(|| complete(&ctx)))
}

// What has completed is not there any more.
#[btf_tracepoint]
pub fn block_rq_complete_standby(ctx: BtfTracePointContext) -> i32 {
    run(|| on_one_cpu(|| complete(&ctx)))
}

#[inline(always)]
fn complete(ctx: &BtfTracePointContext) -> Result<(), Loss> {
    let request = Request::arg(ctx);
    let Some(entry) = BLOCK_IO_IN_FLIGHT.get_ptr(request.address()) else { return Ok(()) };
    // SAFETY: the pointer is into the map's value.
    let known = unsafe { entry.read() };
    // A part of it, or the last request at this address.
    if ctx.arg::<u32>(2) < request.bytes() || known.start != request.start() {
        return Ok(());
    }
    let is_first = BLOCK_IO_IN_FLIGHT.remove(request.address()).is_ok();
    if !is_first || known.issued == 0 || !counts() {
        return Ok(());
    }
    let on_device = elapsed(known.issued, now())?;
    add(known.record + REQUESTS, 1);
    add(known.record + BYTES, u64::from(known.bytes));
    if ctx.arg::<u64>(1) != 0 {
        add(known.record + ERRORS, 1);
    }
    add(known.record + DEVICE_SUM, on_device);
    record(known.record, DEVICE, DEVICE_OVER_RANGE, on_device);
    if known.queued != 0 {
        let queued = elapsed(known.queued, known.issued)?;
        add(known.record + QUEUE_SUM, queued);
        record(known.record, QUEUE, QUEUE_OVER_RANGE, queued);
    }
    Ok(())
}

/// Counts a time in its bucket.
#[inline(always)]
fn record(record: u32, first: u32, over_range: u32, ns: u64) {
    let bucket = bucket_index_of_power(ns, POWER) as u32;
    add(record + if bucket < BUCKETS { first + bucket } else { over_range }, 1);
}

#[inline(always)]
fn add(word: u32, value: u64) {
    if let Some(word) = BLOCK_IO_RECORDS.get_ptr_mut(word) {
        atomic_add(word, value);
    }
}
