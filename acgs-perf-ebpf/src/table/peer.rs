//! TCP peers: connections, failures, retransmissions, resets and round-trip time of each.
//!
//! In: events on the sockets of a service. Out: per service and peer their number; what has no room counts for all others.

use core::mem::offset_of;

use acgs_perf_common::maps::{PEERS, PeerKey, PeerStats, others_index};
use aya_ebpf::btf_maps::{Array, HashMap};
use aya_ebpf::macros::btf_map;

use crate::count::atomic_add;
use crate::flags::{MMAPABLE, NO_EXIST};
use crate::globals::counts;
use crate::kernel::sock::Sock;
use acgs_perf_common::opaque::reload;
use acgs_perf_common::subprogram;

/// TCP peers. A hash map: touched once per connection, retransmission or reset, never per request.
#[btf_map]
static PEER: HashMap<PeerKey, PeerStats, { PEERS as usize }> = HashMap::new();
/// Peers beyond that table; see `acgs_perf_common::maps::others_index`.
#[btf_map]
static PEER_OTHERS: Array<PeerStats, 1, MMAPABLE> = Array::new();

/// What is counted of a peer, as a word of `PeerStats`.
#[derive(Clone, Copy)]
pub enum Event {
    /// A connection, opened or accepted.
    Connection = offset_of!(PeerStats, connections) as isize / 8,
    /// A connection that could not be opened.
    Failure = offset_of!(PeerStats, failures) as isize / 8,
    /// A segment that was sent again.
    Retransmit = offset_of!(PeerStats, retransmits) as isize / 8,
    /// A reset, sent or received.
    Reset = offset_of!(PeerStats, resets) as isize / 8,
}

/// Counts an event of the socket's peer, and the time that connecting took.
#[inline(always)]
pub fn count(sk: Sock, service: u32, outgoing: bool, event: Event, connect_ns: u64) {
    let port = if outgoing { u32::from(sk.peer_port()) } else { 0 };
    let mut key = PeerKey { address: sk.peer_address(), port, service };
    count_at(&mut key, event as u32, sk.srtt_us(), connect_ns);
}

subprogram! {
    /// Counts by the peer's key, whose entry is made if it is new; at that of all others when there is no room for it.
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
