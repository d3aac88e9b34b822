//! Downstream peers: a slot for each, and the figures of the calls to it.
//!
//! In: connections that a service opens, and calls on them. Out: per service and peer calls, latencies and connects.

use acgs_perf_common::attribution::PEER_SLOTS;
use acgs_perf_common::histogram::{BUCKETS, bucket_index};
use acgs_perf_common::ledger::Loss;
use acgs_perf_common::maps::{
    DOWNSTREAM_HEADER, DOWNSTREAM_PEERS, DownstreamPeer, DownstreamWord, PeerKey, UNIX_PORT, downstream_base,
};
use aya_ebpf::btf_maps::{Array, HashMap};
use aya_ebpf::macros::btf_map;

use super::{bytes, slots};
use crate::count::{atomic_add, counted, lose};
use crate::flags::{MMAPABLE, NO_EXIST};
use crate::kernel::sock::{AF_UNIX, Sock, read_unix_path};
use acgs_perf_common::opaque::reload;
use acgs_perf_common::rules::call::DownstreamCall;
use acgs_perf_common::subprogram;

/// Remote port → 1 if a service called somebody there, one byte each.
#[btf_map]
static CALLED_PORT: Array<[u8; 8], 8192, MMAPABLE> = Array::new();
/// Downstream peers. A hash map: touched once per connection.
#[btf_map]
static DOWNSTREAM_PEER: HashMap<PeerKey, DownstreamPeer, { DOWNSTREAM_PEERS as usize }> = HashMap::new();
/// Which slots of downstream peers are taken. A hash map: touched once per peer.
#[btf_map]
static DOWNSTREAM_CLAIMS: HashMap<u64, u64, { DOWNSTREAM_PEERS as usize }> = HashMap::new();
/// Per service: the first slot that may be free, counted from 0. A hint: slots are taken in order but for those given back.
#[btf_map]
static DOWNSTREAM_SLOTS_USED: Array<u64, 1, MMAPABLE> = Array::new();
/// Figures of downstream peers; see `acgs_perf_common::maps::downstream_base`.
#[btf_map]
static DOWNSTREAM: Array<u64, 1, MMAPABLE> = Array::new();

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
pub fn find_slot(call: &mut DownstreamCall, sk: Sock, service: u32) {
    call.peer = 0;
    let Some(mut key) = key(sk, service) else { return };
    if key.port < UNIX_PORT {
        let _in_range = bytes::set(&CALLED_PORT, key.port, Some(0));
    }
    find(call, &mut key);
}

subprogram! {
    /// Puts the slot of a peer into `call`, by the peer's key.
    fn find = downstream_find(call: &mut DownstreamCall, key: &mut PeerKey) {
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
    let Some(at) = slots::claim::<_, CLAIM_TRIES>(&DOWNSTREAM_CLAIMS, service, free, PEER_SLOTS as u64 - 1) else {
        return 0;
    };
    // SAFETY: as above.
    unsafe { hint.write_volatile(at + 1) };
    at as u32 + 1
}

/// Gives a slot back that was claimed and never used.
#[inline(always)]
fn give_back(service: u32, slot: u32) {
    if slot == 0 {
        return;
    }
    let at = u64::from(slot) - 1;
    let _was_there = DOWNSTREAM_CLAIMS.remove(slots::key(service, at));
    if let Some(hint) = DOWNSTREAM_SLOTS_USED.get_ptr_mut(service) {
        // SAFETY: `hint` points into the map's value.
        unsafe { hint.write_volatile(at) };
    }
}

/// Whether a service has called somebody at this port; spares the lookup for everybody else's sockets.
#[inline(always)]
pub fn is_called_port(port: u32) -> bool {
    bytes::get(&CALLED_PORT, port).is_some()
}
