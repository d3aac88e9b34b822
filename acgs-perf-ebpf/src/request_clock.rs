//! The request clock of a server-side socket: arrived → read → first byte → last byte.
//!
//! A reply ends with the last send before the next request is read. Nobody knows at a send whether it is the last one, so
//! each send records the latency up to itself and takes back what the send before it recorded: the histograms are right
//! after every event, and nothing is pending when a snapshot is taken or a process dies.
//!
//! Two threads may send on one socket at once. What is recorded is in one word of the row, which a send replaces only while
//! it is what the send has seen: so each value is recorded once and taken back at most once. Of two sends at the same moment
//! one is left out, and the other one's time stands for both.

use acgs_perf_common::attribution::{ATTRIBUTION_WORDS, COUNT_WORD, LATENCY_WORD, attribution_bucket};
use acgs_perf_common::maps::{Counter, Histogram};

use crate::count::{Figures, atomic_add, lose, replaced, touch};
use crate::downstream::Call;
use crate::globals::attributes;
use crate::kernel::sock::{AF_UNIX, Sock};
use crate::kernel::time::now;
use crate::maps::ESTABLISHED;
use crate::opaque::reload;
use crate::subprogram::subprogram;
use crate::{Loss, attribution, exemplar, request_table};

/// No request has been read yet.
const IDLE: u8 = 0;
/// A request was read, and not a byte was sent since.
const READ: u8 = 1;
/// The reply has begun.
const REPLIED: u8 = 2;
/// It is no server-side socket: the service opened the connection.
const CLIENT: u8 = 3;

/// Recorded latency of a request to which no reply has begun.
const UNSENT: u64 = u64::MAX;

/// In the table of connections that wait for accept: set once they were accepted, beside the time.
pub const ACCEPTED: u64 = 1 << 63;

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
    phase: u8,
    /// 1 if the first request arrived before the connection was accepted.
    early: u8,
    /// 1 if only the components of a request that was computed in one go can be other than 0 in `row`.
    pub is_narrow: u8,
    /// Requests read, to sample the round-trip time.
    pub requests: u32,
    /// Bytes of the request.
    pub bytes_in: u64,
    /// Bytes of the reply so far.
    pub bytes_out: u64,
    /// When the first byte of the reply was sent.
    pub replied: u64,
    /// Names the socket in `Activity::request`; see [`Self::id`].
    id: u64,
    /// What the last request adds to its row of the attribution histogram; its latency, as it is recorded, also without that
    /// probe. Its count is 1 when the other words are filled.
    pub row: [u64; ATTRIBUTION_WORDS],
    /// When the connection was started, for those that the service opens.
    pub connecting_since: u64,
    /// Who sends the requests, once one of them may have been slow.
    pub client: Client,
    /// The client's end of a connection.
    pub call: Call,
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
    fn set_service(&mut self, service: u32) {
        self.service = service as u8 + 1;
    }

    /// The same after [`Self::set_service`] was called.
    #[inline(always)]
    fn known_service(&self) -> u32 {
        u32::from(self.service).wrapping_sub(1)
    }

    /// A number that names the socket: its address, and where its requests wait. The verifier lets nobody compute with the
    /// pointer itself, so the number goes through memory.
    #[inline(always)]
    pub fn id(&mut self, sk: Sock) -> u64 {
        if self.id == 0 {
            self.id = sk.address();
            self.id = request_table::id(self.known_id());
        }
        self.known_id()
    }

    /// The same after [`Self::id`] was called.
    #[inline(always)]
    pub fn known_id(&self) -> u64 {
        reload(&self.id)
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

    /// Bytes arrived in the receive queue.
    #[inline(always)]
    pub fn arrival(&mut self, sk: Sock) {
        if self.next_arrived == 0 {
            self.next_arrived = now();
            if self.requests == 0 && self.phase != CLIENT && !sk.is_accepted() {
                self.early = 1;
            }
        }
    }

    /// The service read `bytes`, at least one. Returns whether a new request began.
    #[inline(always)]
    pub fn received(&mut self, sk: Sock, figures: Figures, bytes: u64) -> bool {
        let arrived = self.next_arrived;
        self.next_arrived = 0;
        figures.add(Counter::BytesIn, bytes);
        if self.phase == READ {
            // More of the same request.
            self.bytes_in += bytes;
            if attributes()
                && let Err(loss) = attribution::continued(sk, self, arrived)
            {
                lose(loss);
            }
            return false;
        }
        let now = now();
        if arrived == 0 {
            lose(Loss::ArrivalUnseen);
        }
        self.arrived = if arrived == 0 { now } else { arrived };
        self.read = now;
        self.phase = READ;
        self.row[LATENCY_WORD] = UNSENT;
        self.row[COUNT_WORD] = 0;
        self.bytes_in = bytes;
        self.bytes_out = 0;
        self.set_service(figures.service());
        figures.add(Counter::Read, 1);
        self.requests = self.requests.wrapping_add(1);
        if attributes() {
            let accepted = if self.early != 0 { self.accepted(sk) } else { 0 };
            if let Err(loss) = attribution::began(sk, self, accepted, now) {
                lose(loss);
            }
        }
        true
    }

    /// When the connection was accepted, whose first request was there before; 0 if nobody saw it.
    #[inline(always)]
    fn accepted(&mut self, sk: Sock) -> u64 {
        self.early = 0;
        let Some(entry) = ESTABLISHED.get_ptr_mut(sk.address()) else { return 0 };
        // SAFETY: `entry` points into the map's value.
        let time = unsafe { *entry };
        let _gone_meanwhile = ESTABLISHED.remove(sk.address());
        if time & ACCEPTED != 0 { time & !ACCEPTED } else { 0 }
    }

    /// A process of `service` sent `bytes`. Who goes on with a reply, to whom the socket was passed, adds to the figures of the
    /// service that began it: only there is something to take back.
    #[inline(always)]
    pub fn sent(&mut self, sk: Sock, service: u32, bytes: u64) -> Result<(), Loss> {
        let recorded = self.recorded();
        let begins = recorded == UNSENT;
        let figures = Figures::of(if begins || self.phase == IDLE { service } else { self.known_service() });
        figures.add(Counter::BytesOut, bytes);
        if self.phase == IDLE {
            figures.add(Counter::UnsolicitedSends, 1);
            return Ok(());
        }
        let now = now();
        self.bytes_out += bytes;
        if begins { self.begins_reply(sk, figures, now) } else { self.goes_on(sk, figures, recorded, now) }
    }

    /// The latency that is recorded of the last request.
    #[inline(always)]
    fn recorded(&self) -> u64 {
        reload(&self.row[LATENCY_WORD]) // another thread may write it
    }

    /// Records another latency instead; false if another thread has done so meanwhile.
    #[inline(always)]
    fn record_instead(&mut self, recorded: u64, latency: u64) -> bool {
        replaced(&raw mut self.row[LATENCY_WORD], recorded, latency)
    }

    /// The first bytes of a reply.
    #[inline(always)]
    fn begins_reply(&mut self, sk: Sock, figures: Figures, now: u64) -> Result<(), Loss> {
        let latency = now.wrapping_sub(self.arrived);
        let queue_time = self.read.wrapping_sub(self.arrived);
        let service_time = now.wrapping_sub(self.read);
        if !self.record_instead(UNSENT, latency) {
            return Ok(());
        }
        self.phase = REPLIED;
        self.replied = now;
        if (queue_time as i64) < 0 || (service_time as i64) < 0 {
            self.phase = IDLE;
            return Err(Loss::NegativeDifference);
        }
        if self.known_service() != figures.service() {
            // Read before the window, or by another service: it counts as read where it is answered.
            Figures::of(self.known_service()).add(Counter::Read, 1u64.wrapping_neg());
            figures.add(Counter::Read, 1);
            self.set_service(figures.service());
        }
        let attributes = attributes();
        // Outside the window it counts nowhere, but whose thread did what is still of interest.
        if let (Some(queue_slot), Some(service_slot), Some(latency_slot)) = (
            figures.bucket(Histogram::QueueTime as u32, queue_time),
            figures.bucket(Histogram::ServiceTime as u32, service_time),
            figures.bucket(Histogram::Latency as u32, latency),
        ) {
            touch(queue_slot);
            touch(service_slot);
            touch(latency_slot);
            if attributes {
                if let Some(row) = figures.row(latency) {
                    touch(row);
                }
                request_table::look(self.known_id());
            }
            figures.add(Counter::Requests, 1);
            figures.add(Counter::QueueTimeSum, queue_time);
            figures.add(Counter::ServiceTimeSum, service_time);
            figures.add(Counter::LatencySum, latency);
            atomic_add(queue_slot, 1);
            atomic_add(service_slot, 1);
            atomic_add(latency_slot, 1);
        }
        if attributes {
            if let Err(loss) = attribution::answered(sk, self, figures.service(), now) {
                lose(loss);
                if loss == Loss::TaskStorage {
                    attribution::unknown(self);
                }
            }
            self.row[COUNT_WORD] = 1;
            figures.add_row(latency, 0, &self.row, self.is_narrow != 0, false);
        }
        Ok(())
    }

    /// More bytes of a reply of which `recorded` is the latency so far.
    #[inline(always)]
    fn goes_on(&mut self, sk: Sock, figures: Figures, recorded: u64, now: u64) -> Result<(), Loss> {
        let latency = now.wrapping_sub(self.arrived);
        let attributes = attributes();
        // Another thread that sends now may be later, or may not have filled the row yet.
        if latency.wrapping_sub(recorded) as i64 <= 0
            || (attributes && self.row[COUNT_WORD] == 0)
            || !self.record_instead(recorded, latency)
        {
            return Ok(());
        }
        figures.unrecord(Histogram::Latency, recorded);
        figures.record(Histogram::Latency, latency);
        figures.add(Counter::LatencySum, latency.wrapping_sub(recorded));
        if attributes {
            attribution::replied_more(self, now);
            if attribution_bucket(latency) == attribution_bucket(recorded) {
                figures.add_growth(latency, latency.wrapping_sub(recorded));
            } else {
                move_row(self, figures.service(), recorded, latency);
                if exemplar::is_wanted(self, figures.service()) {
                    self.note_client(sk);
                    exemplar::offer_sums(self, figures.service());
                }
            }
        }
        Ok(())
    }
}

subprogram! {
    /// A reply has grown out of the row of the latency `recorded`: it goes to that of its `latency` now.
    fn move_row = request_move_row(socket: &mut SocketState; service: u32, recorded: u64, latency: u64) {
        let figures = Figures::of(service);
        let (first, narrow) = (socket.replied.wrapping_sub(socket.arrived), socket.is_narrow != 0);
        figures.add_row(recorded, recorded.wrapping_sub(first), &socket.row, narrow, true);
        figures.add_row(latency, latency.wrapping_sub(first), &socket.row, narrow, false);
    }
}
