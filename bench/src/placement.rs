//! Which CPU has what: service and load stay apart, or the scheduler's choice would be most of the difference.
//!
//! In: nothing. Out: the numbers.

/// Where services run.
pub const SERVER_CPU: usize = 1;
/// Where the load comes from.
pub const LOAD_CPU: usize = 0;
