//! The row of a socket: what its last request adds to the attribution histogram.
//!
//! In: the work for a request, or that nothing is known of it. Out: the words of the row, whose components add up to the latency.

use acgs_perf_common::attribution::{
    ALL, ATTRIBUTION_WORDS, CALLS_WORD, Component, FIRST_OF_SERVICE_TIME, MANY_CALLS_WORD, NARROW_WORDS, ONE_CALL_WORD,
    PEER_SLOTS, PEER_WORD, QUEUE_WORD, SERVICE_COMPONENTS, SHARED_WORD, component_word as word,
};
use acgs_perf_common::ledger::Loss;

use crate::count::lose;
use crate::state::socket::SocketState;
use acgs_perf_common::opaque;
use acgs_perf_common::rules::activity::Activity;
use acgs_perf_common::rules::history::QUEUE_ROOM;
use acgs_perf_common::subprogram;

/// The components of the queue time in a row, and what follows them.
#[inline(always)]
pub fn queue_of(row: &mut [u64; ATTRIBUTION_WORDS]) -> &mut [u64; QUEUE_ROOM] {
    // SAFETY: the row is longer than that.
    unsafe { &mut *row.as_mut_ptr().add(QUEUE_WORD).cast() }
}

/// Nothing is known of how the request was served.
#[inline(always)]
pub fn unknown(socket: &mut SocketState) {
    socket.is_narrow = 0;
    clear(socket, socket.replied.wrapping_sub(socket.read));
}

/// Writes a row of which only these components can be other than 0, beside those of the queue time.
#[inline(always)]
pub fn fill_narrow(socket: &mut SocketState, on_cpu: u64, loop_wait: u64) {
    if socket.is_narrow == 0 {
        clear(socket, 0);
        socket.is_narrow = 1;
    }
    socket.row[word(Component::OnCpu)] = on_cpu;
    socket.row[word(Component::LoopWait)] = loop_wait;
    socket.row[word(Component::Reply)] = 0;
}

/// A row whose service time is unknown.
#[inline(always)]
pub fn clear(socket: &mut SocketState, unknown: u64) {
    opaque::clear(&mut socket.row[word(Component::OnCpu)..QUEUE_WORD]);
    opaque::clear(&mut socket.row[NARROW_WORDS..]);
    socket.row[word(Component::Unknown)] = unknown;
}

subprogram! {
    /// Writes the work into the socket's row.
    pub fn fill = attribution_finish(socket: &mut SocketState, work: &mut Activity; now: u64) {
        work.calls_changed(now, 0, 0);
        let (total, time) = (work.total(), now.wrapping_sub(socket.read));
        if total > time {
            clear(socket, time);
            lose(Loss::Inconsistent);
            return;
        }
        for part in 0..SERVICE_COMPONENTS {
            opaque::copy_word(&mut socket.row[word(ALL[FIRST_OF_SERVICE_TIME + part])], &work.parts[part]);
        }
        socket.row[word(Component::Unknown)] += time - total;
        socket.row[word(Component::Reply)] = 0;
        socket.row[SHARED_WORD] = work.shared;
        socket.row[CALLS_WORD] = u64::from(work.calls);
        socket.row[ONE_CALL_WORD] = work.one_call;
        socket.row[MANY_CALLS_WORD] = work.many_calls;
        for slot in 0..PEER_SLOTS {
            opaque::copy_word(&mut socket.row[PEER_WORD + slot], &work.peer_ns[slot]);
        }
    }
}

/// More of a reply was sent: all of it since the first byte is the component `reply`.
#[inline(always)]
pub fn replied_more(socket: &mut SocketState, now: u64) {
    socket.row[word(Component::Reply)] = now.wrapping_sub(socket.replied);
}
