//! Socket layer: data arrived, data read, data sent. These three hooks are the request clock; TCP and UNIX alike. Kernels
//! before 6.3 have no tracepoints here: `socket_functions` watches the functions in their place.

use acgs_perf_common::ledger::Loss;
use acgs_perf_common::rules::handoff::WAKE_BYTES;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;

use super::entry::{finish, run};
use super::standby::{LAST, RECEIVED, SENT, marked, on_one_cpu, standby};
use super::tcp::sample_srtt;
use crate::clock::{call, delivery, leave, request};
use crate::count::Figures;
use crate::globals::{attributes, counts, global};
use crate::kernel::sock::{AF_INET, AF_INET6, AF_UNIX, Sock};
use crate::kernel::task::Task;
use crate::kernel::time::now;
use crate::rules::{downstream, handoff};
use crate::state::socket::{SOCKETS, SocketState};
use crate::state::thread::THREADS;
use crate::table::downstream::find_slot;
use crate::table::member::current_service;
use crate::table::request::id_of;
use crate::table::service::{reads_from, service_of_port, service_of_unix, service_of_unix_listener};

const TCP_LISTEN: u8 = 10;
const MSG_PEEK: i32 = 2;
/// What is read is not from the stream: reports of what was sent.
const MSG_ERRQUEUE: i32 = 0x2000;
/// `-EPIPE` and `-ECONNRESET`.
const BROKEN_PIPE: i32 = -32;
const RESET: i32 = -104;
/// `-EAGAIN`.
const WOULD_BLOCK: i32 = -11;
/// The round-trip time is sampled at the first request of a connection and then at every 64th.
const SRTT_EVERY: u8 = 64;

#[btf_tracepoint]
pub fn sk_data_ready(ctx: BtfTracePointContext) -> i32 {
    run(|| has_arrived(&ctx))
}

// These need no mark: an arrival that is known already changes nothing.
#[btf_tracepoint]
pub fn sk_data_ready_standby(ctx: BtfTracePointContext) -> i32 {
    run(|| has_arrived(&ctx))
}

#[btf_tracepoint]
pub fn sk_data_ready_standby_2(ctx: BtfTracePointContext) -> i32 {
    run(|| has_arrived(&ctx))
}

/// Data has arrived on a socket. Strangers' come and go in fewer steps than it takes to keep the CPU.
#[inline(always)]
fn has_arrived(ctx: &BtfTracePointContext) -> Result<(), Loss> {
    match Sock::arg(ctx, 0) {
        Some(sk) if !is_strangers(sk) => on_one_cpu(|| data_ready(Some(sk))),
        _ => Ok(()),
    }
}

/// Whether a socket of TCP is none of a service's: nobody has put anything there, and no service listens on its port. UNIX sockets show
/// no such thing.
#[inline(always)]
fn is_strangers(sk: Sock) -> bool {
    !sk.has_storage() && sk.family() != AF_UNIX && service_of_port(sk.local_port()).is_none()
}

/// Data has arrived on a socket.
#[inline(always)]
pub fn data_ready(sk: Option<Sock>) -> Result<(), Loss> {
    if let Some(sk) = sk
        && let Some(socket) = watched(sk)?
    {
        request::arrived(socket, sk);
    }
    Ok(())
}

/// The state of a socket whose arrivals matter.
#[inline(always)]
fn watched<'s>(sk: Sock) -> Result<Option<&'s mut SocketState>, Loss> {
    // The kernel queues what is sent on a UNIX socket before it tells. A reader who does not sleep may have taken it already;
    // then this is no arrival, and would make the next request seem to wait since now.
    if sk.family() == AF_UNIX && !sk.has_unread() {
        return Ok(None);
    }
    if sk.has_storage()
        && let Some(socket) = SOCKETS.get(sk)
    {
        return Ok(Some(socket));
    }
    match server_side(sk) {
        Some(_) => SOCKETS.get_or_create(sk).ok_or(Loss::SocketStorage).map(Some),
        None => Ok(None),
    }
}

/// The service to which `sk` is the server's end of a connection.
#[inline(always)]
fn server_side(sk: Sock) -> Option<u32> {
    match sk.family() {
        AF_INET | AF_INET6 => {
            let service = service_of_port(sk.local_port())?;
            (sk.is_stream() && sk.state() != TCP_LISTEN).then_some(service)
        }
        AF_UNIX if sk.is_stream() => service_of_unix(sk),
        _ => None,
    }
}

#[btf_tracepoint]
pub fn sock_recv_length(ctx: BtfTracePointContext) -> i32 {
    run(|| marked(RECEIVED, || received(ctx.arg(1), ctx.arg(2), || Sock::arg(&ctx, 0))))
}

#[btf_tracepoint]
pub fn sock_recv_length_standby(ctx: BtfTracePointContext) -> i32 {
    run(|| standby(2, RECEIVED, || received(ctx.arg(1), ctx.arg(2), || Sock::arg(&ctx, 0))))
}

#[btf_tracepoint]
pub fn sock_recv_length_standby_2(ctx: BtfTracePointContext) -> i32 {
    run(|| standby(3, RECEIVED, || received(ctx.arg(1), ctx.arg(2), || Sock::arg(&ctx, 0))))
}

#[btf_tracepoint]
pub fn sock_recv_length_standby_3(ctx: BtfTracePointContext) -> i32 {
    run(|| standby(LAST, RECEIVED, || received(ctx.arg(1), ctx.arg(2), || Sock::arg(&ctx, 0))))
}

/// A read from a socket returned `bytes`, or an error. 0 stands for the end of the stream, or for a read of no bytes.
#[inline(always)]
pub fn received(bytes: i32, flags: i32, sk: impl FnOnce() -> Option<Sock>) -> Result<(), Loss> {
    if bytes < 0 || flags & (MSG_PEEK | MSG_ERRQUEUE) != 0 {
        return Ok(());
    }
    let Some(sk) = sk() else { return Ok(()) };
    // Of a connection of TCP that matters the arrival of data was seen.
    if !sk.has_storage() && sk.family() != AF_UNIX {
        return Ok(());
    }
    let Some(service) = current_service() else { return Ok(()) };
    let socket = match SOCKETS.get(sk) {
        Some(socket) => socket,
        // What comes first on a UNIX socket is a request all the same. Before the window it is more likely older than the first hook.
        None if bytes > 0 && sk.family() == AF_UNIX && counts() && sk.is_stream() => {
            let is_watched = service_of_unix_listener(sk).is_some();
            if !is_watched && service_of_unix(sk).is_none() && !reads_from(sk, service) {
                return Ok(());
            }
            let socket = SOCKETS.get_or_create(sk).ok_or(Loss::SocketStorage)?;
            if is_watched {
                // A reader that does not sleep takes bytes from a UNIX socket before the kernel tells of them: they have come just now.
                socket.next_arrived = now();
            }
            socket
        }
        None => return Ok(()),
    };
    if socket.opened_by().is_some() {
        let has_ended = || sk.has_ended() && !sk.has_unread();
        return if bytes > 0 || has_ended() { called_back(socket, service, bytes as u64) } else { Ok(()) };
    }
    // No request follows the end of a stream, and a read of no bytes takes none.
    if bytes == 0 {
        if sk.family() == AF_UNIX {
            socket.has_ended = 1;
            leave::found_gone(socket, sk, service);
        }
        return Ok(());
    }
    let began = request::received(socket, sk, service, bytes as u64);
    if global!(TCP_ACTIVE) != 0 && began && socket.requests % SRTT_EVERY == 1 && sk.family() != AF_UNIX {
        sample_srtt(sk, Figures::of(service));
    }
    Ok(())
}

/// The service has read from a connection that it opened.
#[inline(always)]
fn called_back(socket: &mut SocketState, service: u32, bytes: u64) -> Result<(), Loss> {
    if !attributes() {
        return Ok(());
    }
    let now = now();
    let arrived = if socket.next_arrived == 0 { now } else { socket.next_arrived };
    socket.next_arrived = 0;
    if bytes != 0 {
        call::hears(socket, service, bytes, arrived, now);
    }
    downstream::received(socket, service, bytes, arrived, now)
}

#[btf_tracepoint]
pub fn sock_send_length(ctx: BtfTracePointContext) -> i32 {
    // Not in a closure, which would be a function by itself: whoever is no service would pay for the call.
    finish(marked(SENT, || sent(ctx.arg(1), || Sock::arg(&ctx, 0))))
}

#[btf_tracepoint]
pub fn sock_send_length_standby(ctx: BtfTracePointContext) -> i32 {
    run(|| standby(2, SENT, || sent(ctx.arg(1), || Sock::arg(&ctx, 0))))
}

#[btf_tracepoint]
pub fn sock_send_length_standby_2(ctx: BtfTracePointContext) -> i32 {
    run(|| standby(3, SENT, || sent(ctx.arg(1), || Sock::arg(&ctx, 0))))
}

#[btf_tracepoint]
pub fn sock_send_length_standby_3(ctx: BtfTracePointContext) -> i32 {
    run(|| standby(LAST, SENT, || sent(ctx.arg(1), || Sock::arg(&ctx, 0))))
}

/// A send on a socket returned `bytes`, or an error.
#[inline(always)]
pub fn sent(bytes: i32, sk: impl FnOnce() -> Option<Sock>) -> Result<(), Loss> {
    if bytes <= 0 {
        return if matches!(bytes, BROKEN_PIPE | RESET | WOULD_BLOCK) { failed(bytes, sk) } else { Ok(()) };
    }
    // The running process's service: two may listen on the same port at different addresses or in different namespaces.
    let Some(service) = current_service() else { return Ok(()) };
    let Some(sk) = sk() else { return Ok(()) };
    let socket = match SOCKETS.get(sk) {
        Some(socket) if socket.opened_by().is_none() => return request::sent(socket, sk, service, bytes as u64),
        _ if !attributes() => return Ok(()),
        Some(socket) => socket,
        None if is_client_end(sk) => {
            let socket = SOCKETS.get_or_create(sk).ok_or(Loss::SocketStorage)?;
            socket.set_opened_by(service);
            find_slot(&mut socket.call, sk, service);
            socket
        }
        // A pair of sockets, which is how asyncio wakes its loop.
        None if bytes as u64 <= WAKE_BYTES && sk.family() == AF_UNIX && sk.is_stream() => {
            let task = Task::current();
            if let Some(thread) = THREADS.get(task) {
                handoff::has_signalled(thread, task, now());
            }
            return Ok(());
        }
        None => return Ok(()),
    };
    calls(socket, sk, service, bytes as u64)
}

/// The service sends on a connection that it has opened.
#[inline(always)]
fn calls(socket: &mut SocketState, sk: Sock, service: u32, bytes: u64) -> Result<(), Loss> {
    let now = now();
    let _names_the_connection = id_of(socket, sk);
    let asks = call::asks(socket, service, bytes, now);
    downstream::sent(sk, socket, service, now)?;
    if asks {
        call::asked(socket, service);
    }
    Ok(())
}

/// A send failed because the other end is gone, or takes no more now.
#[inline(always)]
fn failed(error: i32, sk: impl FnOnce() -> Option<Sock>) -> Result<(), Loss> {
    if let Some(service) = current_service()
        && let Some(sk) = sk()
        && let Some(socket) = SOCKETS.get(sk)
        && socket.opened_by().is_none()
    {
        if error == WOULD_BLOCK {
            delivery::would_block(socket);
        } else {
            leave::found_gone(socket, sk, service);
            leave::answers_nobody(socket);
        }
    }
    Ok(())
}

/// Whether a socket that we see for the first time is the client's end of a connection to a listener.
#[inline(always)]
fn is_client_end(sk: Sock) -> bool {
    match sk.family() {
        AF_INET | AF_INET6 => sk.is_stream() && service_of_port(sk.local_port()).is_none(),
        AF_UNIX => sk.is_stream() && sk.unix_peer_address().is_some(),
        _ => false,
    }
}
