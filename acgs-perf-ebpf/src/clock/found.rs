//! What a read or a send has brought, as a step has found it: requests, and replies to those that wait.
//!
//! In: findings of `acgs_perf_protocol`. Out: requests that wait for their replies; the figures of endpoints; in `News` what the request
//! clock must know.

use acgs_perf_common::endpoint::{NO_ENDPOINT, OTHER_ENDPOINT, PREPARED_BEFORE};
use acgs_perf_protocol::pending::Reading;
use acgs_perf_protocol::{Found, Kind, Protocol, mysql};

use super::{answer, record};
use crate::state::socket::SocketState;
use crate::state::talk::{FAILED, News, REFUSED, Room, Talk, WELL};
use crate::table::{endpoint, statement};

const WAIT: u8 = Kind::WaitByDesign as u8;
const HANDSHAKE: u8 = Kind::Handshake as u8;
const TLS: u8 = Protocol::Tls as u8;

/// A request is known, or something about one.
#[inline(always)]
pub fn asked(talk: &mut Talk, id: u64, news: &mut News, room: &mut Room, found: Found) {
    let (stream, protocol) = (&talk.requests, talk.protocol);
    if protocol == TLS {
        if stream.kind == Kind::Farewell as u8 {
            news.farewells += 1;
        } else if news.owner.called == 0 {
            news.has_data = 1;
            talk.bound = endpoint::find(news.owner, stream, &room.name, protocol);
        }
        return;
    }
    let is_named =
        found.has(Found::NAMED) || (found.has(Found::REQUEST) && !found.has(Found::BOUND) && talk.named == 0);
    if is_named || found.has(Found::DEFINED) {
        let endpoint = endpoint::find(news.owner, stream, &room.name, protocol);
        if found.has(Found::DEFINED) {
            // Which of several statements that are prepared at once the server means, it does not say.
            let is_known = stream.value != mysql::LAST || talk.pending.is_single();
            statement::define(id, stream.value, if is_known { endpoint } else { OTHER_ENDPOINT });
            return;
        }
        talk.named = endpoint;
    }
    if found.has(Found::BINDS) {
        talk.bound = statement::find(id, stream.value).unwrap_or(PREPARED_BEFORE);
    }
    if !found.has(Found::REQUEST) {
        return;
    }
    let endpoint = if found.has(Found::BOUND) { talk.bound } else { talk.named };
    let (kind, reply_rule) = (stream.kind(), stream.reply_rule);
    talk.named = NO_ENDPOINT;
    let is_answered = kind.is_answered() && !answer::is_answered_already(talk, news, endpoint);
    if is_answered && !talk.pending.push(endpoint as u8, kind, reply_rule, talk.reading) {
        talk.lost();
        return;
    }
    if kind == Kind::Request {
        news.last_endpoint = u32::from(endpoint);
    }
    match kind {
        Kind::OneWay => {
            news.one_way += 1;
            if is_named {
                endpoint::said(endpoint::figures(news.owner, endpoint));
            }
        }
        Kind::Farewell => news.farewells += 1,
        _ => {}
    }
    talk.reading = Reading { arrived: news.arrived, read: news.now };
    if found.has(Found::LEFT) {
        talk.has_left = 1;
    }
}

/// Something about replies is known.
#[inline(always)]
pub fn replied(socket: &mut SocketState, news: &mut News, found: Found) {
    if socket.talk.protocol == TLS {
        news.has_data = 1;
        return;
    }
    if found.has(Found::DEFINED) {
        let id = socket.known_id();
        let endpoint = statement::find(id, mysql::LAST).unwrap_or(OTHER_ENDPOINT);
        statement::define(id, socket.talk.replies.value, endpoint);
    }
    let front = socket.talk.pending.front();
    let is_called = news.owner.called != 0;
    if is_called && front.is_none() {
        answer::replied_early(&mut socket.talk, news, found);
    }
    if front.is_none() && found.has(Found::ENDED) && socket.talk.is_streaming != 0 {
        socket.talk.is_streaming = 0;
    } else if found.has(Found::PUSH) || (front.is_none() && found.has(Found::ENDED)) {
        news.pushes += 1;
    }
    if let Some((waiting, mut reading)) = front {
        let endpoint = if waiting.endpoint == 0 { OTHER_ENDPOINT } else { u16::from(waiting.endpoint) };
        let is_request = waiting.kind == Kind::Request as u8;
        let place = endpoint::figures(news.owner, endpoint);
        if is_called && is_request {
            answer::replied(&mut socket.talk, news, found, place, reading);
        } else if found.has(Found::BEGAN) && is_request {
            news.began += 1;
            (socket.talk.is_replying, socket.talk.has_ended, socket.talk.outcome) = (1, 0, WELL);
            if news.began == 1 {
                socket.endpoint = endpoint;
                news.first = reading;
            } else {
                record::queued(socket, &mut reading, news.owner.service, u32::from(endpoint), news.now);
            }
            (news.last, news.last_endpoint) = (reading, u32::from(endpoint));
        }
        if found.has(Found::ENDED) && socket.talk.is_streaming != 0 {
            socket.talk.is_streaming = 0;
        } else if found.has(Found::ENDED) {
            if matches!(waiting.kind, WAIT | HANDSHAKE) {
                endpoint::answered(place, news.now.wrapping_sub(reading.arrived));
            }
            let talk = &mut socket.talk;
            if found.has(Found::FAILED) && waiting.kind != HANDSHAKE {
                let outcome = if talk.replies.value == 4 { REFUSED } else { FAILED };
                endpoint::failed(place, outcome, 1);
                talk.outcome = outcome;
            }
            talk.has_ended = 1;
            talk.pending.pop();
        }
    }
    let talk = &mut socket.talk;
    if found.has(Found::STREAM) && talk.is_replying != 0 {
        ends_for_the_clock(talk);
        endpoint::streamed(endpoint::figures(news.owner, news.last_endpoint as u16));
    }
    if found.has(Found::MARK) || found.has(Found::SKIPPED) {
        talk.is_skipping = 1 + u8::from(found.has(Found::SKIPPED));
    }
    if found.has(Found::LEFT) {
        talk.has_left = 1;
    }
}

/// The rest of a reply is none that anybody waits for: the clock leaves it.
#[inline(always)]
pub fn ends_for_the_clock(talk: &mut Talk) {
    (talk.is_replying, talk.is_streaming) = (0, 1);
    talk.pending.pop();
}

/// Takes one of those away that wait in front of the next mark, or that mark itself if it was reached.
#[inline(always)]
pub fn skip_to_mark(talk: &mut Talk) {
    const UP_TO_MARK: u8 = 2;
    let kind = talk.pending.front().map(|(waiting, _)| waiting.kind);
    let is_mark = kind.is_none_or(|kind| kind == Kind::Mark as u8);
    let keeps_it = kind.is_none() || (is_mark && talk.is_skipping == UP_TO_MARK);
    if !keeps_it {
        talk.pending.pop();
    }
    if is_mark {
        talk.is_skipping = 0;
    }
}
