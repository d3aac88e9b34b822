//! TCP: connections opened and accepted, retransmissions, resets, round-trip time; and the ports that services listen on.

use acgs_perf_common::ledger::Loss;
use acgs_perf_common::maps::{Counter, Histogram};
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;

use super::entry::run;
use super::standby::on_one_cpu;
use crate::clock::leave::First;
use crate::clock::{self, delivery, leave};
use crate::count::Figures;
use crate::globals::{attributes, global};
use crate::kernel::sock::Sock;
use crate::kernel::task::Task;
use crate::kernel::time::now;
use crate::kernel::transmit::Transmit;
use crate::rules::downstream;
use crate::state::socket::{SOCKETS, SocketState, may_open_fast, note_fast_opens};
use crate::table::member::{current_service, joins};
use crate::table::peer::{self, Event};
use crate::table::service::{service_of_listener, service_of_port, wanted_by};
use crate::table::{accept, request, service};

const ESTABLISHED_STATE: i32 = 1;
const SYN_SENT: i32 = 2;
const SYN_RECV: i32 = 3;
const FIN_WAIT1: i32 = 4;
const FIN_WAIT2: i32 = 5;
const CLOSE: i32 = 7;
const CLOSE_WAIT: i32 = 8;
const LAST_ACK: i32 = 9;
const CLOSING: i32 = 11;
const LISTEN: i32 = 10;
const TIME_WAIT: u8 = 6;
const LISTENING: u8 = 10;
const NEW_SYN_RECV: u8 = 12;

#[btf_tracepoint]
pub fn inet_sock_set_state(ctx: BtfTracePointContext) -> i32 {
    run(|| on_one_cpu(|| set_state(&ctx)))
}

// A change that is known already changes nothing; see `is_known`.
#[btf_tracepoint]
pub fn inet_sock_set_state_standby(ctx: BtfTracePointContext) -> i32 {
    run(|| on_one_cpu(|| set_state(&ctx)))
}

#[inline(always)]
fn set_state(ctx: &BtfTracePointContext) -> Result<(), Loss> {
    let Some(sk) = Sock::arg(ctx, 0) else { return Ok(()) };
    let (old, new) = (ctx.arg::<i32>(1), ctx.arg::<i32>(2));
    match (old, new) {
        (_, LISTEN) => listens(sk),
        (_, SYN_SENT) if global!(TCP_ACTIVE) != 0 || attributes() => connecting(sk),
        (SYN_SENT, ESTABLISHED_STATE) if global!(TCP_ACTIVE) != 0 || attributes() => connected(sk),
        (LISTEN, SYN_RECV) => begins(sk),
        (SYN_RECV, ESTABLISHED_STATE) => established(sk),
        (ESTABLISHED_STATE, CLOSE_WAIT) => half_closed(sk),
        // Before the end of the stream is sent, which is the last segment from then on.
        (ESTABLISHED_STATE, FIN_WAIT1) | (CLOSE_WAIT, LAST_ACK) => closes(sk, new == FIN_WAIT1),
        (_, CLOSE) => closed(sk, old),
        _ => Ok(()),
    }
}

/// The running process listens: on a port that a selector names it joins the service, and its ports are the service's. The same
/// port in another network namespace is another one's.
#[inline(always)]
fn listens(sk: Sock) -> Result<(), Loss> {
    let task = Task::current();
    // Process 1 listens on behalf of others (socket activation), and all that it starts later would inherit.
    if task.tgid() != 1
        && let Some(service) = wanted_by(task, sk)
    {
        joins(task.tgid(), service);
    }
    match current_service() {
        Some(service) => {
            // The looks at all sockets ask it what it has dropped.
            SOCKETS.get_or_create(sk).ok_or(Loss::SocketStorage)?;
            if sk.takes_fast_opens() {
                note_fast_opens();
            }
            service::listens(sk, service);
            Ok(())
        }
        None => Ok(()),
    }
}

/// Whether this change of state is one that the program before the standby has seen: a socket never enters the state it is in.
/// Only where there are standbys; the mark is the socket's, because states change in interrupts too.
#[inline(always)]
fn is_known(socket: &mut SocketState, state: i32) -> bool {
    if global!(PREEMPTIBLE) == 0 {
        return false;
    }
    let last = core::mem::replace(&mut socket.client.tcp_state, state as u16);
    last == state as u16
}

#[inline(always)]
fn connecting(sk: Sock) -> Result<(), Loss> {
    let Some(service) = current_service() else { return Ok(()) };
    // A connection of MPTCP has no address yet; its first path has, and it itself is seen when it is used.
    if !sk.is_tcp_sock() {
        return Ok(());
    }
    let socket = SOCKETS.get_or_create(sk).ok_or(Loss::SocketStorage)?;
    if is_known(socket, SYN_SENT) {
        return Ok(());
    }
    socket.set_opened_by(service);
    let now = now();
    socket.connecting_since = now;
    if attributes() {
        downstream::connecting(sk, socket, service, now)?;
    }
    Ok(())
}

#[inline(always)]
fn connected(sk: Sock) -> Result<(), Loss> {
    let Some((socket, service)) = outgoing(sk) else { return Ok(()) };
    if is_known(socket, ESTABLISHED_STATE) {
        return Ok(());
    }
    let now = now();
    socket.call.since = now;
    let took = now.wrapping_sub(socket.connecting_since);
    if (took as i64) < 0 {
        return Err(Loss::NegativeDifference);
    }
    let figures = Figures::of(service);
    figures.record(Histogram::Connect, took);
    figures.add(Counter::ConnectionsOpened, 1);
    peer::count(sk, service, true, Event::Connection, took);
    Ok(())
}

/// A connection is made: of the segment that ends its handshake, or with Fast Open of the first one, whose bytes are in its queue
/// before anybody knows it. The kernel tells the listener of them, so that this is their arrival.
#[inline(always)]
fn begins(sk: Sock) -> Result<(), Loss> {
    if may_open_fast() && service_of_port(sk.local_port()).is_some() {
        clock::request::arrived(SOCKETS.get_or_create(sk).ok_or(Loss::SocketStorage)?, sk);
    }
    Ok(())
}

#[inline(always)]
fn established(sk: Sock) -> Result<(), Loss> {
    // Now it is known whether the first segment brought bytes.
    if may_open_fast()
        && sk.has_storage()
        && !sk.has_unread()
        && let Some(socket) = SOCKETS.get(sk)
        && socket.requests == 0
    {
        (socket.next_arrived, socket.early) = (0, 0);
    }
    if global!(TCP_ACTIVE) != 0 || attributes() { accepted(sk) } else { Ok(()) }
}

#[inline(always)]
fn accepted(sk: Sock) -> Result<(), Loss> {
    let Some(service) = service_of_listener(sk) else { return Ok(()) };
    // A connection of MPTCP counts with its first path.
    if !sk.is_tcp_sock() || sk.is_further_path() {
        return Ok(());
    }
    if global!(PREEMPTIBLE) != 0
        && let Some(socket) = SOCKETS.get_or_create(sk)
        && is_known(socket, ESTABLISHED_STATE)
    {
        return Ok(());
    }
    Figures::of(service).add(Counter::ConnectionsAccepted, 1);
    if global!(SYSCALLS_ACTIVE) != 0 {
        accept::established(sk.address(), now());
    }
    peer::count(sk, service, false, Event::Connection, 0);
    Ok(())
}

/// The other end has closed.
#[inline(always)]
fn half_closed(sk: Sock) -> Result<(), Loss> {
    if sk.has_storage()
        && let Some(socket) = SOCKETS.get(sk)
    {
        leave::half_closed(socket);
    }
    Ok(())
}

/// This end closes.
#[inline(always)]
fn closes(sk: Sock, is_first: bool) -> Result<(), Loss> {
    if sk.has_storage()
        && let Some(socket) = SOCKETS.get(sk)
    {
        delivery::closes(socket, sk, is_first);
    }
    Ok(())
}

/// Whose end was closed first, by the state before the last.
#[inline(always)]
fn first(old: i32) -> First {
    match old {
        CLOSE_WAIT | LAST_ACK => First::Client,
        FIN_WAIT1 | FIN_WAIT2 | CLOSING => First::Service,
        _ => First::Nobody,
    }
}

#[inline(always)]
fn closed(sk: Sock, old: i32) -> Result<(), Loss> {
    if !sk.has_storage() {
        return Ok(());
    }
    let Some(socket) = SOCKETS.get(sk) else { return Ok(()) };
    if attributes() {
        request::forget(request::id_of(socket, sk));
    }
    let Some(service) = socket.opened_by() else {
        delivery::settle(socket, sk);
        leave::closed(socket, sk, first(old));
        return Ok(());
    };
    if global!(TCP_ACTIVE) == 0 {
        return Ok(());
    }
    if !sk.is_tcp_sock() || is_known(socket, CLOSE) {
        return Ok(());
    }
    let figures = Figures::of(service);
    if old == SYN_SENT {
        figures.add(Counter::ConnectFailures, 1);
        peer::count(sk, service, true, Event::Failure, 0);
    } else {
        sample_srtt(sk, figures);
    }
    Ok(())
}

#[btf_tracepoint]
pub fn tcp_retransmit_skb(ctx: BtfTracePointContext) -> i32 {
    run(|| trouble(&ctx, Counter::Retransmits))
}

#[btf_tracepoint]
pub fn tcp_receive_reset(ctx: BtfTracePointContext) -> i32 {
    run(|| trouble(&ctx, Counter::ResetsReceived))
}

#[btf_tracepoint]
pub fn tcp_send_reset(ctx: BtfTracePointContext) -> i32 {
    run(|| trouble(&ctx, Counter::ResetsSent))
}

/// A retransmission or a reset on one of the service's sockets.
#[inline(always)]
fn trouble(ctx: &BtfTracePointContext, counter: Counter) -> Result<(), Loss> {
    let Some(sk) = Sock::arg(ctx, 0) else { return Ok(()) };
    let (service, opened) = match service_of_listener(sk) {
        Some(service) => (service, false),
        None => match outgoing(sk) {
            Some((_, service)) => (service, true),
            None => return Ok(()),
        },
    };
    Figures::of(service).add(counter, 1);
    if matches!(counter, Counter::Retransmits)
        && !opened
        && let Some(socket) = SOCKETS.get(sk)
    {
        delivery::sent_again(socket, sk, Transmit::begin_of(ctx.arg::<*const u8>(1)));
    }
    // Sockets in these states are listeners, or smaller objects than a whole socket.
    if matches!(sk.state(), TIME_WAIT | LISTENING | NEW_SYN_RECV) {
        return Ok(());
    }
    let event = if matches!(counter, Counter::Retransmits) { Event::Retransmit } else { Event::Reset };
    peer::count(sk, service, opened, event, 0);
    Ok(())
}

/// State and service of a connection that the service opened while we watched.
#[inline(always)]
fn outgoing(sk: Sock) -> Option<(&'static mut SocketState, u32)> {
    let socket = SOCKETS.get(sk)?;
    let service = socket.opened_by()?;
    Some((socket, service))
}

/// Records the kernel's estimate of the round-trip time, once it has one.
#[inline(always)]
pub fn sample_srtt(sk: Sock, figures: Figures) {
    let srtt_us = sk.srtt_us();
    if srtt_us != 0 {
        figures.record(Histogram::Srtt, u64::from(srtt_us) * 1000);
    }
}
