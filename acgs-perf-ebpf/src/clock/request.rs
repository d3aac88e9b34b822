//! The request clock of a server-side socket: arrived → read → first byte → last byte; what comes behind that is in `delivery`.
//!
//! A reply ends with the last send before the next request is read. Nobody knows at a send whether it is the last one, so
//! each send records the latency up to itself and takes back what the send before it recorded: the histograms are right
//! after every event, and nothing is pending when a snapshot is taken or a process dies.
//!
//! Two threads may send on one socket at once. What is recorded is in one word of the row, which a send replaces only while
//! it is what the send has seen: so each value is recorded once and taken back at most once. Of two sends at the same moment
//! one is left out, and the other one's time stands for both.

use acgs_perf_common::attribution::{
    COUNT_WORD, Component, LATENCY_WORD, NARROW_WORDS, QUEUE_WORD, attribution_bucket, component_word,
};
use acgs_perf_common::endpoint::NO_ENDPOINT;
use acgs_perf_common::fates::PAUSE_NS;
use acgs_perf_common::ledger::Loss;
use acgs_perf_common::maps::{Counter, Histogram};
use acgs_perf_common::opaque;
use acgs_perf_common::rules::row;

use super::talk::{self, Heard, Said};
use super::{delivery, leave, record};
use crate::count::{Figures, atomic_add, lose, prefetch, replaced};
use crate::globals::{attributes, follows_protocols};
use crate::kernel::sock::Sock;
use crate::kernel::time::now;
use crate::rules::request as request_rules;
use crate::state::socket::{ASKED_AGAIN, CLIENT, IDLE, PUSHED, READ, REPLIED, SocketState, UNSENT, note_arrival};
use crate::state::talk::{News, Owner};
use crate::table::{accept, delivery as delivery_table, endpoint, exemplar, request as request_table};
use acgs_perf_common::subprogram;

/// Bytes arrived in the receive queue.
#[inline(always)]
pub fn arrived(socket: &mut SocketState, sk: Sock) {
    if socket.next_arrived == 0 {
        socket.next_arrived = now();
        if socket.requests == 0 && socket.phase != CLIENT && !sk.is_accepted() {
            socket.early = 1;
        }
        // Last, so that the verifier does not go two ways through the rest.
        note_arrival();
    }
}

/// The service read `bytes`, at least one. Returns whether a new request began.
#[inline(always)]
pub fn received(socket: &mut SocketState, sk: Sock, service: u32, bytes: u64) -> bool {
    let figures = Figures::of(service);
    let arrived = socket.next_arrived;
    socket.next_arrived = 0;
    figures.add(Counter::BytesIn, bytes);
    let (mut known, mut is_more) = (None, false);
    if follows_protocols() {
        let _names_the_connection = request_table::id_of(socket, sk);
        let now = now();
        match talk::heard(socket, service, bytes, arrived, now) {
            Heard::Unknown => {}
            Heard::Nothing => return false,
            Heard::More => is_more = true,
            // The same moment as in the reading, by which those that wait behind it know that they came with it.
            Heard::Request(reading) => known = Some((reading.arrived, now)),
        }
    }
    if socket.phase == READ {
        if arrived != 0 && delivery::has_sent_unseen(socket, sk) {
            // The reply is out, and who sent it has not come back yet; the client was faster.
            asks_again(socket, arrived);
            return false;
        }
        // More of the same request.
        socket.bytes_in += bytes;
        if socket.has_sent == 0 && !is_more {
            leave::read_more(socket);
        }
        if attributes()
            && let Err(loss) = request_rules::continued(sk, socket, arrived)
        {
            lose(loss);
        }
        return false;
    }
    if socket.held != 0 {
        delivery::settle(socket, sk);
    }
    let (arrived, now) = known.unwrap_or_else(|| (arrived, now()));
    if known.is_none() && socket.phase == REPLIED && (arrived == 0 || socket.has_ended != 0 || sk.only_drains()) {
        // Nothing has come since the read before, or perhaps only the end of the stream, which arrives as bytes do; or this end will
        // send no more: it is the rest of what was answered, unless a reply of its own follows.
        if socket.unclaimed_arrived == 0 || socket.unclaimed.wrapping_sub(socket.replied) as i64 <= 0 {
            (socket.unclaimed, socket.unclaimed_arrived) = (now, arrived);
        }
        return false;
    }
    delivery::ends(socket);
    if socket.requests == 0 {
        delivery::note_end(socket, sk);
    }
    if arrived == 0 {
        lose(Loss::ArrivalUnseen);
    }
    socket.arrived = if arrived == 0 { now } else { arrived };
    socket.read = now;
    socket.phase = READ;
    socket.row[LATENCY_WORD] = UNSENT;
    socket.row[COUNT_WORD] = 0;
    socket.bytes_in = bytes;
    socket.bytes_out = 0;
    socket.endpoint = NO_ENDPOINT;
    socket.set_service(figures.service());
    figures.add(Counter::Read, 1);
    socket.requests = socket.requests.wrapping_add(1);
    if attributes() {
        let accepted = if socket.early != 0 {
            socket.early = 0;
            accept::take_time(sk.address())
        } else {
            0
        };
        if let Err(loss) = request_rules::began(sk, socket, accepted, now) {
            lose(loss);
        }
    }
    true
}

/// A read while the request before it looks unanswered, but is not: kept like what is read behind a reply, until there is that.
#[inline(always)]
fn asks_again(socket: &mut SocketState, arrived: u64) {
    if socket.held & ASKED_AGAIN == 0 {
        socket.held |= ASKED_AGAIN;
        socket.unclaimed = now();
        socket.unclaimed_arrived = arrived;
    }
}

/// A process of `service` sent `bytes`. Who goes on with a reply, to whom the socket was passed, adds to the figures of the
/// service that began it: only there is something to take back.
#[inline(always)]
pub fn sent(socket: &mut SocketState, sk: Sock, service: u32, bytes: u64) -> Result<(), Loss> {
    let mut known = None;
    if follows_protocols()
        && let Some(news) = News::begin(Owner { service, called: 0 }, bytes, 0, now(), true)
    {
        match talk::said(socket, news) {
            Said::Unknown => {}
            Said::Reply => known = Some(news),
            Said::Nothing => {
                Figures::of(service).add(Counter::BytesOut, bytes);
                delivery::sent_behind(socket, sk, bytes);
                talk::goes_on(socket, news);
                return Ok(());
            }
        }
    }
    let is_claimed =
        known.is_none() && socket.phase == REPLIED && socket.unclaimed.wrapping_sub(socket.replied) as i64 > 0;
    if delivery::is_held(socket) {
        delivery::sends_more(socket, sk, is_claimed);
    }
    if is_claimed {
        claim(socket, service);
        if sk.is_over() {
            // The client was gone before this reply to it was.
            leave::abandon(socket, service, now());
        }
    }
    let recorded = socket.recorded();
    let begins = recorded == UNSENT;
    let figures = Figures::of(if begins || socket.phase == IDLE { service } else { socket.known_service() });
    figures.add(Counter::BytesOut, bytes);
    if socket.phase == IDLE {
        if !leave::answers_nobody(socket) {
            figures.add(Counter::UnsolicitedSends, 1);
        }
        return Ok(());
    }
    let mut now = known.as_ref().map_or_else(now, |news| news.now);
    socket.bytes_out += bytes;
    if begins {
        if socket.held & ASKED_AGAIN != 0 {
            // The client had all of it then.
            now = socket.unclaimed_arrived;
        }
        begins_reply(socket, sk, figures, now)?;
    } else {
        goes_on(socket, sk, figures, recorded, now);
        if delivery::is_held(socket) {
            delivery::has_sent_more(socket, now);
        }
    }
    if known.is_some_and(|news| talk::goes_on(socket, news)) {
        delivery::note_end(socket, sk);
    } else {
        delivery::sent(socket, sk);
    }
    Ok(())
}

subprogram! {
    /// What was read after the last reply was a request after all: this is its reply.
    fn claim = request_claim(socket: &mut SocketState; service: u32) {
        delivery::ends(socket);
        socket.arrived = socket.unclaimed_arrived;
        if socket.arrived == 0 {
            socket.arrived = socket.unclaimed;
            lose(Loss::ArrivalUnseen);
        }
        socket.read = socket.unclaimed;
        socket.phase = READ;
        socket.row[LATENCY_WORD] = UNSENT;
        socket.row[COUNT_WORD] = 0;
        // What the thread did while it waited is no longer to be told.
        opaque::clear(&mut socket.row[QUEUE_WORD..NARROW_WORDS]);
        socket.row[component_word(Component::QueueOther)] = socket.read.wrapping_sub(socket.arrived);
        socket.bytes_out = 0;
        socket.set_service(service);
        socket.requests = socket.requests.wrapping_add(1);
        Figures::of(service).add(Counter::Read, 1);
    }
}

/// The first bytes of a reply.
#[inline(always)]
fn begins_reply(socket: &mut SocketState, sk: Sock, figures: Figures, now: u64) -> Result<(), Loss> {
    let latency = now.wrapping_sub(socket.arrived);
    let queue_time = socket.read.wrapping_sub(socket.arrived);
    let service_time = now.wrapping_sub(socket.read);
    if !replaced(&raw mut socket.row[LATENCY_WORD], UNSENT, latency) {
        return Ok(());
    }
    socket.phase = REPLIED;
    socket.replied = now;
    if socket.has_sent == 0 {
        leave::sends_first(socket);
    }
    if (queue_time as i64) < 0 || (service_time as i64) < 0 {
        socket.phase = IDLE;
        return Err(Loss::NegativeDifference);
    }
    if socket.known_service() != figures.service() {
        // Read before the window, or by another service: it counts as read where it is answered.
        Figures::of(socket.known_service()).add(Counter::Read, 1u64.wrapping_neg());
        figures.add(Counter::Read, 1);
        socket.set_service(figures.service());
    }
    let attributes = attributes();
    // Outside the window it counts nowhere, but whose thread did what is still of interest.
    if let (Some(queue_slot), Some(service_slot), Some(latency_slot)) = (
        figures.bucket(Histogram::QueueTime as u32, queue_time),
        figures.bucket(Histogram::ServiceTime as u32, service_time),
        figures.bucket(Histogram::Latency as u32, latency),
    ) {
        prefetch(queue_slot);
        prefetch(service_slot);
        prefetch(latency_slot);
        if attributes {
            if let Some(row) = figures.row(latency) {
                prefetch(row);
            }
            request_table::prefetch_place(socket.known_id());
        }
        figures.answered(queue_time, service_time, latency);
        atomic_add(queue_slot, 1);
        atomic_add(service_slot, 1);
        atomic_add(latency_slot, 1);
        if socket.endpoint != NO_ENDPOINT {
            endpoint::answered(endpoint::own(figures, socket.endpoint), latency);
        }
    }
    if attributes {
        if let Err(loss) = request_rules::answered(sk, socket, figures.service(), now) {
            lose(loss);
            if loss == Loss::TaskStorage {
                row::unknown(socket);
            }
        }
        socket.row[COUNT_WORD] = 1;
        figures.add_row(latency, 0, &socket.row, (socket.is_narrow != 0, false, false));
    }
    Ok(())
}

/// More bytes of a reply of which `recorded` is the latency so far.
#[inline(always)]
fn goes_on(socket: &mut SocketState, sk: Sock, figures: Figures, recorded: u64, now: u64) {
    let latency = now.wrapping_sub(socket.arrived);
    if latency.wrapping_sub(recorded) as i64 >= PAUSE_NS as i64 {
        goes_on_late(socket, figures, recorded, latency);
    }
    if record::grows(socket, figures, recorded, latency)
        && attributes()
        && attribution_bucket(latency) != attribution_bucket(recorded)
        && exemplar::is_wanted(socket, figures.service())
    {
        socket.note_client(sk);
        exemplar::offer_sums(socket, figures.service());
    }
}

/// The service sends again after a pause. If that is longer than all of the reply so far, nobody may have asked for it: a push. What it is
/// only the protocol says; a server that computes between its headers and its body looks the same. So it belongs to the reply, and what
/// the latency was before is counted beside.
#[inline(always)]
fn goes_on_late(socket: &mut SocketState, figures: Figures, recorded: u64, latency: u64) {
    let so_far = recorded.wrapping_sub(socket.replied.wrapping_sub(socket.arrived));
    if socket.held & PUSHED == 0 && latency.wrapping_sub(recorded) > so_far {
        socket.held |= PUSHED;
        delivery_table::pushed(figures.service(), recorded);
    }
}
