//! The row of a socket: what its last request adds to the attribution histogram.
//!
//! In: the work for a request, or that nothing is known of it. Out: the words of the row, whose components add up to the latency.

use super::activity::Activity;
use super::history::QUEUE_ROOM;
use super::{Row, Served, Table};
use crate::attribution::{
    ALL, CALLS_WORD, Component, FIRST_OF_SERVICE_TIME, MANY_CALLS_WORD, NARROW_WORDS, ONE_CALL_WORD, PEER_SLOTS,
    PEER_WORD, QUEUE_WORD, ROOM_WORD, SERVICE_COMPONENTS, SHARED_WORD, component_word as word,
};
use crate::ledger::Loss;
use crate::opaque;

/// The components of the queue time in a row, and what follows them.
#[inline(always)]
pub fn queue_of(row: &mut Row) -> &mut [u64; QUEUE_ROOM] {
    // SAFETY: the row is longer than that.
    unsafe { &mut *row.as_mut_ptr().add(QUEUE_WORD).cast() }
}

/// Nothing is known of how the request was served.
#[inline(always)]
pub fn unknown<S: Served>(socket: &mut S) {
    *socket.is_narrow() = 0;
    let service_time = socket.replied().wrapping_sub(socket.read());
    clear(socket.row(), service_time);
}

/// Writes a row of which only these components can be other than 0, beside those of the queue time.
#[inline(always)]
pub fn fill_narrow<S: Served>(socket: &mut S, on_cpu: u64, loop_wait: u64) {
    if *socket.is_narrow() == 0 {
        clear(socket.row(), 0);
        *socket.is_narrow() = 1;
    }
    let row = socket.row();
    // One by one: of those that are 0 the compiler would make a call of `memset`, which goes byte by byte.
    for (component, ns) in [(Component::OnCpu, on_cpu), (Component::LoopWait, loop_wait), (Component::Reply, 0)] {
        opaque::store(&mut row[word(component)], ns);
    }
}

/// A row whose service time is unknown.
#[inline(always)]
pub fn clear(row: &mut Row, unknown: u64) {
    opaque::clear(&mut row[word(Component::OnCpu)..QUEUE_WORD]);
    opaque::clear(&mut row[NARROW_WORDS..ROOM_WORD]);
    row[word(Component::Unknown)] = unknown;
}

/// Writes the work into the socket's row.
#[inline(always)]
pub fn fill<T: Table>(table: &T, socket: &mut T::Socket, work: &mut Activity, now: u64) {
    work.ends_at(now);
    work.calls_changed(now, 0, 0);
    let (total, time) = (work.total(), now.wrapping_sub(socket.read()));
    let row = socket.row();
    if total > time {
        clear(row, time);
        table.lose(Loss::Inconsistent);
        return;
    }
    for part in 0..SERVICE_COMPONENTS {
        opaque::copy_word(&mut row[word(ALL[FIRST_OF_SERVICE_TIME + part])], &work.parts[part]);
    }
    row[word(Component::Unknown)] += time - total;
    row[word(Component::Reply)] = 0;
    // Work of which parts were found to be for the request may have been split, and waited for calls, at the same times.
    row[SHARED_WORD] = work.shared.min(time);
    row[CALLS_WORD] = u64::from(work.calls);
    let one_call = work.one_call.min(time);
    row[ONE_CALL_WORD] = one_call;
    row[MANY_CALLS_WORD] = work.many_calls.min(time - one_call);
    for slot in 0..PEER_SLOTS {
        opaque::copy_word(&mut row[PEER_WORD + slot], &work.peer_ns[slot]);
    }
}

/// More of a reply was sent, which has taken so long since its first byte.
#[inline(always)]
pub fn replied_more<S: Served>(socket: &mut S, reply: u64) {
    socket.row()[word(Component::Reply)] = reply;
}
