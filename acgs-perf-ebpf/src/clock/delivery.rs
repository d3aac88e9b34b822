//! The delivery of a reply: from the return of its last send to the moment at which its last byte left.
//!
//! In: a send that returned with bytes of its reply still here, a segment that is sent again; and later any event of the socket. Out: the
//! latency grows by the time until the reply had left, in one of the components of the delivery. Which moment that was the kernel
//! remembers, see `rules::delivery` of the common crate: so nothing has to watch the segments, and a reply that leaves at once costs two
//! loads.

use acgs_perf_common::attribution::{Component, DELIVERY_COMPONENTS, DELIVERY_WORD, component_word};
use acgs_perf_common::rules::delivery::{self as rules, Progress, Stage};
use acgs_perf_common::{opaque, subprogram};

use super::record;
use crate::count::Figures;
use crate::globals::{attributes, closed_ns};
use crate::kernel::fate::tick;
use crate::kernel::sock::Sock;
use crate::kernel::time::now;
use crate::kernel::transmit::Transmit;
use crate::state::socket::{FULL, HELD_BEFORE, HOLDER, REPLIED, SocketState, note_arrival};
use crate::table::{delivery, exemplar};

/// Shorter holds are not claimed: a send that has put its bytes behind a cork takes that out again.
const CLEAR_NS: u64 = 3_000;
const NAGLE: u8 = holder_of(Component::DeliveryNagle);
/// States of TCP in which this end has not closed.
const ESTABLISHED: u8 = 1;
const CLOSE_WAIT: u8 = 8;
const WINDOW: u8 = holder_of(Component::DeliveryWindow);
const NETWORK: u8 = holder_of(Component::DeliveryNetwork);

/// `SocketState::held` of a component of the delivery.
const fn holder_of(part: Component) -> u8 {
    (part as u32 - Component::DeliveryNagle as u32 + 1) as u8
}

/// A send of the reply has returned.
#[inline(always)]
pub fn sent(socket: &mut SocketState, sk: Sock) {
    if let Some(tcp) = Transmit::of(sk) {
        let (written, sent) = (tcp.written(), tcp.sent());
        socket.written = folded(written);
        if written != sent {
            hold(socket, sk, tcp, written, sent);
        }
    }
}

#[inline(always)]
fn hold(socket: &mut SocketState, sk: Sock, tcp: Transmit, written: u32, sent: u32) {
    let part = rules::holder(written, sent, tcp.window_end(), tcp.segment());
    let holder = holder_of(part);
    // Of less than a segment nobody asks, and the answer is dear.
    let full = if holder != NAGLE && sk.has_no_space() { FULL } else { 0 };
    socket.held = (socket.held & !(HOLDER | FULL)) | holder | full;
    socket.end = written;
    socket.busy = tcp.busy();
    // The next look at all sockets is for it too.
    note_arrival();
}

/// The first request of a connection is read: what was written until now is none of its reply.
#[inline(always)]
pub fn note_end(socket: &mut SocketState, sk: Sock) {
    if let Some(tcp) = Transmit::of(sk) {
        socket.written = folded(tcp.written());
    }
}

/// Whether the client has all of more than the last send that has returned had written: another one is under way, and needs only to
/// return.
#[inline(always)]
pub fn has_sent_unseen(socket: &SocketState, sk: Sock) -> bool {
    let Some(tcp) = Transmit::of(sk) else { return false };
    let written = tcp.written();
    folded(written) != socket.written && tcp.acknowledged() == written
}

/// A place in the stream in half the bytes, for which there is room in the cache line that each request needs anyway.
#[inline(always)]
fn folded(place: u32) -> u16 {
    (place ^ (place >> 16)) as u16
}

/// A send found no room for any of its bytes.
#[inline(always)]
pub fn would_block(socket: &mut SocketState) {
    socket.held |= FULL;
}

/// The service has sent more: of another reply, so that this one `is_whole`, or of this one. Where it had to wait for room, that time was
/// those others' who held the reply; where it had not, it was its own, whatever has become of the bytes before meanwhile.
#[inline(always)]
pub fn sends_more(socket: &mut SocketState, sk: Sock, is_whole: bool) {
    if is_whole || (socket.held & FULL != 0 && socket.held & HOLDER != NAGLE) {
        settle(socket, sk);
    }
    socket.held &= !(HOLDER | FULL);
}

/// Whether the reply, or some of it, was held when the last send returned.
#[inline(always)]
pub fn is_held(socket: &SocketState) -> bool {
    socket.held & HOLDER != 0
}

/// A segment was sent again: the network has lost it, or a client that reads slowly had no room for it, where more of the reply waits for
/// that. The end of the stream, which is sent like a byte, is none of the reply.
#[inline(always)]
pub fn sent_again(socket: &mut SocketState, sk: Sock) {
    if socket.phase != REPLIED {
        return;
    }
    settle(socket, sk);
    let Some(tcp) = Transmit::of(sk) else { return };
    let end = if matches!(sk.state(), ESTABLISHED | CLOSE_WAIT) { tcp.written() } else { socket.end };
    if rules::is_behind(end, tcp.acknowledged()) {
        let holder = if rules::is_behind(end, tcp.window_end()) { WINDOW } else { NETWORK };
        socket.held = (socket.held & !HOLDER) | holder;
        socket.end = end;
        // It was busy since the send.
        let since = socket.arrived.wrapping_add(socket.recorded());
        let ticks = now().wrapping_sub(since).checked_div(u64::from(tick())).unwrap_or(0);
        socket.busy = tcp.busy().wrapping_sub(ticks as u32);
        note_arrival();
    }
}

/// This end closes: what is sent from now on is the end of the stream, unless some of the reply is still here and goes before it.
#[inline(always)]
pub fn closes(socket: &mut SocketState, sk: Sock) {
    if socket.phase == REPLIED
        && !settle(socket, sk)
        && let Some(tcp) = Transmit::of(sk)
    {
        socket.held &= !HOLDER;
        socket.end = tcp.written();
    }
}

/// Accounts a held reply up to now, or up to when it had left. Whether some of it is still here. It stands by itself, so that programs
/// which hardly ever need it are small enough to be one function.
#[inline(never)]
pub fn settle(socket: &mut SocketState, sk: Sock) -> bool {
    if socket.held & HOLDER == 0 {
        return false;
    }
    let Some(tcp) = Transmit::of(sk) else { return false };
    if has_left_at_once(socket, tcp) {
        socket.held &= !HOLDER;
        return false;
    }
    let mut seen = Seen { progress: tcp.progress(), busy: tcp.busy(), is_here: 0, has_grown: 0, padding: 0 };
    account(socket, &mut seen, now());
    let service = socket.known_service();
    if seen.has_grown != 0 && attributes() && exemplar::is_wanted(socket, service) {
        socket.note_client(sk);
        exemplar::offer_sums(socket, service);
    }
    seen.is_here != 0
}

/// Whether the client has all of it, and it had left so soon that nobody claims it was held: behind a cork that is taken out at once.
#[inline(always)]
fn has_left_at_once(socket: &SocketState, tcp: Transmit) -> bool {
    let since = socket.arrived.wrapping_add(socket.recorded());
    !rules::is_behind(socket.end, tcp.acknowledged())
        && tcp.acknowledged_sent_at().wrapping_sub(since) as i64 <= CLEAR_NS as i64
}

/// What is seen of a connection with a held reply.
#[repr(C)]
struct Seen {
    progress: Progress,
    /// For how many ticks it has been busy.
    busy: u32,
    /// 1 if some of it is still here.
    is_here: u32,
    /// 1 if its latency is now longer.
    has_grown: u32,
    /// Linux 6.1 lets nobody pass on what has a hole.
    padding: u32,
}

subprogram! {
    fn account = delivery_account(socket: &mut SocketState, seen: &mut Seen; now: u64) {
        let since = socket.arrived.wrapping_add(socket.recorded());
        let (until, stage) = rules::held_until(&seen.progress, socket.end, since, now);
        let until = rules::at_most_busy(until, since, seen.busy.wrapping_sub(socket.busy), tick());
        socket.busy = seen.busy;
        let closed = closed_ns();
        let until = if until > closed { closed } else { until };
        let ns = until.wrapping_sub(since);
        if ns as i64 > CLEAR_NS as i64 {
            seen.has_grown = u32::from(grows(socket, ns));
        }
        if stage == Stage::Acknowledged {
            socket.held &= !HOLDER;
        }
        seen.is_here = u32::from(stage == Stage::Held);
    }
}

/// The reply has left `ns` later than is recorded. Whether that is recorded now.
#[inline(always)]
fn grows(socket: &mut SocketState, ns: u64) -> bool {
    let part = u32::from(socket.held & HOLDER).wrapping_sub(1);
    let (recorded, service) = (socket.recorded(), socket.known_service());
    // Whether the window is open or not: the time ends within it.
    let figures = Figures::at_any_time(service);
    let latency = recorded.wrapping_add(ns);
    if !record::grows(socket, figures, recorded, latency) {
        return false;
    }
    delivery::held(service, part, socket.delivery, ns);
    if attributes() {
        let word = DELIVERY_WORD + (part as usize & 3);
        figures.move_from_reply(latency, word, ns);
        socket.row[word] = socket.row[word].wrapping_add(ns);
        let reply = &mut socket.row[component_word(Component::Reply)];
        *reply = reply.wrapping_sub(ns);
    }
    socket.delivery = socket.delivery.wrapping_add(ns);
    socket.held |= HELD_BEFORE;
    true
}

/// The next request begins: what is known of the reply before is all that will be.
#[inline(always)]
pub fn ends(socket: &mut SocketState) {
    if socket.held & HELD_BEFORE != 0 {
        socket.delivery = 0;
        opaque::clear(&mut socket.row[DELIVERY_WORD..DELIVERY_WORD + DELIVERY_COMPONENTS]);
    }
    socket.held = 0;
}
