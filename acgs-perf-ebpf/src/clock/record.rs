//! What is recorded of a request that was answered: its latency in the histogram, its row in the attribution histogram.
//!
//! In: a latency that has grown since it was recorded, because the reply went on, or left late; a request that waited behind others on its
//! connection and is answered together with them. Out: the histograms are right after every event.

use acgs_perf_common::attribution::{
    COUNT_WORD, Component, LATENCY_WORD, QUEUE_COMPONENTS, QUEUE_WORD, attribution_bucket, component_word,
};
use acgs_perf_common::endpoint::NO_ENDPOINT;
use acgs_perf_common::maps::{Counter, Histogram};
use acgs_perf_common::opaque;
use acgs_perf_common::rules::row;
use acgs_perf_common::subprogram;
use acgs_perf_protocol::pending::Reading;

use crate::count::{Figures, atomic_add, replaced};
use crate::globals::attributes;
use crate::state::socket::{REPLIED, SocketState};
use crate::table::endpoint;

/// Records `latency` in place of `recorded`; what is more belongs to the reply. Whether it did: see [`takes`].
#[inline(always)]
pub fn grows(socket: &mut SocketState, figures: Figures, recorded: u64, latency: u64) -> bool {
    let is_ours = latency.wrapping_sub(recorded) as i64 > 0 && takes(socket, recorded, latency);
    if is_ours {
        grown(socket, figures, recorded, latency);
    }
    is_ours
}

/// Replaces the latency that is `recorded`, in one step. Whether it did: another thread that sends now may be later, or may not have
/// filled the row yet.
#[inline(always)]
pub fn takes(socket: &mut SocketState, recorded: u64, latency: u64) -> bool {
    (!attributes() || socket.row[COUNT_WORD] != 0) && replaced(&raw mut socket.row[LATENCY_WORD], recorded, latency)
}

/// Moves a request from where its latency was `recorded` to where it is now.
#[inline(always)]
pub fn grown(socket: &mut SocketState, figures: Figures, recorded: u64, latency: u64) {
    let more = latency.wrapping_sub(recorded);
    figures.unrecord(Histogram::Latency, recorded);
    figures.record(Histogram::Latency, latency);
    figures.add(Counter::LatencySum, more);
    if socket.endpoint != NO_ENDPOINT {
        endpoint::grown(endpoint::own(figures, socket.endpoint), recorded, latency);
    }
    if attributes() {
        row::replied_more(socket, latency.wrapping_sub(socket.until_reply()));
        if attribution_bucket(latency) == attribution_bucket(recorded) {
            figures.add_growth(latency, more);
        } else {
            add_to_row(socket, figures.service(), recorded, 1);
            add_to_row(socket, figures.service(), latency, 0);
        }
    }
}

subprogram! {
    /// Adds the socket's last request to the row of the attribution histogram for this `latency`, or takes it back.
    pub fn add_to_row = request_add_to_row(socket: &mut SocketState; service: u32, latency: u64, back: u32) {
        let reply = latency.wrapping_sub(socket.until_reply());
        let (narrow, held) = (socket.is_narrow != 0, socket.delivery != 0);
        Figures::at_any_time(service).add_row(latency, reply, &socket.row, (narrow, held, back != 0));
    }
}

/// A word of the queue time.
const BEHIND_OTHERS: usize = component_word(Component::QueueOnCpu);
const QUEUE_OTHER: usize = component_word(Component::QueueOther);

subprogram! {
    /// Records a request that is answered at `now`, by the same send as another one in front of it on its connection, of which the socket's
    /// row tells. Its time is queue time to the end: what was served of it, and when, nobody can tell apart.
    pub fn queued = request_queued(socket: &mut SocketState, reading: &mut Reading; service: u32, endpoint: u32, now: u64) {
        let figures = Figures::of(service);
        let latency = now.wrapping_sub(reading.arrived);
        figures.add(Counter::Read, 1);
        figures.add(Counter::Requests, 1);
        figures.add(Counter::QueueTimeSum, latency);
        figures.add(Counter::LatencySum, latency);
        figures.record(Histogram::QueueTime, latency);
        figures.record(Histogram::ServiceTime, 0);
        figures.record(Histogram::Latency, latency);
        endpoint::answered(endpoint::own(figures, endpoint as u16), latency);
        if !attributes() {
            return;
        }
        let is_same = reading.read == socket.read && reading.arrived == socket.arrived;
        let Some(sums) = figures.row(latency) else { return };
        let add = |word: usize, value: u64| {
            if value != 0 {
                // SAFETY: the word is in the entry.
                atomic_add(unsafe { sums.add(word) }, value);
            }
        };
        add(COUNT_WORD, 1);
        add(LATENCY_WORD, latency);
        add(BEHIND_OTHERS, now.wrapping_sub(reading.read));
        if is_same {
            for word in QUEUE_WORD..QUEUE_WORD + QUEUE_COMPONENTS {
                add(word, socket.row[word]);
            }
        } else {
            add(QUEUE_OTHER, reading.read.wrapping_sub(reading.arrived));
        }
    }
}

subprogram! {
    /// Makes of a request that was `queued` the socket's last one: its reply may go on.
    pub fn becomes_last = request_becomes_last(socket: &mut SocketState, reading: &mut Reading; endpoint: u32, now: u64) {
        let is_same = reading.read == socket.read && reading.arrived == socket.arrived;
        if !is_same {
            opaque::clear(&mut socket.row[QUEUE_WORD..QUEUE_WORD + QUEUE_COMPONENTS]);
            socket.row[QUEUE_OTHER] = reading.read.wrapping_sub(reading.arrived);
        }
        socket.row[BEHIND_OTHERS] = socket.row[BEHIND_OTHERS].wrapping_add(now.wrapping_sub(reading.read));
        row::fill_narrow(socket, 0, 0);
        (socket.arrived, socket.read, socket.replied) = (reading.arrived, now, now);
        (socket.delivery, socket.bytes_in, socket.bytes_out) = (0, 0, 0);
        socket.endpoint = endpoint as u16;
        socket.row[COUNT_WORD] = 1;
        socket.row[LATENCY_WORD] = now.wrapping_sub(reading.arrived);
        socket.phase = REPLIED;
    }
}
