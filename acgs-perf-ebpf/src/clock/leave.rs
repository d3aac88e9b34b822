//! Clients that leave before they are answered, and services that close instead of answering.
//!
//! In: the end of a connection, a send that failed, a look at a socket whose client is gone. Out: sums of `table::fates`. A client
//! that has closed its end may only have said that it sends no more: it has left when nothing reaches it, and then it left when it
//! closed its end.
//!
//! What is no request: a message behind which the client closes at once, a *farewell*; and what comes again and again on a connection
//! on which the service never sends, *one-way* messages.
//!
//! A request is counted once, as answered or as abandoned: whoever takes its word of the row from `UNSENT` does it. One that was
//! abandoned before it was read may be read later, because the kernel keeps its bytes; `gone` knows it by its arrival.

use acgs_perf_common::attribution::{COUNT_WORD, LATENCY_WORD};
use acgs_perf_common::endpoint::NO_ENDPOINT;
use acgs_perf_common::fates::{FAREWELL_NS, PAUSE_NS};
use acgs_perf_common::maps::{Counter, Histogram, MAX_SERVICES};
use acgs_perf_common::subprogram;
use acgs_perf_protocol::{Protocol, tls};

use super::{delivery, record};
use crate::count::{Figures, replaced};
use crate::globals::attributes;
use crate::kernel::sock::Sock;
use crate::kernel::time::now;
use crate::state::socket::{ANSWERED, CLIENT, IDLE, READ, REPLIED, SocketState, UNSENT};
use crate::table::service::service_of_listener;
use crate::table::{endpoint, fates};

/// Whether a request was read that has no reply, and that was not given up.
#[inline(always)]
pub fn is_in_service(socket: &SocketState) -> bool {
    socket.phase == READ && socket.arrived != socket.gone && !is_one_way(socket)
}

/// With so many messages, without a reply on the connection, they are one-way for as long as there is none.
const CERTAIN: u16 = 32;
/// With fewer, while the silence since the last one is no longer than so many times their usual distance: behind an upload in pieces
/// somebody waits for a reply.
const SILENCE: u64 = 4;

/// Whether what was read on this connection, on which the service has never sent, are messages that expect no reply.
#[inline(always)]
fn is_one_way(socket: &SocketState) -> bool {
    let messages = socket.messages;
    if !(ONE_WAY_FROM..CERTAIN).contains(&messages) {
        return messages >= CERTAIN;
    }
    let (span, silence) = (socket.read_last.wrapping_sub(socket.read), now().wrapping_sub(socket.read_last));
    silence.wrapping_mul(u64::from(messages)) <= span.wrapping_mul(SILENCE)
}

/// `SocketState::has_ended` of a client that has closed its end behind a farewell.
const SAID_FAREWELL: u8 = 2;

/// Reads after a pause from which on they may be messages of their own.
const ONE_WAY_FROM: u16 = 2;

/// More was read of a request on a connection on which the service has never sent. Where that goes on with pauses between, there is no
/// reply to wait for. A slow upload looks the same until it is answered; then it was a request.
#[inline(always)]
pub fn read_more(socket: &mut SocketState) {
    let now = now();
    let last = if socket.read_last > socket.read { socket.read_last } else { socket.read };
    socket.read_last = now;
    if now.wrapping_sub(last) >= PAUSE_NS && socket.messages < u16::MAX {
        socket.messages += 1;
        let more = if socket.messages == ONE_WAY_FROM { u64::from(ONE_WAY_FROM) + 1 } else { 1 };
        if socket.messages >= ONE_WAY_FROM {
            fates::one_way(socket.known_service(), more);
        }
    }
}

/// The service sends on the connection for the first time: what was read before was a request in pieces.
#[inline(always)]
pub fn sends_first(socket: &mut SocketState) {
    socket.has_sent = 1;
    if socket.messages >= ONE_WAY_FROM {
        fates::one_way(socket.known_service(), (u64::from(socket.messages) + 1).wrapping_neg());
    }
    socket.messages = 0;
}

/// Whether a request has arrived that nobody has read, and that was not given up. What arrives while one is in service is more of
/// that one.
#[inline(always)]
pub fn is_unread(socket: &SocketState, sk: Sock) -> bool {
    socket.phase != READ
        && socket.phase != CLIENT
        && socket.talk.has_left == 0
        && socket.next_arrived != 0
        && socket.next_arrived != socket.gone
        && !sk.only_drains()
        && sk.has_more_unread_than(of_notice(socket))
}

/// How many unread bytes may be the encrypted notice that the client closes, which servers that close first do not read.
#[inline(always)]
fn of_notice(socket: &SocketState) -> u32 {
    if socket.talk.protocol == Protocol::Tls as u8 { tls::most_of_notice(&socket.talk.requests) } else { 0 }
}

/// The service in whose figures an open request of this socket counts: that which read it, or to whose listener it came.
#[inline(always)]
pub fn service_of(socket: &SocketState, listener: impl FnOnce() -> Option<u32>) -> Option<u32> {
    let known = socket.known_service();
    if socket.phase == READ && known < MAX_SERVICES {
        return Some(known);
    }
    let listener = listener();
    if listener.is_some() { listener } else { (known < MAX_SERVICES).then_some(known) }
}

/// The client has closed its end: it will send no more, and perhaps it is gone.
#[inline(always)]
pub fn half_closed(socket: &mut SocketState) {
    socket.has_ended = 1;
    // Without an open request it is the usual end.
    let is_open = socket.phase == READ || socket.next_arrived != 0;
    if is_open && socket.phase != CLIENT && socket.left == 0 {
        socket.left = now();
    }
}

/// Whose end of a connection was closed first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum First {
    Client,
    Service,
    /// A reset ended both at once.
    Nobody,
}

/// A connection of TCP is over.
#[inline(always)]
pub fn closed(socket: &mut SocketState, sk: Sock, first: First) {
    let may_be_unread = socket.next_arrived != 0
        && match first {
            // The end of a stream arrives as bytes do. Had bytes been unread when it came, the client would have left then.
            First::Client => socket.left != 0,
            // What came after that it would only have drained.
            First::Service => false,
            First::Nobody => true,
        };
    if is_in_service(socket) || (may_be_unread && is_unread(socket, sk)) {
        let Some(service) = service_of(socket, || service_of_listener(sk)) else { return };
        if socket.left != 0 || sk.error() != 0 {
            abandon(socket, service, now());
        } else if first == First::Client {
            // Its end came with its last bytes.
            abandon(socket, service, 0);
        } else {
            cut_off(socket, service);
        }
    } else if socket.phase == REPLIED
        && socket.left != 0
        && socket.replied.wrapping_sub(socket.left) as i64 >= 0
        && sk.error() != 0
    {
        // A reset that answers a reply: there was nobody left to take it.
        take_back(socket);
    } else if socket.phase == REPLIED && first == First::Client && socket.unclaimed_arrived > socket.replied {
        unclaimed(socket, now());
    }
}

/// A process of `service` has found the other end gone: by a send that failed, or at the end of the stream.
#[inline(always)]
pub fn found_gone(socket: &mut SocketState, sk: Sock, service: u32) {
    if is_in_service(socket) && sk.is_over() {
        abandon(socket, service, now());
    }
}

/// Whether a reply, which may have failed, is to a request whose client had left; it is counted then.
#[inline(always)]
pub fn answers_nobody(socket: &mut SocketState) -> bool {
    let is_gone = socket.gone != 0 && socket.arrived == socket.gone;
    if is_gone {
        socket.gone = ANSWERED;
        socket.phase = IDLE;
        if socket.has_ended != SAID_FAREWELL {
            fates::answered_into_closed(socket.known_service());
        }
    }
    is_gone
}

/// Whether this thread is the one that ends the request in service.
#[inline(always)]
fn ends(socket: &mut SocketState) -> bool {
    let is_ours = replaced(&raw mut socket.row[LATENCY_WORD], UNSENT, 0);
    if is_ours {
        socket.phase = IDLE;
    }
    is_ours
}

subprogram! {
    /// The client of the socket's open request is gone since `now` at the latest.
    pub fn abandon = leave_abandon(socket: &mut SocketState; service: u32, now: u64) {
        let left = if socket.left == 0 { now } else { socket.left };
        let mut behind = 0;
        let arrived = if socket.phase == READ {
            if !ends(socket) {
                return;
            }
            behind = takes_rest(socket, service);
            socket.set_service(service);
            socket.arrived
        } else {
            socket.next_arrived
        };
        socket.gone = arrived;
        without_reply(socket, service, left.wrapping_sub(arrived), 1);
        if behind != 0 {
            let came_last = socket.talk.reading.arrived;
            without_reply(socket, service, left.wrapping_sub(came_last), behind);
        }
    }
}

/// So many messages got no reply for which the client had waited so long.
#[inline(always)]
fn without_reply(socket: &mut SocketState, service: u32, waited: u64, messages: u64) {
    if waited as i64 <= 0 || (waited < FAREWELL_NS && socket.has_ended != 0) {
        socket.has_ended = SAID_FAREWELL;
        fates::farewell(service, messages);
    } else {
        fates::abandoned(service, waited, messages);
    }
}

/// How many requests were read behind the one in service, and wait for it.
#[inline(always)]
pub fn behind(socket: &SocketState) -> u64 {
    let waiting = socket.talk.pending.requests();
    if socket.talk.is_followed() && waiting > 1 { u64::from(waiting) - 1 } else { 0 }
}

/// Counts those as read that were behind the request that was in service, on a connection that is over; nothing waits any more.
#[inline(always)]
fn takes_rest(socket: &mut SocketState, service: u32) -> u64 {
    let count = behind(socket);
    if count != 0 {
        Figures::of(service).add(Counter::Read, count);
        socket.talk.lost();
    }
    count
}

subprogram! {
    /// What was read behind the last reply, with the end of the stream behind it, got no reply. One that is still under way goes to
    /// nobody.
    fn unclaimed = leave_unclaimed(socket: &mut SocketState; now: u64) {
        socket.next_arrived = socket.unclaimed_arrived;
        let service = socket.known_service();
        abandon(socket, service, now);
        socket.arrived = socket.gone;
        socket.phase = IDLE;
    }
}

subprogram! {
    /// The service has closed the connection of the socket's open request.
    fn cut_off = leave_cut_off(socket: &mut SocketState; service: u32) {
        let mut behind = 0;
        if socket.phase != READ {
            socket.gone = socket.next_arrived;
        } else if ends(socket) {
            behind = takes_rest(socket, service);
        } else {
            return;
        }
        fates::cut_off(service, 1 + behind);
    }
}

subprogram! {
    /// The last reply went to a client that had left: it counts as abandoned, and not as answered.
    fn take_back = leave_take_back(socket: &mut SocketState) {
        if delivery::is_held(socket) {
            delivery::adopt(socket);
        }
        let latency = socket.recorded();
        if latency == UNSENT || !replaced(&raw mut socket.row[LATENCY_WORD], latency, 0) {
            return;
        }
        let service = socket.known_service();
        let figures = Figures::of(service);
        let (queue_time, first) = (socket.read.wrapping_sub(socket.arrived), socket.replied.wrapping_sub(socket.arrived));
        let service_time = first.wrapping_sub(queue_time);
        figures.add(Counter::Requests, 1u64.wrapping_neg());
        figures.add(Counter::LatencySum, latency.wrapping_neg());
        figures.add(Counter::QueueTimeSum, queue_time.wrapping_neg());
        figures.add(Counter::ServiceTimeSum, service_time.wrapping_neg());
        figures.unrecord(Histogram::Latency, latency);
        figures.unrecord(Histogram::QueueTime, queue_time);
        figures.unrecord(Histogram::ServiceTime, service_time);
        if socket.endpoint != NO_ENDPOINT {
            endpoint::taken_back(endpoint::own(figures, socket.endpoint), latency, socket.talk.outcome);
        }
        if attributes() && socket.row[COUNT_WORD] != 0 {
            record::add_to_row(socket, figures.service(), latency, 1);
        }
        socket.phase = IDLE;
        socket.gone = ANSWERED;
        fates::abandoned(service, socket.left.wrapping_sub(socket.arrived), 1);
        fates::answered_into_closed(service);
    }
}
