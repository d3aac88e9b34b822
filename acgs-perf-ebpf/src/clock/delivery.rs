//! The delivery of a reply: from the return of its last send to the moment at which its last byte left.
//!
//! In: a send that returned with bytes of its reply still here, a segment that is sent again; and later any event of the socket. Out: the
//! latency grows by the time until the reply had left, in one of the components of the delivery. Which moment that was the kernel
//! remembers, see `rules::delivery` of the common crate: so nothing has to watch the segments, and a reply that leaves at once costs two
//! loads.

use acgs_perf_common::attribution::{Component, DELIVERY_COMPONENTS, DELIVERY_WORD, LATENCY_WORD, component_word};
use acgs_perf_common::opaque::{self, reload};
use acgs_perf_common::rules::delivery::{self as rules, Progress, Stage};
use acgs_perf_common::subprogram;
use acgs_perf_protocol::{Protocol, http1};

use super::record;
use crate::count::Figures;
use crate::globals::{attributes, closed_ns};
use crate::kernel::fate::tick;
use crate::kernel::sock::Sock;
use crate::kernel::time::now;
use crate::kernel::transmit::Transmit;
use crate::state::socket::{FOLLOWED, FULL, HELD_BEFORE, HOLDER, REPLIED, SocketState, note_arrival};
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

/// A send of the reply has returned, and is recorded.
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
    begins(socket, written, tcp.busy());
}

/// The reply, which ends at `end`, is held from what is recorded on.
#[inline(always)]
fn begins(socket: &mut SocketState, end: u32, busy: u32) {
    socket.end = end;
    socket.busy = busy;
    socket.held_from = socket.recorded();
    // The next look at all sockets is for it too.
    note_arrival();
}

/// What was written until now is none of the reply to come: the first request of a connection is read, or what was sent was another
/// reply, or none.
#[inline(always)]
pub fn note_end(socket: &mut SocketState, sk: Sock) {
    if let Some(tcp) = Transmit::of(sk) {
        socket.written = folded(tcp.written());
    }
}

/// `bytes` were sent that are no reply: what was answered before ends in front of them.
#[inline(always)]
pub fn sent_behind(socket: &mut SocketState, sk: Sock, bytes: u64) {
    if let Some(tcp) = Transmit::of(sk) {
        let written = tcp.written();
        socket.written = folded(written);
        if socket.phase == REPLIED {
            if socket.held & (HOLDER | FOLLOWED) == 0 {
                socket.end = written.wrapping_sub(bytes as u32);
            }
            socket.held |= FOLLOWED;
        }
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
    } else {
        adopt(socket);
    }
}

subprogram! {
    /// A send of more of a held reply, at `now`, is recorded, unless a look was quicker. The hold is over.
    pub fn has_sent_more = delivery_sent_more(socket: &mut SocketState; now: u64) {
        if socket.recorded() == now.wrapping_sub(socket.arrived) {
            socket.held_from = socket.recorded();
        }
        adopted(socket);
        socket.held &= !(HOLDER | FULL);
    }
}

/// Whether the reply, or some of it, was held when the last send returned.
#[inline(always)]
pub fn is_held(socket: &SocketState) -> bool {
    reload(&socket.held) & HOLDER != 0
}

/// A segment, which begins there, was sent again: the network has lost it, or a client that reads slowly had no room for it, where more of
/// the reply waits for that. The end of the stream, which is sent like a byte, is none of the reply, and neither is what `sent_behind`
/// has noted.
#[inline(always)]
pub fn sent_again(socket: &mut SocketState, sk: Sock, begin: Option<u32>) {
    if socket.phase != REPLIED {
        return;
    }
    settle(socket, sk);
    let Some(tcp) = Transmit::of(sk) else { return };
    let is_last = socket.held & FOLLOWED == 0 && matches!(sk.state(), ESTABLISHED | CLOSE_WAIT);
    let end = if is_last { tcp.written() } else { socket.end };
    let is_of_reply = begin.is_none_or(|begin| rules::is_behind(end, begin));
    if is_of_reply && rules::is_behind(end, tcp.acknowledged()) {
        let holder = if rules::is_behind(end, tcp.window_end()) { WINDOW } else { NETWORK };
        socket.held = (socket.held & !HOLDER) | holder;
        // It was busy since the send.
        let since = socket.arrived.wrapping_add(socket.recorded());
        let ticks = now().wrapping_sub(since).checked_div(u64::from(tick())).unwrap_or(0);
        begins(socket, end, tcp.busy().wrapping_sub(ticks as u32));
    }
}

/// This end closes, and `is_first` if the client has not: what is sent from now on is the end of the stream, unless some of the reply is
/// still here and goes before it.
#[inline(always)]
pub fn closes(socket: &mut SocketState, sk: Sock, is_first: bool) {
    if socket.phase == REPLIED
        && !settle(socket, sk)
        && let Some(tcp) = Transmit::of(sk)
    {
        socket.held &= !HOLDER;
        if socket.held & FOLLOWED == 0 {
            socket.end = tcp.written();
        }
        if is_first {
            ends_with_the_connection(socket);
        }
    }
}

subprogram! {
    /// A reply that says nowhere how long it is has ended now, when the client learns that no more of it comes.
    fn ends_with_the_connection = delivery_ends_with_connection(socket: &mut SocketState) {
        let is_open = socket.talk.is_replying != 0 && socket.talk.protocol == Protocol::Http1 as u8;
        if is_open && http1::lasts_until_close(&socket.talk.replies) {
            let latency = now().wrapping_sub(socket.arrived);
            let recorded = socket.recorded();
            record::grows(socket, Figures::of(socket.known_service()), recorded, latency);
        }
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
        adopt(socket);
        socket.held &= !(HOLDER | FULL);
        return false;
    }
    let mut seen = Seen::of(tcp);
    account(socket, &mut seen, now());
    let service = socket.known_service();
    if seen.has_grown != 0 && attributes() && exemplar::is_wanted(socket, service) {
        socket.note_client(sk);
        exemplar::offer_sums(socket, service);
    }
    seen.is_here != 0
}

/// Accounts a held reply in a look at all sockets, which runs while any of the service's threads may be at this one. Whether some of it is
/// still here. Of the socket it changes what is recorded, in one step, and only if that is still what it has seen: whoever comes next finds
/// there what was added, and since when. The rest it does on a `copy`.
#[inline(always)]
pub fn look(socket: &mut SocketState, copy: &mut SocketState, sk: Sock) -> bool {
    if socket.held & HOLDER == 0 {
        return false;
    }
    socket.copy_to(copy);
    let Some(tcp) = Transmit::of(sk) else { return false };
    if copy.held & HOLDER == 0 || has_left_at_once(copy, tcp) {
        return false;
    }
    let mut seen = Seen::of(tcp);
    account_copy(socket, copy, &mut seen, now());
    let service = copy.known_service();
    if seen.has_grown != 0 && attributes() && exemplar::is_wanted(copy, service) {
        copy.note_client(sk);
        exemplar::offer_sums(copy, service);
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

impl Seen {
    #[inline(always)]
    fn of(tcp: Transmit) -> Self {
        Self { progress: tcp.progress(), busy: tcp.busy(), is_here: 0, has_grown: 0, padding: 0 }
    }
}

subprogram! {
    fn account = delivery_account(socket: &mut SocketState, seen: &mut Seen; now: u64) {
        let (ns, stage) = held_for(socket, seen, now);
        adopt(socket);
        let recorded = socket.recorded();
        if ns > CLEAR_NS as i64 && record::takes(socket, recorded, recorded.wrapping_add(ns as u64)) {
            grows(socket, recorded, ns as u64);
            seen.has_grown = 1;
        } else {
            // A look may have been quicker.
            adopt(socket);
        }
        socket.busy = seen.busy;
        socket.held_from = socket.recorded();
        if stage == Stage::Acknowledged {
            socket.held &= !(HOLDER | FULL);
        }
        seen.is_here = u32::from(stage == Stage::Held);
    }
}

subprogram! {
    fn account_copy = delivery_account_copy(socket: &mut SocketState, copy: &mut SocketState, seen: &mut Seen; now: u64) {
        let (ns, stage) = held_for(copy, seen, now);
        adopt(copy);
        let recorded = copy.recorded();
        let latency = recorded.wrapping_add(ns as u64);
        if ns > CLEAR_NS as i64 && record::takes(socket, recorded, latency) {
            copy.row[LATENCY_WORD] = latency;
            grows(copy, recorded, ns as u64);
            seen.has_grown = 1;
        }
        seen.is_here = u32::from(stage == Stage::Held);
    }
}

/// For how long the reply was held beyond what is recorded, and how far it has come.
#[inline(always)]
fn held_for(socket: &SocketState, seen: &Seen, now: u64) -> (i64, Stage) {
    let since = socket.arrived.wrapping_add(socket.recorded());
    let (until, stage) = rules::held_until(&seen.progress, socket.end, since, now);
    let begun = socket.arrived.wrapping_add(socket.held_from);
    let until = rules::at_most_busy(until, begun, seen.busy.wrapping_sub(socket.busy), tick());
    let closed = closed_ns();
    let until = if until > closed { closed } else { until };
    (until.wrapping_sub(since) as i64, stage)
}

/// The reply has left `ns` later than was `recorded`, which is recorded by now.
#[inline(always)]
fn grows(socket: &mut SocketState, recorded: u64, ns: u64) {
    let part = u32::from(socket.held & HOLDER).wrapping_sub(1);
    let service = socket.known_service();
    // Whether the window is open or not: the time ends within it.
    let figures = Figures::at_any_time(service);
    let latency = recorded.wrapping_add(ns);
    record::grown(socket, figures, recorded, latency);
    delivery::held(service, part, socket.delivery, ns);
    if attributes() {
        figures.move_from_reply(latency, DELIVERY_WORD + (part as usize & 3), ns);
        let reply = &mut socket.row[component_word(Component::Reply)];
        *reply = reply.wrapping_sub(ns);
    }
    book(socket, ns);
}

subprogram! {
    /// Accounts in the row what looks have found since the hold began, or was last accounted.
    pub fn adopt = delivery_adopt(socket: &mut SocketState) {
        adopted(socket);
    }
}

#[inline(always)]
fn adopted(socket: &mut SocketState) {
    let more = socket.recorded().wrapping_sub(socket.held_from);
    if more != 0 {
        book(socket, more);
        socket.held_from = socket.recorded();
    }
}

/// `ns` of the recorded latency are the delivery of the reply.
#[inline(always)]
fn book(socket: &mut SocketState, ns: u64) {
    if attributes() {
        let word = DELIVERY_WORD + (usize::from(socket.held & HOLDER).wrapping_sub(1) & 3);
        socket.row[word] = socket.row[word].wrapping_add(ns);
    }
    socket.delivery = socket.delivery.wrapping_add(ns);
    socket.held |= HELD_BEFORE;
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
