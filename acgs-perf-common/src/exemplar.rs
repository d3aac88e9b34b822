//! Exemplars: single requests that leave the kernel one by one, and how a stretch of a request's life is packed.

use crate::attribution::{ATTRIBUTION_WORDS, COMPONENTS};

/// Segments kept per request; the last one takes in all that follow.
pub const SEGMENTS: usize = 32;

const WHO_BITS: u32 = 22;
const COMPONENT_BITS: u32 = 5;
const SHIFT: u32 = WHO_BITS + COMPONENT_BITS;
const WHO_MASK: u64 = (1 << WHO_BITS) - 1;
const COMPONENT_MASK: u64 = (1 << COMPONENT_BITS) - 1;
/// Longest duration of a segment, 137 s; what is longer counts as that.
const LONGEST: u64 = (1 << (64 - SHIFT)) - 1;
/// Component number of a segment that stands for several.
const MORE: u64 = COMPONENT_MASK;

const _: () = assert!(COMPONENTS <= MORE as usize);

/// A segment: duration (37 bits, up to 137 s), component, and a process id or a peer as in `DownstreamCall::peer` (22 bits, the kernel's
/// largest id).
#[inline(always)]
#[must_use]
pub const fn segment(component: u32, duration_ns: u64, who: u32) -> u64 {
    let duration_ns = if duration_ns < LONGEST { duration_ns } else { LONGEST };
    (duration_ns << SHIFT) | ((component as u64 & COMPONENT_MASK) << WHO_BITS) | (who as u64 & WHO_MASK)
}

/// Component and who; two segments of the same kind in a row are one.
#[inline(always)]
#[must_use]
pub const fn segment_kind(segment: u64) -> u64 {
    segment & ((1 << SHIFT) - 1)
}

/// `last` grown by the duration of `new`.
#[inline(always)]
#[must_use]
pub const fn segment_add(last: u64, new: u64) -> u64 {
    let sum = (last >> SHIFT) + (new >> SHIFT);
    let sum = if sum < LONGEST { sum } else { LONGEST };
    (sum << SHIFT) | segment_kind(last)
}

/// `last` grown by `new` of another kind: from now on it stands for several.
#[inline(always)]
#[must_use]
pub const fn segment_more(last: u64, new: u64) -> u64 {
    (segment_add(last, new) & !((1 << SHIFT) - 1)) | (MORE << WHO_BITS)
}

/// The segment as one of another component.
#[inline(always)]
#[must_use]
pub const fn segment_as(segment: u64, component: u32) -> u64 {
    (segment & !(COMPONENT_MASK << WHO_BITS)) | (component as u64 & COMPONENT_MASK) << WHO_BITS
}

/// Duration of a segment.
#[must_use]
pub const fn segment_duration(segment: u64) -> u64 {
    segment >> SHIFT
}

/// Component of a segment; `None` if it stands for several.
#[must_use]
pub const fn segment_component(segment: u64) -> Option<usize> {
    let component = (segment >> WHO_BITS & COMPONENT_MASK) as usize;
    if component < COMPONENTS { Some(component) } else { None }
}

/// Process id or peer of a segment.
#[must_use]
pub const fn segment_who(segment: u64) -> u32 {
    (segment & WHO_MASK) as u32
}

/// Per service, what the agent tells the kernel side about exemplars; words of the `EXEMPLAR_GATE` array.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Latencies from here on belong to the slowest.
    Slowest = 0,
    /// Latencies from here on are above the running P99.
    AboveP99 = 1,
    /// How many of the slowest may still be sent.
    SlowestBudget = 2,
    /// How many of those above the P99 may still be sent.
    AboveP99Budget = 3,
    /// How many were not sent.
    Dropped = 4,
    /// The P99 so far, whether or not exemplars above it are wanted; a latency that nobody has while it is not known.
    P99 = 5,
}

/// Words per service of the `EXEMPLAR_GATE` array.
pub const GATE_WORDS: u32 = 8;
/// Bytes of the ring buffer, a power of two.
pub const EXEMPLAR_RING: u32 = 1 << 18;

/// One request as it leaves the kernel.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ExemplarRecord {
    /// Address of the socket; with `read` it names the request.
    pub socket: u64,
    /// When it arrived.
    pub arrived: u64,
    /// When it was read.
    pub read: u64,
    /// When the first byte of the reply was sent.
    pub first: u64,
    /// When the last byte so far was sent.
    pub last: u64,
    /// Bytes of the request.
    pub bytes_in: u64,
    /// Bytes of the reply.
    pub bytes_out: u64,
    /// Service, from 0.
    pub service: u32,
    /// Thread that sent.
    pub pid: u32,
    /// Its process.
    pub tgid: u32,
    /// Address family of the socket.
    pub family: u32,
    /// Address of the client, IPv4 as an IPv6-mapped one, network byte order.
    pub client_address: [u32; 4],
    /// Port of the client.
    pub client_port: u32,
    /// 1 if it belongs to the slowest.
    pub slowest: u32,
    /// Number of segments.
    pub segments_len: u32,
    /// How many of them belong to the queue time, newest first; the others follow in order.
    pub queue_segments: u32,
    /// Number of its endpoint; 0 where the protocol is not followed.
    pub endpoint: u32,
    /// None.
    pub reserved: u32,
    /// Command name.
    pub comm: [u8; 16],
    /// What the request adds to its row of the attribution histogram.
    pub row: [u64; ATTRIBUTION_WORDS],
    /// The segments.
    pub segments: [u64; SEGMENTS],
}

const _: () = assert!(size_of::<ExemplarRecord>() == 7 * 8 + 4 * 14 + 16 + 8 * (ATTRIBUTION_WORDS + SEGMENTS));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_gives_back_what_it_was_made_of() {
        let s = segment(22, 137_000_000_000, 4_194_303);
        assert_eq!((segment_component(s), segment_duration(s), segment_who(s)), (Some(22), 137_000_000_000, 4_194_303));
        let grown = segment_add(segment(3, 5, 7), segment(3, 6, 7));
        assert_eq!((segment_component(grown), segment_duration(grown), segment_who(grown)), (Some(3), 11, 7));
        let several = segment_more(grown, segment(4, 9, 1));
        assert_eq!((segment_component(several), segment_duration(several)), (None, 20));
    }
}
