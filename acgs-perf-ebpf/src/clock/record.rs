//! What is recorded of a request that was answered: its latency in the histogram, its row in the attribution histogram.
//!
//! In: a latency that has grown since it was recorded, because the reply went on, or left late. Out: the histograms are right after every
//! event.

use acgs_perf_common::attribution::{COUNT_WORD, LATENCY_WORD, attribution_bucket};
use acgs_perf_common::maps::{Counter, Histogram};
use acgs_perf_common::rules::row;
use acgs_perf_common::subprogram;

use crate::count::{Figures, replaced};
use crate::globals::attributes;
use crate::state::socket::SocketState;

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
