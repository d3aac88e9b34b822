//! The state of a socket, in its local storage: where its last request is, what is recorded of it, and who sends the requests.
//!
//! In: nothing. Out: the type and its map. `clock::request` moves a server-side socket from phase to phase; on a connection that
//! the service opened only the downstream call and the times of opening count.

use acgs_perf_common::attribution::{ATTRIBUTION_WORDS, LATENCY_WORD};
use aya_ebpf::btf_maps::Array;
use aya_ebpf::macros::btf_map;

use super::talk::Talk;
use crate::kernel::sock::{AF_UNIX, Sock};
use crate::kernel::storage::SocketStorage;
use acgs_perf_common::opaque::{self, reload};
use acgs_perf_common::rules::call::DownstreamCall;

/// Room for a look at a held reply; only the agent looks, at one socket after the other.
#[btf_map]
pub static LOOKED_AT: Array<SocketState, 1> = Array::new();
/// Clock of each server-side socket, and of connections being opened.
#[btf_map]
pub static SOCKETS: SocketStorage<SocketState> = SocketStorage::new();

/// No request has been read yet.
pub const IDLE: u8 = 0;
/// A request was read, and not a byte was sent since.
pub const READ: u8 = 1;
/// The reply has begun.
pub const REPLIED: u8 = 2;
/// It is no server-side socket: the service opened the connection.
pub const CLIENT: u8 = 3;

/// Bits of `SocketState::held`.
pub const HOLDER: u8 = 3;
/// Bit of `SocketState::held`: more was read while the reply was out whose send had not returned yet.
pub const ASKED_AGAIN: u8 = 1 << 2;
/// Bit of `SocketState::held`: what is no part of the reply was sent behind it; the reply ends at `end`.
pub const FOLLOWED: u8 = 1 << 3;
/// Bit of `SocketState::held`: `delivery` is not 0.
pub const HELD_BEFORE: u8 = 1 << 7;
/// Bit of `SocketState::held`: the reply has gone on after a pause.
pub const PUSHED: u8 = 1 << 6;

/// Bit of `SocketState::held`: the send buffer was full, so that the service had to wait.
pub const FULL: u8 = 1 << 5;

/// Recorded latency of a request to which no reply has begun.
pub const UNSENT: u64 = u64::MAX;
/// In place of the arrival of an abandoned request: it was answered, and that is counted.
pub const ANSWERED: u64 = 1;

/// 1 once data has arrived on a socket since the agent last looked at them all. In the section of such variables, whose address is a
/// constant: a look into a map would be a tenth of what an arrival costs.
#[unsafe(no_mangle)]
static mut ARRIVED: u64 = 0;

/// Remembers that data has arrived. The word is only read while it is set, so that no CPU takes it from the others' caches.
#[inline(always)]
pub fn note_arrival() {
    let arrived = &raw mut ARRIVED;
    // SAFETY: the variable is valid; CPUs that find 0 at once all store the same.
    unsafe {
        if arrived.read_volatile() == 0 {
            arrived.write_volatile(1);
        }
    }
}

/// 0 once a listener of a service takes bytes with the first segment of a connection.
#[unsafe(no_mangle)]
static mut NO_FAST_OPENS: u64 = 1;

/// Whether a listener of a service may take bytes with the first segment.
#[inline(always)]
pub fn may_open_fast() -> bool {
    // SAFETY: the variable is valid, and only ever becomes 0.
    unsafe { (&raw const NO_FAST_OPENS).read_volatile() == 0 }
}

/// Remembers that one does.
#[inline(always)]
pub fn note_fast_opens() {
    // SAFETY: the variable is valid; all who write it write the same.
    unsafe { (&raw mut NO_FAST_OPENS).write_volatile(0) };
}

/// State of a socket, in its socket storage.
///
/// The kernel begins a value eight bytes behind a cache line. So what every request needs is in three lines: up to
/// `replied`, and from `id` to the narrow words of the row. With 50 connections, whatever was not needed a moment ago is no
/// longer in the first cache.
#[repr(C)]
pub struct SocketState {
    /// When data arrived that no read has taken yet; 0 if none did. It may be set before the send of the reply to the
    /// request before it is seen: on loopback the client answers while the server's send is still returning.
    pub next_arrived: u64,
    /// When the request that was read last had arrived.
    pub arrived: u64,
    /// When it was read.
    pub read: u64,
    /// Service + 1 that opened the connection, or on the server's side in whose figures the request counts: that which read it,
    /// from the reply on that which began to send it, or `NO_SERVICE` outside the window.
    service: u8,
    /// `IDLE`, `READ`, `REPLIED` or `CLIENT`.
    pub phase: u8,
    /// 1 if the first request arrived before the connection was accepted.
    pub early: u8,
    /// 1 if only the components of a request that was computed in one go can be other than 0 in `row`.
    pub is_narrow: u8,
    /// Requests read, to sample the round-trip time; wraps.
    pub requests: u8,
    /// In the bits of `HOLDER` what holds the last reply, as the number of the component of the delivery from 1, or 0; `HELD_BEFORE`,
    /// `PUSHED`, `FULL`, `FOLLOWED` and `ASKED_AGAIN`.
    pub held: u8,
    /// Where the last send that has returned ended, folded; see `clock::delivery`.
    pub written: u16,
    /// Bytes of the request.
    pub bytes_in: u64,
    /// Bytes of the reply so far.
    pub bytes_out: u64,
    /// When the first byte of the reply was sent.
    pub replied: u64,
    /// Names the socket in `Activity::request`; 0 until `request_table::id_of` has given it.
    pub id: u64,
    /// What the last request adds to its row of the attribution histogram; its latency, as it is recorded, also without that
    /// probe. Its count is 1 when the other words are filled.
    pub row: [u64; ATTRIBUTION_WORDS],
    /// When the connection was started, for those that the service opens.
    pub connecting_since: u64,
    /// Who sends the requests, once one of them may have been slow.
    pub client: Client,
    /// The client's end of a connection.
    pub call: DownstreamCall,
    /// What stands for the arrival of a request that was there before the hooks; 0 if there was none.
    pub older: u64,
    /// When the client closed its end while a request of it had no reply; 0 if it did not.
    pub left: u64,
    /// Arrival of the request that was counted as abandoned, `ANSWERED` once it was answered all the same, 0 if none was.
    pub gone: u64,
    /// When bytes were read that may belong to the answered request; of use while that is later than `replied`.
    pub unclaimed: u64,
    /// When these had arrived; 0 if nobody saw it.
    pub unclaimed_arrived: u64,
    /// For how long the last reply was held, as far as it is accounted and `row` has it.
    pub delivery: u64,
    /// The latency that was recorded when the hold under way began, or was last accounted in `row`. What is recorded beyond it a look has
    /// found since.
    pub held_from: u64,
    /// Where the reply ends that is held, or that is `FOLLOWED`, in TCP's count of bytes.
    pub end: u32,
    /// Messages that may have come in the place of one request: reads of it after a pause.
    pub messages: u16,
    /// When more of the request was read last, while the service has never sent on this connection.
    pub read_last: u64,
    /// 1 once the service has sent on this connection.
    pub has_sent: u8,
    /// Not 0 once the client has closed its end.
    pub has_ended: u8,
    /// Endpoint of the last request that was answered; `NO_ENDPOINT` where the protocol is not followed.
    pub endpoint: u16,
    /// Ticks in which the connection had been busy, see `kernel::transmit`, when the held reply was last accounted.
    pub busy: u32,
    /// What is said on the connection.
    pub talk: Talk,
}

const _: () = assert!(core::mem::offset_of!(SocketState, id) + 8 == 64);

/// The other end of a server-side socket.
#[repr(C)]
pub struct Client {
    /// IPv4 as an IPv6-mapped one, network byte order; 0 for UNIX.
    pub address: [u32; 4],
    pub port: u32,
    /// Address family; 0 before it is known.
    pub family: u16,
    /// The state of TCP that the connection last entered, as far as it was seen; see `hooks::tcp::is_known`.
    pub tcp_state: u16,
}

impl SocketState {
    /// The service that opened the connection, from 0; `None` on the server's side.
    #[inline(always)]
    pub fn opened_by(&self) -> Option<u32> {
        (self.phase == CLIENT).then(|| self.known_service())
    }

    #[inline(always)]
    pub fn set_opened_by(&mut self, service: u32) {
        self.set_service(service);
        self.phase = CLIENT;
    }

    #[inline(always)]
    pub fn set_service(&mut self, service: u32) {
        self.service = service as u8 + 1;
    }

    /// The service that [`Self::set_service`] has set.
    #[inline(always)]
    pub fn known_service(&self) -> u32 {
        u32::from(self.service).wrapping_sub(1)
    }

    /// The name that the socket was given.
    #[inline(always)]
    pub fn known_id(&self) -> u64 {
        reload(&self.id)
    }

    /// Of the last request's latency, what is not the reply itself: the time to its first byte, and its delivery.
    #[inline(always)]
    pub fn until_reply(&self) -> u64 {
        self.replied.wrapping_sub(self.arrived).wrapping_add(self.delivery)
    }

    /// Remembers the other end.
    #[inline(always)]
    pub fn note_client(&mut self, sk: Sock) {
        if self.client.family == 0 {
            let family = sk.family();
            if family != AF_UNIX {
                self.client.address = sk.peer_address();
                self.client.port = u32::from(sk.peer_port());
            }
            self.client.family = family;
        }
    }

    /// Copies all of it but what is said, as far as it holds still.
    #[inline(always)]
    pub fn copy_to(&self, copy: &mut Self) {
        const WORDS: usize = core::mem::offset_of!(SocketState, talk) / 8;
        let (to, from) = (core::ptr::from_mut(copy).cast::<[u64; WORDS]>(), core::ptr::from_ref(self).cast());
        // SAFETY: both are as long, aligned as words are, and any words are valid.
        unsafe { opaque::copy(&mut *to, &*from) };
    }

    /// The latency that is recorded of the last request.
    #[inline(always)]
    pub fn recorded(&self) -> u64 {
        reload(&self.row[LATENCY_WORD]) // another thread may write it
    }
}
