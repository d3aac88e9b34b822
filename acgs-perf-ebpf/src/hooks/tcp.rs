//! TCP: connections opened and accepted, retransmissions, resets, round-trip time; and the ports that services listen on.

use core::mem::offset_of;

use acgs_perf_common::maps::{Counter, Histogram, PeerKey, PeerStats, others_index};
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;

use crate::count::{Figures, atomic_add};
use crate::flags::NO_EXIST;
use crate::globals::{attributes, counts, global};
use crate::kernel::sock::Sock;
use crate::kernel::task::Task;
use crate::kernel::time::now;
use crate::maps::{ESTABLISHED, PEER, PEER_OTHERS};
use crate::opaque::reload;
use crate::service_table::{current_service, service_of_listener, set_service_of_tgid, wanted_by};
use crate::standby::on_one_cpu;
use crate::state::socket::SOCKETS;
use crate::state::socket::SocketState;
use crate::subprogram::subprogram;
use crate::{calls, request_table, run, service_table};
use acgs_perf_common::ledger::Loss;

const ESTABLISHED_STATE: i32 = 1;
const SYN_SENT: i32 = 2;
const SYN_RECV: i32 = 3;
const CLOSE: i32 = 7;
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
        (SYN_RECV, ESTABLISHED_STATE) if global!(TCP_ACTIVE) != 0 || attributes() => accepted(sk),
        (_, CLOSE) => closed(sk, old == SYN_SENT),
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
        set_service_of_tgid(task.tgid(), Some(service))?;
    }
    match current_service() {
        Some(service) => service_table::listens(sk, service),
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
    let socket = SOCKETS.get_or_create(sk).ok_or(Loss::SocketStorage)?;
    if is_known(socket, SYN_SENT) {
        return Ok(());
    }
    socket.set_opened_by(service);
    let now = now();
    socket.connecting_since = now;
    if attributes() {
        calls::connecting(sk, socket, service, now)?;
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
    count_of_peer(sk, service, true, Event::Connection, took);
    Ok(())
}

#[inline(always)]
fn accepted(sk: Sock) -> Result<(), Loss> {
    let Some(service) = service_of_listener(sk) else { return Ok(()) };
    if global!(PREEMPTIBLE) != 0
        && let Some(socket) = SOCKETS.get_or_create(sk)
        && is_known(socket, ESTABLISHED_STATE)
    {
        return Ok(());
    }
    Figures::of(service).add(Counter::ConnectionsAccepted, 1);
    if global!(SYSCALLS_ACTIVE) != 0 {
        let _least_recent_makes_room = ESTABLISHED.insert(sk.address(), now(), 0);
    }
    count_of_peer(sk, service, false, Event::Connection, 0);
    Ok(())
}

#[inline(always)]
fn closed(sk: Sock, refused: bool) -> Result<(), Loss> {
    if attributes()
        && let Some(socket) = SOCKETS.get(sk)
    {
        request_table::forget(request_table::id_of(socket, sk));
    }
    if global!(TCP_ACTIVE) == 0 {
        return Ok(());
    }
    let Some((socket, service)) = outgoing(sk) else { return Ok(()) };
    if is_known(socket, CLOSE) {
        return Ok(());
    }
    let figures = Figures::of(service);
    if refused {
        figures.add(Counter::ConnectFailures, 1);
        count_of_peer(sk, service, true, Event::Failure, 0);
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
    // Sockets in these states are listeners, or smaller objects than a whole socket.
    if matches!(sk.state(), TIME_WAIT | LISTENING | NEW_SYN_RECV) {
        return Ok(());
    }
    let event = if matches!(counter, Counter::Retransmits) { Event::Retransmit } else { Event::Reset };
    count_of_peer(sk, service, opened, event, 0);
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

/// What is counted of a peer, as a word of `PeerStats`.
#[derive(Clone, Copy)]
enum Event {
    Connection = offset_of!(PeerStats, connections) as isize / 8,
    Failure = offset_of!(PeerStats, failures) as isize / 8,
    Retransmit = offset_of!(PeerStats, retransmits) as isize / 8,
    Reset = offset_of!(PeerStats, resets) as isize / 8,
}

/// Counts an event of the socket's peer, and the time that connecting took.
#[inline(always)]
fn count_of_peer(sk: Sock, service: u32, outgoing: bool, event: Event, connect_ns: u64) {
    let port = if outgoing { u32::from(sk.peer_port()) } else { 0 };
    let mut key = PeerKey { address: sk.peer_address(), port, service };
    count_at(&mut key, event as u32, sk.srtt_us(), connect_ns);
}

subprogram! {
    /// The same by the peer's key, whose entry is made if it is new; at that of all others when there is no room for it.
    fn count_at = tcp_count_of_peer(key: &mut PeerKey; word: u32, srtt_us: u32, connect_ns: u64) {
        if !counts() {
            return;
        }
        let key = reload(key); // Linux 6.1 takes a key only from the stack
        let mut entry = PEER.get_ptr_mut(key);
        if entry.is_none() {
            let _exists_meanwhile = PEER.insert(key, PeerStats::default(), NO_EXIST);
            entry = PEER.get_ptr_mut(key);
        }
        let is_named = entry.is_some();
        let Some(entry) = entry.or_else(|| PEER_OTHERS.get_ptr_mut(others_index(key.service, key.port != 0))) else { return };
        if word > Event::Reset as u32 {
            return;
        }
        // SAFETY: `entry` points into the map's value, of which `word` is one.
        unsafe {
            atomic_add(entry.cast::<u64>().add(word as usize), 1);
            atomic_add(&raw mut (*entry).connect_ns, connect_ns);
            if is_named && srtt_us != 0 {
                (&raw mut (*entry).srtt_us).write_volatile(u64::from(srtt_us));
            }
        }
    }
}
