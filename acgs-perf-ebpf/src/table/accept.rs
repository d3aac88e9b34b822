//! Connections that wait for accept.
//!
//! In: connections that are established, and calls of accept that return one. Out: how long each waited; and for a first request
//! that was there before, when its connection was accepted.

use acgs_perf_common::maps::ESTABLISHED as ESTABLISHED_CONNECTIONS;
use aya_ebpf::btf_maps::LruHashMap;
use aya_ebpf::macros::btf_map;

use crate::globals::attributes;
use crate::kernel::time::now;

/// Socket address → time established, until accept returns. A hash map: once per connection.
#[btf_map]
static ESTABLISHED: LruHashMap<u64, u64, { ESTABLISHED_CONNECTIONS as usize }> = LruHashMap::new();

/// Set once the connection was accepted, beside the time.
const ACCEPTED: u64 = 1 << 63;

/// A connection is established.
#[inline(always)]
pub fn established(sock: u64, now: u64) {
    let _least_recent_makes_room = ESTABLISHED.insert(sock, now, 0);
}

/// Accept has returned a connection: how long it waited, if that is known.
#[inline(always)]
pub fn accepted(sock: u64) -> Option<u64> {
    let established = ESTABLISHED.get_ptr_mut(sock)?;
    let now = now();
    // SAFETY: `established` points into the map's value.
    let waited = now.wrapping_sub(unsafe { *established });
    if attributes() {
        // The first request may ask when.
        let _least_recent_makes_room = ESTABLISHED.insert(sock, now | ACCEPTED, 0);
    } else {
        let _gone_meanwhile = ESTABLISHED.remove(sock);
    }
    (waited as i64 >= 0).then_some(waited)
}

/// When a connection was accepted; 0 if nobody saw it. Asked once.
#[inline(always)]
pub fn take_time(sock: u64) -> u64 {
    let Some(entry) = ESTABLISHED.get_ptr_mut(sock) else { return 0 };
    // SAFETY: `entry` points into the map's value.
    let time = unsafe { *entry };
    let _gone_meanwhile = ESTABLISHED.remove(sock);
    if time & ACCEPTED != 0 { time & !ACCEPTED } else { 0 }
}
