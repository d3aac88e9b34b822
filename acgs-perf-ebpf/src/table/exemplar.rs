//! Exemplars: the slowest requests leave the kernel one by one, through a ring buffer that wakes nobody.
//!
//! In: a request that was answered. Out: a record, if the request is slow enough and the agent's budget allows it.

use acgs_perf_common::attribution::LATENCY_WORD;
use acgs_perf_common::exemplar::{EXEMPLAR_RING, ExemplarRecord, GATE_WORDS, Gate};
use aya_ebpf::btf_maps::{Array, RingBuf};
use aya_ebpf::macros::btf_map;

use crate::count::atomic_add;
use crate::flags::{MMAPABLE, NO_WAKEUP};
use crate::kernel::task::Task;
use crate::state::socket::SocketState;
use crate::table::member::current_service;
use acgs_perf_common::opaque;
use acgs_perf_common::rules::activity::Activity;
use acgs_perf_common::subprogram;

/// Per service, which requests may leave as exemplars; see `acgs_perf_common::exemplar::Gate`.
#[btf_map]
static EXEMPLAR_GATE: Array<u64, 1, MMAPABLE> = Array::new();
/// Exemplars on their way to the agent.
#[btf_map]
static EXEMPLARS: RingBuf<ExemplarRecord, { EXEMPLAR_RING as usize }> = RingBuf::new();

#[inline(always)]
fn gate(service: u32, word: Gate) -> Option<*mut u64> {
    EXEMPLAR_GATE.get_ptr_mut(service * GATE_WORDS + word as u32)
}

/// A word of the gate; `u64::MAX` if there is none.
#[inline(always)]
fn read(service: u32, word: Gate) -> u64 {
    // SAFETY: the pointer is into the map's value.
    gate(service, word).map_or(u64::MAX, |slot| unsafe { slot.read_volatile() })
}

/// Whether the request is slow enough.
#[inline(always)]
pub fn is_wanted(socket: &SocketState, service: u32) -> bool {
    socket.row[LATENCY_WORD] >= read(service, Gate::AboveP99)
}

/// Whether a request that is wanted is slower than the P99 has been so far.
#[inline(always)]
pub fn is_slow(socket: &SocketState, service: u32) -> bool {
    // Before the agent has set it, nothing is.
    socket.row[LATENCY_WORD].wrapping_sub(1) >= read(service, Gate::P99).wrapping_sub(1)
}

subprogram! {
    /// Sends the request to the agent if it is slow. `work` has its segments.
    pub fn offer = exemplar_offer(socket: &mut SocketState, work: &mut Activity; service: u32) {
        propose(socket, Some(work), service);
    }
}

subprogram! {
    /// Sends the request to the agent if it is slow, when only its sums are known.
    pub fn offer_sums = exemplar_offer_sums(socket: &mut SocketState; service: u32) {
        propose(socket, None, service);
    }
}

#[inline(always)]
fn propose(socket: &SocketState, work: Option<&Activity>, service: u32) {
    let latency = socket.row[LATENCY_WORD];
    if latency < read(service, Gate::AboveP99) {
        return;
    }
    let slowest = latency >= read(service, Gate::Slowest);
    let budget = if slowest { Gate::SlowestBudget } else { Gate::AboveP99Budget };
    let Some(left) = gate(service, budget) else { return };
    // SAFETY: the pointer is into the map's value. Several CPUs may overdraw it by one each.
    let allowed = unsafe { left.read_volatile() } as i64 > 0;
    if allowed {
        atomic_add(left, 1u64.wrapping_neg());
        if send(socket, work, service, slowest).is_some() {
            return;
        }
    }
    if let Some(dropped) = gate(service, Gate::Dropped) {
        atomic_add(dropped, 1);
    }
}

#[inline(always)]
fn send(socket: &SocketState, work: Option<&Activity>, service: u32, slowest: bool) -> Option<()> {
    let task = Task::current();
    // That a reply has left is found by whoever comes by: an interrupt, or the agent that looks at the sockets.
    let is_by_service = work.is_some() || current_service().is_some();
    let mut entry = EXEMPLARS.reserve(0)?;
    let record: *mut ExemplarRecord = entry.as_mut_ptr();
    // SAFETY: the memory was reserved for one record, and every field is written before it is submitted.
    unsafe {
        (*record).socket = socket.known_id();
        (*record).arrived = socket.arrived;
        (*record).read = socket.read;
        (*record).first = socket.replied;
        (*record).last = socket.arrived + socket.row[LATENCY_WORD];
        (*record).bytes_in = socket.bytes_in;
        (*record).bytes_out = socket.bytes_out;
        (*record).service = service;
        (*record).pid = if is_by_service { task.pid() } else { 0 };
        (*record).tgid = if is_by_service { task.tgid() } else { 0 };
        (*record).family = u32::from(socket.client.family);
        (*record).client_address = socket.client.address;
        (*record).client_port = socket.client.port;
        (*record).slowest = u32::from(slowest);
        (*record).endpoint = u32::from(socket.endpoint);
        (*record).reserved = 0;
        (*record).comm = if is_by_service { task.comm() } else { [0; 16] };
        opaque::copy(&mut (*record).row, &socket.row);
        match work {
            Some(work) => {
                (*record).segments_len = work.segments_len;
                (*record).queue_segments = work.queue_segments;
                opaque::copy(&mut (*record).segments, &work.segments);
            }
            None => {
                (*record).segments_len = 0;
                (*record).queue_segments = 0;
                opaque::clear(&mut (*record).segments);
            }
        }
    }
    entry.submit(NO_WAKEUP); // the agent looks by itself
    Some(())
}
