//! Layout of the figures of endpoints: what a service is asked for, and what it asks its peers for, by name.
//!
//! The kernel side finds an endpoint by the hash of its name in a table; the table says its number, counted from
//! [`FIRST_NAMED`] in each service. By the number go its figures, one copy per shard, and its name. Endpoints of peers have numbers of
//! their own, and figures in one copy: of calls there are fewer.

use crate::attribution::PEER_SLOTS;
use crate::histogram::bucket_index_of_power;
use crate::maps::MAX_SERVICES;

/// Of requests whose protocol is not followed: no figures.
pub const NO_ENDPOINT: u16 = 0;
/// Of requests whose name has no number of its own, or could not be kept.
pub const OTHER_ENDPOINT: u16 = 1;
/// Of statements that were prepared before the hooks, so that nobody knows their text.
pub const PREPARED_BEFORE: u16 = 2;
/// The first that is named.
pub const FIRST_NAMED: u32 = 3;
/// Numbers per service.
pub const ENDPOINTS: u32 = 256;
/// Numbers per service for what it asks its peers for.
pub const CALLED_ENDPOINTS: u32 = 128;

/// Every power of two is divided into 2^5 buckets: a bucket is at most 1/32 = 3.1 % wide.
pub const POWER: u32 = 5;
/// Buckets of a latency below 2^36 ns.
pub const BUCKETS: u32 = bucket_index_of_power((1 << 36) - 1, POWER) as u32 + 1;

/// Word of an endpoint's figures: requests answered.
pub const REQUESTS: u32 = 0;
/// Sum of their latencies.
pub const LATENCY_SUM: u32 = 1;
/// Latencies over range.
pub const OVER_RANGE: u32 = 2;
/// Requests whose reply says that they failed.
pub const FAILED: u32 = 3;
/// Of these, those for which the reply holds the client responsible.
pub const REFUSED: u32 = 4;
/// Requests whose reply went on as a stream, of which the latency is that of its beginning.
pub const STREAMED: u32 = 5;
/// Calls that followed, for one request and on one connection, a call for the same.
pub const REPEATED: u32 = 6;
/// The first bucket.
pub const LATENCY: u32 = 8;
/// Words of an endpoint in a shard.
pub const ENDPOINT_WORDS: u32 = LATENCY + BUCKETS;

/// Index into the figures of the first word of an endpoint.
#[inline(always)]
#[must_use]
pub const fn figures_base(shards: u32, service: u32, endpoint: u32, shard: u32) -> u32 {
    (service * blocks(shards) + endpoint * shards + shard) * ENDPOINT_WORDS
}

/// Index into the figures of the first word of a peer's endpoint.
#[inline(always)]
#[must_use]
pub const fn called_base(shards: u32, service: u32, endpoint: u32) -> u32 {
    (service * blocks(shards) + ENDPOINTS * shards + endpoint) * ENDPOINT_WORDS
}

/// Figures of endpoints that a service has.
const fn blocks(shards: u32) -> u32 {
    ENDPOINTS * shards + CALLED_ENDPOINTS
}

/// Who gives out numbers of endpoints: a service, and once more for those of its peers.
#[inline(always)]
#[must_use]
pub const fn numbering(service: u32, is_called: bool) -> u32 {
    2 * service + is_called as u32
}

/// Index into the names.
#[inline(always)]
#[must_use]
pub const fn name_index(numbering: u32, endpoint: u32) -> u32 {
    numbering * ENDPOINTS + endpoint
}

/// Bits of a downstream call's peer that are its slot; those above are the number of the endpoint.
pub const CALLED_SHIFT: u32 = (PEER_SLOTS as u32).trailing_zeros();

/// Bytes of a name that are kept.
pub const NAME_BYTES: usize = 240;

/// The name of an endpoint.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointName {
    /// Its hash.
    pub hash: u64,
    /// Bytes of the name; 0 while it is known by its hash alone.
    pub length: u16,
    /// Number of the protocol.
    pub protocol: u8,
    /// Number of the kind of its requests.
    pub kind: u8,
    /// Of an endpoint of a peer: the peer's slot.
    pub peer: u32,
    /// The name.
    pub bytes: [u8; NAME_BYTES],
}

/// Entries of the table of endpoints, a power of two.
pub const SLOTS: u32 = 4096;

/// Prepared statements that are known at a time, of all connections.
pub const PREPARED_STATEMENTS: u32 = 8192;
/// What spreads their names over all bits: an odd number of which half the bits are set (the golden ratio's).
pub const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// An entry of that table.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointSlot {
    /// Hash of service, kind and name, of which the lowest eight bits are the endpoint's number; 0 if the slot is free.
    pub name: u64,
    /// Not 0 while the name is known by its hash alone.
    pub is_unnamed: u64,
}

const _: () = assert!(size_of::<EndpointName>() == 256 && ENDPOINTS <= 256 && CALLED_ENDPOINTS <= ENDPOINTS);
const _: () = assert!(BUCKETS == 1024);
const _: () = assert!((figures_base(4, MAX_SERVICES, 0, 0) as u64) < u32::MAX as u64);

#[cfg(feature = "user")]
mod pod {
    // SAFETY: the type is `repr(C)`, consists of integers, has no padding and is valid for every bit pattern.
    unsafe impl aya::Pod for super::EndpointName {}
}
