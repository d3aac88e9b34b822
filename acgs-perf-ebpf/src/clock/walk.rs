//! Goes through the bytes of a read or a send: which requests it has brought, and which of them it answers.
//!
//! In: the bytes, where the system call has them. Out: requests that wait for their replies; the figures of endpoints; in `News` what the
//! request clock must know. Tokens are taken by `acgs_perf_protocol`, one after the other, in a loop of the kernel's: so the verifier goes
//! through a step once, however many there are.

use core::ffi::c_void;

use acgs_perf_common::endpoint::{NO_ENDPOINT, OTHER_ENDPOINT};
use acgs_perf_common::opaque::reload;
use acgs_perf_common::subprogram;
use acgs_perf_protocol::detect::detect;
use acgs_perf_protocol::pending::Reading;
use acgs_perf_protocol::walk::{self, TOKEN};
use acgs_perf_protocol::window::WINDOW;
use acgs_perf_protocol::{Found, Kind, Protocol, Stream, mysql, tls};
use aya_ebpf::helpers::generated::bpf_loop;

use super::record;
use crate::count::Figures;
use crate::state::socket::SocketState;
use crate::state::talk::{News, Room, Talk};
use crate::table::{endpoint, statement};

/// Steps for one read or send at most. The shortest requests take two steps for fourteen bytes.
const MOST_STEPS: u32 = 1 << 14;
/// So often a connection may look like none of the protocols before nobody looks again.
const MOST_TRIES: u8 = 16;
/// A mask that no token is longer than.
const MOST_CARRIED: u32 = 2 * TOKEN - 1;
const WAIT: u8 = Kind::WaitByDesign as u8;
const HANDSHAKE: u8 = Kind::Handshake as u8;
const TLS: u8 = Protocol::Tls as u8;
/// Bytes that are put into the window at a time.
const PIECE: u64 = WINDOW as u64 - 2 * TOKEN as u64;

/// What a step needs.
#[repr(C)]
struct Walk {
    socket: *mut SocketState,
    news: *mut News,
    room: *mut Room,
}

subprogram! {
    /// Goes through the bytes that the running system call has read or sent.
    pub fn follow = talk_follow(socket: &mut SocketState, news: &mut News) {
        let Some(room) = Room::get() else { return };
        // SAFETY: the pointer is into the map's value of this CPU, which the program keeps.
        let looks = unsafe { &mut *room };
        let talk = &mut socket.talk;
        if news.is_reply == 0 && talk.protocol == Protocol::Unparsed as u8 && talk.tries < MOST_TRIES {
            talk.protocol = Protocol::Unknown as u8;
        }
        if talk.protocol == Protocol::Unparsed as u8 || (news.is_reply != 0 && !talk.is_followed()) {
            return;
        }
        if talk.has_left != 0 {
            news.pushes = news.is_reply;
            news.one_way = 1 - news.is_reply;
            return;
        }
        if news.is_reply == 0 && talk.requests.is_between() {
            talk.reading = Reading { arrived: news.arrived, read: news.now };
        }
        if news.is_reply != 0 {
            talk.replies.other = talk.requests.state;
        } else {
            talk.requests.other = talk.replies.state;
        }
        let stream = if news.is_reply != 0 { &talk.replies } else { &talk.requests };
        if talk.protocol == TLS && tls::is_in_data(stream) {
            news.has_data = 1;
        }
        let is_seen = looks.source.begin(news.bytes);
        looks.name.key = endpoint::key();
        (looks.window.at, looks.window.end) = (0, 0);
        let mut walk = Walk { socket, news, room };
        if is_seen {
            // SAFETY: the callback takes what it is given here.
            let _steps = unsafe { bpf_loop(MOST_STEPS, step as *mut c_void, (&raw mut walk).cast(), 0) };
        } else {
            // SAFETY: as above.
            unseen(unsafe { &mut (*walk.socket).talk }, unsafe { &mut *walk.news });
            looks.source.left = 0;
        }
        // SAFETY: as above.
        let (talk, looks) = unsafe { (&mut (*walk.socket).talk, &mut *walk.room) };
        if looks.source.left != 0 && talk.is_followed() {
            lost(talk);
        }
        if talk.requests.state != Stream::START {
            talk.requests.is_cut = 1;
        }
        if talk.has_ended != 0 && talk.replies.skip == 0 {
            // All of its bytes are sent.
            (talk.is_replying, talk.has_ended) = (0, 0);
        }
    }
}

/// The bytes are nowhere to be seen: nothing is lost as long as nobody would have looked at them.
#[inline(always)]
fn unseen(talk: &mut Talk, news: &mut News) {
    if !talk.is_followed() {
        return;
    }
    let stream = if news.is_reply != 0 { &mut talk.replies } else { &mut talk.requests };
    if stream.skip < news.bytes {
        lost(talk);
        return;
    }
    stream.skip -= news.bytes;
}

/// It is not understood any more.
#[inline(always)]
fn lost(talk: &mut Talk) {
    talk.protocol = Protocol::Unparsed as u8;
    talk.tries = talk.tries.saturating_add(1);
    talk.pending.clear();
    (talk.requests.state, talk.replies.state) = (0, 0);
    (talk.requests.flags, talk.replies.flags) = (0, 0);
    (talk.requests.skip, talk.replies.skip) = (0, 0);
    (talk.requests.carried, talk.replies.carried) = (0, 0);
    (talk.is_replying, talk.has_ended, talk.is_streaming, talk.is_skipping, talk.named) = (0, 0, 0, 0, 0);
}

const GO_ON: i64 = 0;
const STOP: i64 = 1;

/// One step; the kernel calls it again and again.
extern "C" fn step(_number: u32, walk: *mut c_void) -> i64 {
    // SAFETY: it is what `follow` has given, whose parts live longer than the loop.
    let walk = unsafe { &mut *walk.cast::<Walk>() };
    // SAFETY: as above.
    let (socket, news, room) = unsafe { (&mut *walk.socket, &mut *walk.news, &mut *walk.room) };
    if socket.talk.is_skipping != 0 {
        skip_to_mark(&mut socket.talk);
        return GO_ON;
    }
    let is_reply = news.is_reply != 0;
    let id = socket.known_id();
    let talk = &mut socket.talk;
    let stream = if is_reply { &mut talk.replies } else { &mut talk.requests };
    if stream.skip != 0 {
        walk::skip(stream, &mut room.window);
        if stream.skip != 0 {
            // The window is used up.
            if room.source.left == 0 || !room.source.has_bytes() {
                return if room.source.left == 0 { STOP } else { GO_ON };
            }
            let piece = room.source.piece();
            let bytes = if stream.skip < piece { stream.skip } else { piece };
            stream.skip -= bytes;
            room.source.pass(bytes);
            return GO_ON;
        }
    }
    if room.window.left() == 0 {
        return fill(is_reply, talk, room);
    }
    if !is_reply && talk.protocol == Protocol::Unknown as u8 {
        match detect(&room.window) {
            Err(_) => return short(is_reply, talk, room),
            Ok(protocol) => {
                talk.protocol = protocol as u8;
                if !protocol.is_followed() {
                    lost(talk);
                    return STOP;
                }
            }
        }
    }
    let protocol = talk.protocol();
    let found = if is_reply {
        talk.replies.reply_rule = talk.pending.reply_rule();
        walk::reply_step(protocol, &mut talk.replies, &mut room.window)
    } else {
        walk::request_step(protocol, &mut talk.requests, &mut room.window, &mut room.name)
    };
    if found.has(Found::LOST) {
        if is_reply && talk.pending.is_empty() && talk.is_replying == 0 && talk.is_streaming == 0 {
            // Nobody asked for it, and it is no reply.
            talk.replies = Stream::default();
            room.source.left = 0;
            news.pushes += 1;
        } else {
            lost(talk);
        }
        return STOP;
    }
    if found.has(Found::SHORT) {
        return short(is_reply, talk, room);
    }
    if found.0 != 0 {
        if is_reply {
            replied(socket, news, found)
        } else {
            asked(talk, id, news, room, found)
        }
        if found.has(Found::TURNS) {
            turns(&mut socket.talk);
        }
    }
    GO_ON
}

/// From here on it is encrypted.
#[inline(always)]
fn turns(talk: &mut Talk) {
    talk.protocol = TLS;
    (talk.requests.state, talk.replies.state) = (0, 0);
    (talk.requests.flags, talk.replies.flags) = (0, 0);
    (talk.requests.count, talk.requests.value, talk.replies.value) = (0, 0, 0);
}

/// Not enough of the window is left for a step.
#[inline(always)]
fn short(is_reply: bool, talk: &mut Talk, room: &mut Room) -> i64 {
    let stream = if is_reply { &mut talk.replies } else { &mut talk.requests };
    if !walk::keep_rest(stream, &mut room.window) {
        lost(talk);
        return STOP;
    }
    fill(is_reply, talk, room)
}

/// Puts more bytes into the window, behind what a step was short of.
#[inline(always)]
fn fill(is_reply: bool, talk: &mut Talk, room: &mut Room) -> i64 {
    if room.source.left == 0 {
        return STOP;
    }
    if !room.source.has_bytes() {
        return if room.source.parts_left() { GO_ON } else { STOP };
    }
    let stream = if is_reply { &mut talk.replies } else { &mut talk.requests };
    // Masked where the compiler does not know that it need not be, for the verifier.
    let carried = reload(&walk::put_rest(stream, &mut room.window)) & MOST_CARRIED;
    let piece = room.source.piece();
    let bytes = if piece < PIECE { piece } else { PIECE };
    // SAFETY: `carried` is at most a token, and there is room for a piece behind it.
    let place = unsafe { room.window.bytes.as_mut_ptr().add(carried as usize) };
    if !room.source.copy(place, bytes as u32) {
        lost(talk);
        return STOP;
    }
    room.source.pass(bytes);
    room.window.end = carried.wrapping_add(bytes as u32);
    GO_ON
}

/// A request is known, or something about one.
#[inline(always)]
fn asked(talk: &mut Talk, id: u64, news: &mut News, room: &mut Room, found: Found) {
    let (stream, protocol) = (&talk.requests, talk.protocol);
    if protocol == TLS {
        if stream.kind == Kind::Farewell as u8 {
            news.farewells += 1;
        } else {
            news.has_data = 1;
            talk.bound = endpoint::find(news.service, stream, &room.name, protocol);
        }
        return;
    }
    let is_named =
        found.has(Found::NAMED) || (found.has(Found::REQUEST) && !found.has(Found::BOUND) && talk.named == 0);
    if is_named || found.has(Found::DEFINED) {
        let endpoint = endpoint::find(news.service, stream, &room.name, protocol);
        if found.has(Found::DEFINED) {
            // Which of several statements that are prepared at once the server means, it does not say.
            let is_known = stream.value != mysql::LAST || talk.pending.is_single();
            statement::define(id, stream.value, if is_known { endpoint } else { OTHER_ENDPOINT });
            return;
        }
        talk.named = endpoint;
    }
    if found.has(Found::BINDS) {
        talk.bound = statement::find(id, stream.value).unwrap_or(OTHER_ENDPOINT);
    }
    if !found.has(Found::REQUEST) {
        return;
    }
    let endpoint = if found.has(Found::BOUND) { talk.bound } else { talk.named };
    let (kind, reply_rule) = (stream.kind(), stream.reply_rule);
    talk.named = NO_ENDPOINT;
    if kind.is_answered() && !talk.pending.push(endpoint as u8, kind, reply_rule, talk.reading) {
        lost(talk);
        return;
    }
    match kind {
        Kind::OneWay => {
            news.one_way += 1;
            if is_named {
                endpoint::said(Figures::of(news.service), endpoint);
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
fn replied(socket: &mut SocketState, news: &mut News, found: Found) {
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
    if front.is_none() && found.has(Found::ENDED) && socket.talk.is_streaming != 0 {
        socket.talk.is_streaming = 0;
    } else if found.has(Found::PUSH) || (front.is_none() && found.has(Found::ENDED)) {
        news.pushes += 1;
    }
    if let Some((waiting, mut reading)) = front {
        let endpoint = if waiting.endpoint == 0 { OTHER_ENDPOINT } else { u16::from(waiting.endpoint) };
        let is_request = waiting.kind == Kind::Request as u8;
        let figures = Figures::of(news.service);
        if found.has(Found::BEGAN) && is_request {
            news.began += 1;
            (socket.talk.is_replying, socket.talk.has_ended) = (1, 0);
            if news.began == 1 {
                socket.endpoint = endpoint;
                news.first = reading;
            } else {
                record::queued(socket, &mut reading, news.service, u32::from(endpoint), news.now);
            }
            (news.last, news.last_endpoint) = (reading, u32::from(endpoint));
        }
        if found.has(Found::ENDED) && socket.talk.is_streaming != 0 {
            socket.talk.is_streaming = 0;
        } else if found.has(Found::ENDED) {
            if matches!(waiting.kind, WAIT | HANDSHAKE) {
                endpoint::answered(figures, endpoint, news.now.wrapping_sub(reading.arrived));
            }
            let talk = &mut socket.talk;
            if found.has(Found::FAILED) && waiting.kind != HANDSHAKE {
                endpoint::failed(figures, endpoint, talk.replies.value == 4);
            }
            talk.has_ended = 1;
            talk.pending.pop();
        }
    }
    let talk = &mut socket.talk;
    if found.has(Found::STREAM) && talk.is_replying != 0 {
        ends_for_the_clock(talk);
        endpoint::streamed(Figures::of(news.service), news.last_endpoint as u16);
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
fn skip_to_mark(talk: &mut Talk) {
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
