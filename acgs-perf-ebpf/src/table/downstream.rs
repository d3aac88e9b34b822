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

use super::slots;
use crate::count::{atomic_add, counted, lose, replaced};
use crate::flags::{MMAPABLE, NO_EXIST, NO_PREALLOC};
use crate::kernel::sock::{AF_UNIX, Sock, read_unix_path};
use crate::kernel::time::now;
use acgs_perf_common::opaque::reload;
use acgs_perf_common::rules::call::DownstreamCall;
use acgs_perf_common::subprogram;

/// Downstream peers. A hash map: touched once per connection.
#[btf_map]
static DOWNSTREAM_PEER: HashMap<PeerKey, DownstreamPeer, { DOWNSTREAM_PEERS as usize }> = HashMap::new();
/// Which slots of downstream peers are taken. A hash map: touched once per peer.
#[btf_map]
static DOWNSTREAM_CLAIMS: HashMap<u64, u64, { DOWNSTREAM_PEERS as usize }, NO_PREALLOC> = HashMap::new();
/// Per service: the first slot that may be free, counted from 0. A hint: slots are taken in order but for those given back.
#[btf_map]
static DOWNSTREAM_SLOTS_USED: Array<u64, 1, MMAPABLE> = Array::new();
/// Figures of downstream peers; see `acgs_perf_common::maps::downstream_base`.
#[btf_map]
static DOWNSTREAM: Array<u64, 1, MMAPABLE> = Array::new();

/// Slots that a claim tries, in case other CPUs claim at the same time.
const CLAIM_TRIES: u64 = 4;
/// How often is looked whether another CPU has given a peer its slot.
const LOOKS: u32 = 160;

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
    find(call, &mut key);
}

subprogram! {
    /// Puts the slot of a peer into `call`, by the peer's key.
    fn find = downstream_find(call: &mut DownstreamCall, key: &mut PeerKey) {
        let key = reload(key); // Linux 6.1 takes a key only from the stack
        let mut known = DOWNSTREAM_PEER.get_ptr_mut(key);
        let mut is_ours = false;
        if known.is_none() {
            let fresh = DownstreamPeer { slot: 0, path: [0; 112] };
            is_ours = DOWNSTREAM_PEER.insert(key, fresh, NO_EXIST).is_ok();
            known = DOWNSTREAM_PEER.get_ptr_mut(key);
            if let Some(known) = known
                && key.port == UNIX_PORT
            {
                let address = u64::from(key.address[1]) << 32 | u64::from(key.address[0]);
                // SAFETY: `known` points into the map's value.
                read_unix_path(address, unsafe { &mut (*known).path });
            }
        }
        let Some(known) = known else {
            // Nobody remembers this peer: each of its connections counts here.
            lose(Loss::DownstreamSlots);
            return;
        };
        if is_ours || !is_decided(known) {
            decide(known, key.service);
        }
        // SAFETY: as above.
        call.peer = unsafe { (*known).slot }.saturating_sub(1) as u32;
    }
}

/// Whether whoever has entered the peer gives it a slot within a moment.
#[inline(always)]
fn is_decided(peer: *mut DownstreamPeer) -> bool {
    for _ in 0..LOOKS {
        // SAFETY: `peer` points into the map's value.
        if unsafe { (&raw const (*peer).slot).read_volatile() } != 0 {
            return true;
        }
        // Takes its time, of which the verifier goes through little.
        let _now = now();
    }
    false
}

/// Gives a slot to a peer of which it is not decided yet.
#[inline(always)]
fn decide(peer: *mut DownstreamPeer, service: u32) {
    let slot = claim(service);
    // SAFETY: `peer` points into the map's value.
    let is_ours = replaced(unsafe { &raw mut (*peer).slot }, 0, u64::from(slot) + 1);
    match (is_ours, slot) {
        (true, 0) => lose(Loss::DownstreamSlots),
        // Another CPU has decided meanwhile.
        (false, 1..) => give_back(service, slot),
        _ => {}
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
    let Some(at) = slots::claim::<_, _, CLAIM_TRIES>(&DOWNSTREAM_CLAIMS, service, free, PEER_SLOTS as u64 - 1) else {
        return 0;
    };
    // SAFETY: as above.
    unsafe { hint.write_volatile(at + 1) };
    at as u32 + 1
}

/// Gives a slot back that was claimed and never used.
#[inline(always)]
fn give_back(service: u32, slot: u32) {
    let at = u64::from(slot) - 1;
    let _was_there = DOWNSTREAM_CLAIMS.remove(slots::key(service, at));
    if let Some(hint) = DOWNSTREAM_SLOTS_USED.get_ptr_mut(service) {
        // SAFETY: `hint` points into the map's value.
        unsafe { hint.write_volatile(at) };
    }
}
