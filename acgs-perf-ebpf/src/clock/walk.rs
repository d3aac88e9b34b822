//! Goes through the bytes of a read or a send, of a service that serves or that calls: which requests it has brought, and which of them
//! it answers.
//!
//! In: the bytes, where the system call has them. Out: what they are, to `found`. Tokens are taken by `acgs_perf_protocol`, one after the
//! other, in a loop of the kernel's: so the verifier goes through a step once, however many there are.

use core::ffi::c_void;

use acgs_perf_common::opaque::{reload, store};
use acgs_perf_common::subprogram;
use acgs_perf_protocol::detect::detect;
use acgs_perf_protocol::pending::Reading;
use acgs_perf_protocol::walk::{self, TOKEN};
use acgs_perf_protocol::window::WINDOW;
use acgs_perf_protocol::{Found, Protocol, Stream, tls};
use aya_ebpf::helpers::generated::bpf_loop;

use super::found::{asked, replied, skip_to_mark};
use crate::state::socket::SocketState;
use crate::state::talk::{News, Room, Talk};
use crate::table::endpoint;

/// Steps for one read or send at most. The shortest requests take two steps for fourteen bytes.
const MOST_STEPS: u32 = 1 << 14;
/// So often a connection may look like none of the protocols before nobody looks again.
const MOST_TRIES: u8 = 16;
/// A mask that no token is longer than.
const MOST_CARRIED: u32 = 2 * TOKEN - 1;
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
        begin(socket, news);
        let way = reload(&news.way);
        let Some(room) = Room::get() else { return };
        if way == PASSED {
            return;
        }
        let mut walk = Walk { socket, news, room };
        if way == WALKED {
            // SAFETY: the callback takes what it is given here.
            let _steps = unsafe { bpf_loop(MOST_STEPS, step as *mut c_void, (&raw mut walk).cast(), 0) };
        } else {
            // SAFETY: as above.
            unseen(unsafe { &mut (*walk.socket).talk }, unsafe { &mut *walk.news });
        }
        // SAFETY: as above.
        let (talk, looks) = unsafe { (&mut (*walk.socket).talk, &mut *walk.room) };
        if way == WALKED && looks.source.left != 0 && talk.is_followed() {
            talk.lost();
        }
        if talk.requests.state != Stream::START && talk.requests.length != 0 {
            talk.requests.is_cut = 1;
        }
        if talk.has_ended != 0 && talk.replies.skip == 0 {
            // All of its bytes are sent.
            (talk.is_replying, talk.has_ended) = (0, 0);
        }
    }
}

/// What is done with the bytes: nothing any more;
const PASSED: u32 = 0;
/// they are looked at;
const WALKED: u32 = 1;
/// they are nowhere to be seen.
const UNSEEN: u32 = 2;

subprogram! {
    /// Gets the bytes ready, and the first of them into the window. By itself, so that its stack is free again when the steps are taken.
    fn begin = talk_begin(socket: &mut SocketState, news: &mut News) {
        news.way = PASSED;
        let Some(room) = Room::get() else { return };
        // SAFETY: the pointer is into the map's value of this CPU, which the program keeps.
        let looks = unsafe { &mut *room };
        let (talk, is_reply) = (&mut socket.talk, news.is_reply != 0);
        if !is_reply && talk.protocol == Protocol::Unparsed as u8 && talk.tries < MOST_TRIES {
            talk.protocol = Protocol::Unknown as u8;
        }
        if talk.protocol == Protocol::Unparsed as u8 || (is_reply && !talk.is_followed()) {
            return;
        }
        if talk.has_left != 0 {
            news.pushes = news.is_reply;
            news.one_way = 1 - news.is_reply;
            return;
        }
        if !is_reply && talk.requests.is_between() {
            talk.reading = Reading { arrived: news.arrived, read: news.now };
        }
        let (stream, other) = match is_reply {
            true => (&mut talk.replies, talk.requests.state),
            false => (&mut talk.requests, talk.replies.tells()),
        };
        stream.other = other;
        if talk.protocol == Protocol::Tls as u8 && tls::is_in_data(stream) {
            news.has_data = 1;
        }
        let skips = stream.skip != 0;
        looks.name.key = endpoint::key();
        (looks.window.at, looks.window.end) = (0, 0);
        let is_seen = looks.source.begin(news.bytes) && (skips || fill(is_reply, talk, looks) == GO_ON);
        news.way = if is_seen { WALKED } else { UNSEEN };
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
        talk.lost();
        return;
    }
    stream.skip -= news.bytes;
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
            pass_over(stream, room);
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
                    talk.lost();
                    return STOP;
                }
            }
        }
    }
    let protocol = talk.protocol();
    let found = if is_reply {
        if talk.replies.state == Stream::START {
            talk.replies.reply_rule = talk.pending.reply_rule();
        }
        walk::reply_step(protocol, &mut talk.replies, &mut room.window)
    } else {
        walk::request_step(protocol, &mut talk.requests, &mut room.window, &mut room.name)
    };
    // The verifier need not follow what each token can be through all that comes behind it.
    store(&mut news.found, found.0);
    let found = Found(reload(&news.found));
    if found.has(Found::LOST) {
        if is_reply && talk.pending.is_empty() && talk.is_replying == 0 && talk.is_streaming == 0 {
            // Nobody asked for it, and it is no reply.
            talk.replies = Stream::default();
            room.source.left = 0;
            news.pushes += 1;
        } else {
            talk.lost();
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
            socket.talk.turns();
        }
    }
    let talk = &mut socket.talk;
    let stream = if is_reply { &mut talk.replies } else { &mut talk.requests };
    if stream.skip != 0 {
        walk::skip(stream, &mut room.window);
        pass_over(stream, room);
    }
    let is_over = room.window.left() == 0 && room.source.left == 0 && stream.skip == 0 && talk.is_skipping == 0;
    if is_over { STOP } else { GO_ON }
}

/// Passes over bytes that are not in the window, as far as they are in one piece.
#[inline(always)]
fn pass_over(stream: &mut Stream, room: &mut Room) {
    let piece = room.source.piece();
    let bytes = if stream.skip < piece { stream.skip } else { piece };
    stream.skip -= bytes;
    room.source.pass(bytes);
}

/// Not enough of the window is left for a step.
#[inline(always)]
fn short(is_reply: bool, talk: &mut Talk, room: &mut Room) -> i64 {
    let stream = if is_reply { &mut talk.replies } else { &mut talk.requests };
    if !walk::keep_rest(stream, &mut room.window) {
        talk.lost();
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
        talk.lost();
        return STOP;
    }
    room.source.pass(bytes);
    room.window.end = carried.wrapping_add(bytes as u32);
    GO_ON
}
