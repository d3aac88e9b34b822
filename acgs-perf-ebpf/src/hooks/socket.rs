//! Socket layer: data arrived, data read, data sent. These three hooks are the request clock; TCP and UNIX alike.

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;

use crate::Loss;
use crate::count::Figures;
use crate::hooks::tcp::sample_srtt;
use crate::kernel::{AF_INET, AF_INET6, AF_UNIX, Sock, global};
use crate::maps::SOCKETS;
use crate::request_clock::SocketState;
use crate::run;
use crate::service_table::{current_service, service_of_port, service_of_tgid};

const TCP_LISTEN: u8 = 10;
const MSG_PEEK: i32 = 2;
/// The round-trip time is sampled at the first request of a connection and then at every 64th.
const SRTT_EVERY: u32 = 64;

#[btf_tracepoint]
pub fn sk_data_ready(ctx: BtfTracePointContext) -> i32 {
    run(|| data_ready(&ctx))
}

#[inline(always)]
fn data_ready(ctx: &BtfTracePointContext) -> Result<(), Loss> {
    let Some(sk) = Sock::arg(ctx, 0) else { return Ok(()) };
    if server_side(sk).is_none() {
        return Ok(());
    }
    let socket = SOCKETS.get_or_create(sk).ok_or(Loss::SocketStorage)?;
    socket.arrival();
    Ok(())
}

/// The service to which `sk` is the server's end of a connection.
#[inline(always)]
fn server_side(sk: Sock) -> Option<u32> {
    match sk.family() {
        AF_INET | AF_INET6 => {
            let service = service_of_port(u32::from(sk.local_port()))?;
            (sk.is_stream() && sk.state() != TCP_LISTEN).then_some(service)
        }
        AF_UNIX if sk.is_stream() => service_of_tgid(sk.unix_listener()?),
        _ => None,
    }
}

#[btf_tracepoint]
pub fn sock_recv_length(ctx: BtfTracePointContext) -> i32 {
    run(|| recv_length(&ctx))
}

#[inline(always)]
fn recv_length(ctx: &BtfTracePointContext) -> Result<(), Loss> {
    let bytes = ctx.arg::<i32>(1);
    if bytes < 0 || ctx.arg::<i32>(2) & MSG_PEEK != 0 {
        return Ok(());
    }
    let Some((sk, socket, service)) = served(ctx) else { return Ok(()) };
    let figures = Figures::of(service);
    let began = socket.received(figures, bytes as u64);
    if global!(TCP_ACTIVE) != 0 && began && socket.requests % SRTT_EVERY == 1 && sk.family() != AF_UNIX {
        sample_srtt(sk, figures);
    }
    Ok(())
}

#[btf_tracepoint]
pub fn sock_send_length(ctx: BtfTracePointContext) -> i32 {
    run(|| send_length(&ctx))
}

#[inline(always)]
fn send_length(ctx: &BtfTracePointContext) -> Result<(), Loss> {
    let bytes = ctx.arg::<i32>(1);
    if bytes <= 0 {
        return Ok(());
    }
    let Some((_, socket, service)) = served(ctx) else { return Ok(()) };
    socket.sent(Figures::of(service), bytes as u64)
}

/// The server-side socket that the running process reads or writes, its state, and the process's service: two services
/// may listen on the same port at different addresses or in different namespaces.
#[inline(always)]
fn served(ctx: &BtfTracePointContext) -> Option<(Sock, &'static mut SocketState, u32)> {
    let service = current_service()?;
    let sk = Sock::arg(ctx, 0)?;
    let socket = SOCKETS.get(sk)?;
    socket.opened_by().is_none().then_some((sk, socket, service))
}
