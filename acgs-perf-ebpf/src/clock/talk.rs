//! The request clock of a connection whose protocol is followed: what a read or a send means for it.
//!
//! In: reads and sends. Out: which request the clock is set to. Several requests may wait on one connection; the clock is set to the one
//! that has waited longest, and to the next when that is answered.

use acgs_perf_common::attribution::{COUNT_WORD, LATENCY_WORD};
use acgs_perf_common::endpoint::NO_ENDPOINT;
use acgs_perf_common::fates::PAUSE_NS;
use acgs_perf_common::maps::Counter;
use acgs_perf_common::rules::request as request_rules;
use acgs_perf_common::subprogram;
use acgs_perf_protocol::pending::Reading;
use acgs_perf_protocol::{Kind, Protocol, http1};

use super::found::ends_for_the_clock;
use super::record;
use super::walk::follow;
use crate::count::{Figures, counted, lose};
use crate::globals::attributes;
use crate::kernel::task::Task;
use crate::state::socket::{IDLE, READ, SocketState, UNSENT};
use crate::state::talk::{News, Owner};
use crate::state::thread as thread_state;
use crate::table::request::Requests;
use crate::table::{delivery, endpoint, fates};

/// What a read was, as far as its protocol tells.
pub enum Heard {
    /// It does not tell.
    Unknown,
    /// No request begins that the clock could be set to.
    Nothing,
    /// More of the request that is in service, or more requests behind it.
    More,
    /// A request begins, or one that has waited behind others.
    Request(Reading),
}

/// What the service has read: `bytes`, which had arrived at `arrived`, 0 if nobody saw it.
#[inline(always)]
pub fn heard(socket: &mut SocketState, service: u32, bytes: u64, arrived: u64, now: u64) -> Heard {
    let is_within = socket.phase == READ && socket.talk.requests.carried == 0;
    if is_within && !socket.talk.is_followed() {
        // No protocol begins in the middle of a request.
        return Heard::Unknown;
    }
    if arrived != 0 {
        socket.talk.arrived = arrived;
    }
    let was_followed = socket.talk.is_followed();
    let Some(news) = News::begin(Owner { service, called: 0 }, bytes, socket.talk.arrived, now, false) else {
        return Heard::Unknown;
    };
    follow(socket, news);
    let talk = &mut socket.talk;
    if !talk.is_followed() {
        return Heard::Unknown;
    }
    if news.one_way != 0 {
        fates::one_way(service, u64::from(news.one_way));
    }
    if news.farewells != 0 {
        fates::farewell(service, 1);
    }
    if talk.protocol == Protocol::Tls as u8 {
        let (has_data, reading) = (news.has_data != 0, Reading { arrived: talk.arrived, read: now });
        return heard_encrypted(socket, has_data, arrived, reading, !was_followed);
    }
    let front = talk.pending.front();
    let expected = match front {
        _ if talk.has_left != 0 => None,
        Some((waiting, reading)) => (waiting.kind == Kind::Request as u8).then_some(reading),
        None => (!talk.requests.is_between()).then_some(talk.reading),
    };
    match expected {
        Some(_) if socket.phase == READ => Heard::More,
        Some(reading) if talk.is_replying == 0 => Heard::Request(reading),
        Some(_) => Heard::Nothing,
        None => {
            is_none(socket);
            Heard::Nothing
        }
    }
}

/// What looked like the beginning of a request is none.
#[inline(always)]
fn is_none(socket: &mut SocketState) {
    if socket.phase == READ {
        socket.phase = IDLE;
        Figures::of(socket.known_service()).add(Counter::Read, 1u64.wrapping_neg());
    }
}

/// What the service has read of an encrypted connection: data are judged by behaviour, and nothing else is a request.
#[inline(always)]
fn heard_encrypted(socket: &mut SocketState, has_data: bool, arrived: u64, reading: Reading, is_new: bool) -> Heard {
    match socket.phase {
        _ if !has_data => {
            if is_new {
                is_none(socket);
            }
            Heard::Nothing
        }
        READ => Heard::More,
        // Its bytes came with the end of the handshake, which was read before.
        IDLE if arrived == 0 && reading.arrived != 0 => Heard::Request(reading),
        _ => Heard::Unknown,
    }
}

/// What a send was, as far as its protocol tells.
pub enum Said {
    /// It does not tell.
    Unknown,
    /// Nothing of a reply that the clock waits for.
    Nothing,
    /// A reply, or more of it, or several.
    Reply,
}

/// What the service sends.
#[inline(always)]
pub fn said(socket: &mut SocketState, news: &mut News) -> Said {
    if !socket.talk.is_followed() {
        socket.endpoint = NO_ENDPOINT;
        return Said::Unknown;
    }
    if socket.talk.protocol == Protocol::Tls as u8 {
        return said_encrypted(socket, news);
    }
    if goes_on_as_a_stream(socket, news.now) {
        ends_for_the_clock(&mut socket.talk);
        endpoint::streamed(endpoint::figures(news.owner, socket.endpoint));
    }
    news.began = u32::from(socket.talk.is_replying);
    let before = news.began;
    follow(socket, news);
    if !socket.talk.is_followed() {
        return Said::Unknown;
    }
    if news.pushes != 0 {
        delivery::pushes(counted(news.owner.service), u64::from(news.pushes));
    }
    if news.began == 0 {
        return Said::Nothing;
    }
    if before == 0 && socket.phase != READ {
        if socket.gone != 0 && socket.gone == news.first.arrived {
            // Its client had left, which may show only when the reply reaches it: that is counted.
            return Said::Unknown;
        }
        // It had waited behind what is no request.
        next(socket, &mut news.first, news.owner.service, news.now);
    }
    Said::Reply
}

/// What the service sends on an encrypted connection.
#[inline(always)]
fn said_encrypted(socket: &mut SocketState, news: &mut News) -> Said {
    follow(socket, news);
    if !socket.talk.is_followed() {
        socket.endpoint = NO_ENDPOINT;
    } else if news.has_data == 0 {
        return Said::Nothing;
    } else if socket.phase == READ {
        socket.endpoint = socket.talk.bound;
    }
    Said::Unknown
}

/// Whether a reply in pieces goes on after a pause that is longer than all of it so far: the server tells what happens, as it happens, and
/// only the beginning was waited for. What computes before its first piece, or for a moment between two, is not that.
#[inline(always)]
fn goes_on_as_a_stream(socket: &SocketState, now: u64) -> bool {
    let talk = &socket.talk;
    if talk.is_replying == 0 || talk.protocol != Protocol::Http1 as u8 || !http1::is_between_chunks(&talk.replies) {
        return false;
    }
    let so_far = socket.recorded();
    let pause = now.wrapping_sub(socket.arrived).wrapping_sub(so_far) as i64;
    pause >= PAUSE_NS as i64 && pause >= so_far as i64
}

/// Behind the replies of a send, of which the first is recorded: the clock is set to the last reply if that goes on, or to the next
/// request.
#[inline(always)]
pub fn goes_on(socket: &mut SocketState, news: &mut News) -> bool {
    if news.began > 1 {
        record::becomes_last(socket, &mut news.last, news.last_endpoint, news.now);
    }
    let is_waiting = socket.phase == READ;
    let talk = &mut socket.talk;
    if is_waiting || talk.is_replying != 0 || talk.has_left != 0 {
        return false;
    }
    match talk.pending.front() {
        Some((waiting, mut reading)) if waiting.kind == Kind::Request as u8 => {
            next(socket, &mut reading, news.owner.service, news.now);
            true
        }
        _ => false,
    }
}

subprogram! {
    /// The service turns to a request that it has read before, and that has waited behind others on its connection.
    fn next = talk_next(socket: &mut SocketState, reading: &mut Reading; service: u32, now: u64) {
        (socket.arrived, socket.read) = (reading.arrived, now);
        socket.phase = READ;
        socket.row[LATENCY_WORD] = UNSENT;
        socket.row[COUNT_WORD] = 0;
        (socket.bytes_in, socket.bytes_out, socket.held, socket.delivery) = (0, 0, 0, 0);
        socket.set_service(Figures::of(service).service());
        socket.requests = socket.requests.wrapping_add(1);
        Figures::of(service).add(Counter::Read, 1);
        if attributes() {
            request_rules::queue_unknown(socket, now);
            let task = Task::current();
            match thread_state::of(task) {
                Ok(thread) => {
                    let id = socket.known_id();
                    request_rules::began(&Requests, thread, socket, id, task.pid(), 0, now);
                }
                Err(loss) => lose(loss),
            }
        }
    }
}
