//! The call clock of a client socket: send → first byte back, and for which request.
//!
//! In: sends and reads of the service on connections that it opened. Out: per peer calls, latencies, connects; and the
//! request that waits is found again when its answer is read.

use acgs_perf_common::attribution::PEER_SLOTS;
use acgs_perf_common::histogram::{BUCKETS, bucket_index};
use acgs_perf_common::maps::{DOWNSTREAM_HEADER, DownstreamPeer, DownstreamWord, PeerKey, UNIX_PORT, downstream_base};

use crate::count::{atomic_add, counted, lose};
use crate::flags::NO_EXIST;
use crate::kernel::sock::{AF_UNIX, Sock, read_unix_path};
use crate::maps::{DOWNSTREAM, DOWNSTREAM_CLAIMS, DOWNSTREAM_PEER, DOWNSTREAM_SLOTS_USED};
use crate::opaque::reload;
use crate::service_table::{called_port, set_called_port};
use crate::state::call::Call;
use crate::subprogram::subprogram;
use acgs_perf_common::ledger::Loss;

/// Slots that a claim tries, in case other CPUs claim at the same time.
const CLAIM_TRIES: u64 = 4;

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

/// Puts the slot of the peer of `sk` into `call`, given at first sight; 0, which stands for all others, when there is none left.
#[inline(always)]
pub fn find_slot(call: &mut Call, sk: Sock, service: u32) {
    call.peer = 0;
    let Some(mut key) = key(sk, service) else { return };
    if key.port < UNIX_PORT {
        let _in_range = set_called_port(key.port, Some(0));
    }
    find(call, &mut key);
}

subprogram! {
    /// The same by the peer's key.
    fn find = downstream_find(call: &mut Call, key: &mut PeerKey) {
        let key = reload(key); // Linux 6.1 takes a key only from the stack
        let mut known = DOWNSTREAM_PEER.get_ptr_mut(key);
        if known.is_none() {
            let slot = claim(key.service);
            let fresh = DownstreamPeer { slot, padding: 0, path: [0; 112] };
            if DOWNSTREAM_PEER.insert(key, fresh, NO_EXIST).is_err() {
                // Another CPU was quicker, or the table is full.
                give_back(key.service, slot);
            } else if slot == 0 {
                lose(Loss::DownstreamSlots);
            }
            known = DOWNSTREAM_PEER.get_ptr_mut(key);
            if let Some(known) = known
                && key.port == UNIX_PORT
            {
                let address = u64::from(key.address[1]) << 32 | u64::from(key.address[0]);
                // SAFETY: `known` points into the map's value.
                read_unix_path(address, unsafe { &mut (*known).path });
            }
        }
        match known {
            // SAFETY: as above.
            Some(known) => call.peer = unsafe { (*known).slot },
            // Nobody remembers this peer: each of its connections counts here.
            None => lose(Loss::DownstreamSlots),
        }
    }
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

/// A slot that nobody has, and now the caller; 0 if there is none.
#[inline(always)]
fn claim(service: u32) -> u32 {
    let Some(hint) = DOWNSTREAM_SLOTS_USED.get_ptr_mut(service) else { return 0 };
    // SAFETY: `hint` points into the map's value.
    let free = unsafe { hint.read_volatile() };
    for at in free..free + CLAIM_TRIES {
        if at + 1 < PEER_SLOTS as u64 && DOWNSTREAM_CLAIMS.insert(claimed(service, at), 0, NO_EXIST).is_ok() {
            // SAFETY: as above.
            unsafe { hint.write_volatile(at + 1) };
            return at as u32 + 1;
        }
    }
    0
}

/// Gives a slot back that was claimed and never used.
#[inline(always)]
fn give_back(service: u32, slot: u32) {
    if slot == 0 {
        return;
    }
    let at = u64::from(slot) - 1;
    let _was_there = DOWNSTREAM_CLAIMS.remove(claimed(service, at));
    if let Some(hint) = DOWNSTREAM_SLOTS_USED.get_ptr_mut(service) {
        // SAFETY: `hint` points into the map's value.
        unsafe { hint.write_volatile(at) };
    }
}

/// The key of a slot in the table of those that are taken.
#[inline(always)]
fn claimed(service: u32, at: u64) -> u64 {
    (u64::from(service) << 32) | at
}

/// Whether a service has called somebody at this port; spares the lookup for everybody else's sockets.
#[inline(always)]
pub fn is_called_port(port: u32) -> bool {
    called_port(port).is_some()
}
