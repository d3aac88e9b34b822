//! A ring of intervals on disk: what happened lately in short intervals, what happened before in longer ones, and then no more.
//!
//! In: the intervals of a recording that does not end, its context, the time of day. Out: a `Capture` of any time that is still there,
//! also while the ring is written by another process.
//!
//! A ring is a directory with three tiers of files. Each interval goes into the finest tier; the intervals of a coarser one are sums of
//! the ones before it, so that every count is in each tier, and nothing is estimated. Files are only ever appended to and removed, so
//! that a writer which is killed leaves whole intervals and perhaps one that is cut off, which is recognised and left out. Lengths and
//! order come from the monotonic clock; the time of day is noted beside each interval and is for finding it only.

mod follow;
#[cfg(test)]
mod follow_tests;
mod join;
mod names;
pub mod peers;
mod read;
mod recover;
mod ring;
mod segment;
mod select;
#[cfg(test)]
mod tests;

pub use follow::{Follower, Next, Piece, Position};
pub use names::Names;
pub use read::{Found, ReadError, Wanted, capture};
pub use ring::{Limits, OpenError, Ring, Tier, check_writable};

/// Where the ring is unless somebody says otherwise.
pub const DIRECTORY: &str = "/var/lib/acgs-perf";
/// At most so many bytes unless somebody says otherwise.
pub const BYTES: u64 = 64 << 20;
/// The smallest ring, in bytes: an interval of many busy services must go in.
pub const MIN_BYTES: u64 = 8 << 20;
