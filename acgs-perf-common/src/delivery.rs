//! Replies that did not leave at once, or that went on after a pause: what is counted of them, per service.
//!
//! In: nothing. Out: the words of a service's sums. The buckets are those of the attribution histogram.

use crate::attribution::{ATTRIBUTION_ROWS, DELIVERY_COMPONENTS};

/// Words of a service's sums: replies that were held.
pub const HELD: u32 = 0;
/// First of the sums of the times by component of the delivery.
pub const HELD_SUMS: u32 = 1;
/// First bucket of the times for which replies were held; what was over range follows the buckets.
pub const HELD_BUCKETS: u32 = HELD_SUMS + DELIVERY_COMPONENTS as u32;
/// Replies that went on after a pause.
pub const PUSHES: u32 = HELD_BUCKETS + ATTRIBUTION_ROWS;
/// Sum of their latencies before it.
pub const PUSHES_SUM: u32 = PUSHES + 1;
/// First bucket of these latencies; what was over range follows the buckets.
pub const PUSH_BUCKETS: u32 = PUSHES + 2;
/// Words of one service.
pub const DELIVERY_WORDS: u32 = PUSH_BUCKETS + ATTRIBUTION_ROWS;

/// Index into the `DELIVERY` array of a service's first word.
#[inline(always)]
#[must_use]
pub const fn delivery_base(service: u32) -> u32 {
    service * DELIVERY_WORDS
}
