//! The call clock of a client socket: send → first byte back, and for which request.
//!
//! In: sends and reads of the service on connections that it opened. Out: per peer calls, latencies, connects; and the
//! request that waits is found again when its answer is read.

use acgs_perf_common::attribution::PEER_SLOTS;
use acgs_perf_common::histogram::{BUCKETS, bucket_index};
use acgs_perf_common::maps::{DOWNSTREAM_HEADER, DownstreamPeer, DownstreamWord, PeerKey, UNIX_PORT, downstream_base};

use crate::Loss;
use crate::count::{atomic_add, counted, lose};
use crate::kernel::{AF_UNIX, Sock};
use crate::maps::{DOWNSTREAM, DOWNSTREAM_CLAIMS, DOWNSTREAM_PEER, DOWNSTREAM_SLOTS_USED};
use crate::service_table::{called_port, set_called_port};

/// Nothing was called on this connection yet, or the last call has been answered.
pub const QUIET: u32 = 0;
/// The connection is being opened.
pub const CONNECTING: u32 = 1;
/// A call was sent and nothing has come back.
pub const CALLED: u32 = 2;
/// The same, and another request has sent on the connection meanwhile.
pub const MIXED: u32 = 3;
/// Slots that a claim tries, in case other CPUs claim at the same time.
const CLAIM_TRIES: u64 = 4;
/// `BPF_NOEXIST`.
const NO_EXIST: u64 = 1;

/// The client's end of a connection.
#[repr(C)]
pub struct Call {
    /// For whom the call is; see `Activity`.
    pub request: u64,
    pub began: u64,
    /// When the call was sent, or the connection was established.
    pub since: u64,
    pub phase: u32,
    /// Slot of the peer.
    pub peer: u32,
}

/// One word of a peer's figures.
#[inline(always)]
pub fn add(service: u32, peer: u32, word: DownstreamWord, value: u64) {
    add_at(counted(service), peer, word as u32, value);
}

#[inline(always)]
fn add_at(service: u32, peer: u32, word: u32, value: u64) {
    if let Some(slot) = DOWNSTREAM.get_ptr_mut(downstream_base(service, peer) + word) {
        atomic_add(slot, value);
    }
}

/// A call was answered after `latency` ns.
#[inline(always)]
pub fn answered(service: u32, peer: u32, latency: u64) {
    let service = counted(service);
    add_at(service, peer, DownstreamWord::LatencySum as u32, latency);
    let bucket = bucket_index(latency);
    if bucket < BUCKETS {
        add_at(service, peer, DOWNSTREAM_HEADER + bucket as u32, 1);
    } else {
        add_at(service, peer, DownstreamWord::OverRange as u32, 1);
    }
}

/// The slot of the peer of `sk`, made at first sight; 0, which stands for all others, when there is none left.
#[inline(always)]
pub fn slot_of(sk: Sock, service: u32) -> u32 {
    let Some(key) = key(sk, service) else { return 0 };
    if key.port < UNIX_PORT {
        let _in_range = set_called_port(key.port, Some(0));
    }
    if let Some(known) = DOWNSTREAM_PEER.get_ptr_mut(key) {
        // SAFETY: `known` points into the map's value.
        return unsafe { (*known).slot };
    }
    let slot = claim(service);
    if slot == 0 {
        lose(Loss::DownstreamSlots);
    }
    let fresh = DownstreamPeer { slot, padding: 0, path: [0; 112] };
    let _exists_meanwhile = DOWNSTREAM_PEER.insert(key, fresh, NO_EXIST);
    let Some(known) = DOWNSTREAM_PEER.get_ptr_mut(key) else { return 0 };
    // SAFETY: as above.
    let known = unsafe { &mut *known };
    if key.port == UNIX_PORT {
        sk.unix_peer_path(&mut known.path);
    }
    known.slot
}

/// TCP: address and port. UNIX: the address object that a listener shares with all connections to it.
#[inline(always)]
fn key(sk: Sock, service: u32) -> Option<PeerKey> {
    if sk.family() != AF_UNIX {
        return Some(PeerKey { address: sk.peer_address(), port: u32::from(sk.peer_port()), service });
    }
    let address = sk.unix_peer_address()?;
    Some(PeerKey { address: [address as u32, (address >> 32) as u32, 0, 0], port: UNIX_PORT, service })
}

#[inline(always)]
fn claim(service: u32) -> u32 {
    let Some(used) = DOWNSTREAM_SLOTS_USED.get_ptr_mut(service) else { return 0 };
    // SAFETY: `used` points into the map's value.
    let free = unsafe { used.read_volatile() };
    for at in free..free + CLAIM_TRIES {
        let key = (u64::from(service) << 32) | at;
        if at + 1 < PEER_SLOTS as u64 && DOWNSTREAM_CLAIMS.insert(key, 0, NO_EXIST).is_ok() {
            atomic_add(used, 1);
            return at as u32 + 1;
        }
    }
    0
}

/// Whether a service has called somebody at this port; spares the lookup for everybody else's sockets.
#[inline(always)]
pub fn is_called_port(port: u32) -> bool {
    called_port(port).is_some()
}
