//! Socket iterators: requests that nobody has answered, when the recording begins and at each look.
//!
//! In: all sockets that have our state, or those of a network namespace. Out: a record per open request and per listening socket, as
//! `acgs_perf_common::fates` lays it out; and state for requests that were there before the hooks.
//!
//! The contexts are `struct { struct bpf_iter_meta *meta; … }` with the object behind; it is null after the last one.

use core::ffi::c_void;

use acgs_perf_common::fates::{AT_LEAST, DEFERS, HELD_REPLY, LISTENING_SOCKET, OLDER, OPEN_REQUEST, Sighting};
use acgs_perf_common::ledger::Loss;
use aya_ebpf::helpers::generated::bpf_seq_write;

use super::entry::run;
use crate::clock::{delivery, leave};
use crate::globals::closed_ns;
use crate::kernel::fate::tcp_sock;
use crate::kernel::memory::load;
use crate::kernel::sock::{AF_UNIX, Sock};
use crate::kernel::time::now;
use crate::state::socket::{CLIENT, LOOKED_AT, READ, REPLIED, SOCKETS, SocketState, note_arrival, note_fast_opens};
use crate::table::service::{service_of_listener, service_of_unix};

const TCP_LISTEN: u8 = 10;
/// `older` of a listening socket: what it has dropped so far, it dropped before.
const LISTENS_ALREADY: u64 = 1;

#[repr(C)]
pub struct StorageContext {
    meta: *const u8,
    map: u64,
    sk: *const u8,
    value: u64,
}

#[repr(C)]
pub struct SocketContext {
    meta: *const u8,
    /// `struct sock_common *` or `struct unix_sock *`.
    sk: *mut u8,
    user: u32,
}

/// At the sockets that have our state, for the agent to read.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/bpf_sk_storage_map")]
extern "C" fn sockets_look(ctx: *const StorageContext) -> i32 {
    // SAFETY: the kernel passes a valid context.
    let (meta, sk) = unsafe { ((*ctx).meta, (*ctx).sk) };
    let Some(sk) = Sock::from_raw(sk) else { return 0 };
    run(|| look(meta, sk))
}

/// The same at all TCP sockets of a network namespace, where the kernel does not go over the storage of sockets.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/tcp")]
extern "C" fn sockets_look_tcp(ctx: *const SocketContext) -> i32 {
    // SAFETY: the kernel passes a valid context.
    let (meta, common) = unsafe { ((*ctx).meta, (*ctx).sk) };
    if common.is_null() {
        return 0;
    }
    let Some(sk) = tcp_sock(common) else { return 0 };
    run(|| look(meta, sk))
}

/// The same at all UNIX sockets of a network namespace.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/unix")]
extern "C" fn sockets_look_unix(ctx: *const SocketContext) -> i32 {
    // SAFETY: the kernel passes a valid context.
    let (meta, sk) = unsafe { ((*ctx).meta, (*ctx).sk) };
    let Some(sk) = Sock::from_raw(sk.cast_const()) else { return 0 };
    run(|| look(meta, sk))
}

#[inline(always)]
fn look(meta: *const u8, sk: Sock) -> Result<(), Loss> {
    let Some(socket) = SOCKETS.get(sk) else { return Ok(()) };
    if socket.phase == CLIENT {
        return Ok(());
    }
    if sk.state() == TCP_LISTEN {
        learn(sk);
        if let Some(service) = service_of_listener(sk) {
            let flags = if socket.older != 0 { OLDER } else { 0 } | if sk.defers_accept() { DEFERS } else { 0 };
            let (kind, port, inode, drops) = (LISTENING_SOCKET, u32::from(sk.local_port()), sk.inode(), sk.drops());
            write(meta, &Sighting { kind, port, service, inode, drops, flags, ..Sighting::default() });
        }
        return Ok(());
    }
    if socket.phase == REPLIED
        && let Some(copy) = LOOKED_AT.get_ptr_mut(0)
        // SAFETY: the pointer is into the map's value, which nobody else uses.
        && delivery::look(socket, unsafe { &mut *copy }, sk)
    {
        let service = socket.known_service();
        let mut seen = Sighting { kind: HELD_REPLY, service, inode: sk.inode(), ..Sighting::default() };
        (seen.address, seen.port) = (sk.peer_address(), u32::from(sk.peer_port()));
        (seen.arrived, seen.read) = (socket.arrived, socket.read);
        seen.replied = socket.arrived.wrapping_add(socket.recorded());
        write(meta, &seen);
    }
    let (in_service, unread) = (leave::is_in_service(socket), leave::is_unread(socket, sk));
    // A reply that came after the window: when it closed, the request was open.
    let is_late = socket.phase == REPLIED && socket.replied > closed_ns();
    if !in_service && !unread && !is_late {
        return Ok(());
    }
    let is_unix = sk.family() == AF_UNIX;
    let listener = || if is_unix { service_of_unix(sk) } else { service_of_listener(sk) };
    let Some(service) = leave::service_of(socket, listener) else { return Ok(()) };
    let mut seen = Sighting { kind: OPEN_REQUEST, service, inode: sk.inode(), ..Sighting::default() };
    if !is_unix {
        seen.address = sk.peer_address();
        seen.port = u32::from(sk.peer_port());
    }
    if is_late {
        seen.replied = socket.replied;
        read_request(meta, &mut seen, socket);
        seen.replied = 0;
    }
    if sk.is_over() {
        if in_service || unread {
            leave::abandon(socket, service, now());
        }
    } else if in_service {
        read_request(meta, &mut seen, socket);
        let behind = leave::behind(socket);
        if behind != 0 {
            let last = &socket.talk.reading;
            (seen.arrived, seen.read, seen.more) = (last.arrived, last.read, behind as u32 - 1);
            request(meta, &mut seen, socket);
        }
    } else if unread {
        seen.read = 0;
        seen.arrived = socket.next_arrived;
        request(meta, &mut seen, socket);
    }
    Ok(())
}

/// The request that was read last.
#[inline(always)]
fn read_request(meta: *const u8, seen: &mut Sighting, socket: &SocketState) {
    (seen.arrived, seen.read) = (socket.arrived, socket.read);
    request(meta, seen, socket);
}

#[inline(always)]
fn request(meta: *const u8, seen: &mut Sighting, socket: &SocketState) {
    seen.flags = match (seen.arrived == socket.older, seen.port) {
        (false, _) => 0,
        (true, 0) => OLDER | AT_LEAST,
        (true, _) => OLDER,
    };
    write(meta, seen);
}

/// Gives a record to who reads the iterator. What has no room the kernel asks for again.
#[inline(always)]
fn write(meta: *const u8, seen: &Sighting) {
    let seq: *mut c_void = load(meta, 0);
    // SAFETY: the first word of `struct bpf_iter_meta` is the file, and the record is as long as is said.
    let _asked_for_again =
        unsafe { bpf_seq_write(seq.cast(), core::ptr::from_ref(seen).cast(), size_of::<Sighting>() as u32) };
}

/// At all TCP sockets of a network namespace, once the hooks are attached.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/tcp")]
extern "C" fn sockets_begin_tcp(ctx: *const SocketContext) -> i32 {
    // SAFETY: the kernel passes a valid context.
    let common = unsafe { (*ctx).sk };
    if common.is_null() {
        return 0;
    }
    let Some(sk) = tcp_sock(common) else { return 0 };
    if service_of_listener(sk).is_none() {
        return 0;
    }
    run(|| begin(sk))
}

/// At all UNIX sockets of a network namespace, once the hooks are attached.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/unix")]
extern "C" fn sockets_begin_unix(ctx: *const SocketContext) -> i32 {
    // SAFETY: the kernel passes a valid context.
    let sk = unsafe { (*ctx).sk };
    let Some(sk) = Sock::from_raw(sk.cast_const()) else { return 0 };
    if !sk.is_stream() || sk.state() == TCP_LISTEN {
        return 0;
    }
    if service_of_unix(sk).is_some() { run(|| begin(sk)) } else { 0 }
}

/// A socket of a service that was there before the hooks, if they have not seen it since.
#[inline(always)]
fn begin(sk: Sock) -> Result<(), Loss> {
    if sk.state() == TCP_LISTEN {
        learn(sk);
        if SOCKETS.get(sk).is_none() {
            SOCKETS.get_or_create(sk).ok_or(Loss::SocketStorage)?.older = LISTENS_ALREADY;
        }
    } else if sk.has_unread_bytes() {
        arrived_before(SOCKETS.get_or_create(sk).ok_or(Loss::SocketStorage)?, sk);
    }
    Ok(())
}

/// A listener may be told to take bytes with the first segment when it listens already.
#[inline(always)]
fn learn(listener: Sock) {
    if listener.takes_fast_opens() {
        note_fast_opens();
    }
}

/// Bytes wait that had arrived before the hooks.
#[inline(always)]
fn arrived_before(socket: &mut SocketState, sk: Sock) {
    if socket.next_arrived != 0 || socket.phase == READ || socket.phase == CLIENT {
        return;
    }
    let now = now();
    let arrived = now - sk.since_last_bytes().unwrap_or(0).min(now - 1);
    socket.older = arrived;
    socket.next_arrived = arrived;
    note_arrival();
    // A reader of a UNIX socket may have been faster; then this is no arrival, and would make the next request seem to wait.
    if !sk.has_unread_bytes() {
        socket.next_arrived = 0;
    }
}
