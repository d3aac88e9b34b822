//! Prepared statements, by connection and by what the client calls them.
//!
//! In: what a client prepares and binds. Out: the endpoint that the statement's text stands for. Those that were prepared before the hooks
//! are not here.

use acgs_perf_common::endpoint::SPREAD;
use aya_ebpf::btf_maps::LruHashMap;
use aya_ebpf::macros::btf_map;

/// Endpoints by statement. A hash map: asked only where a client runs what it has prepared. The least recently used gives way, because
/// nobody says when a connection's statements are gone.
#[btf_map]
static PREPARED: LruHashMap<u64, u32, 1> = LruHashMap::new();

/// A number for the statement that the client of the socket with this `id` calls `name`.
#[inline(always)]
fn key(id: u64, name: u32) -> u64 {
    id ^ u64::from(name).wrapping_mul(SPREAD)
}

/// A client has prepared a statement.
#[inline(always)]
pub fn define(id: u64, name: u32, endpoint: u16) {
    let _least_recent_makes_room = PREPARED.insert(key(id, name), u32::from(endpoint), 0);
}

/// The endpoint of a statement.
#[inline(always)]
pub fn find(id: u64, name: u32) -> Option<u16> {
    let endpoint = PREPARED.get_ptr(key(id, name))?;
    // SAFETY: the pointer is into the map's value.
    Some(unsafe { endpoint.read_volatile() } as u16)
}
