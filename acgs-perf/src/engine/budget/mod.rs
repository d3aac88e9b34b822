//! What the recording itself costs, and what is stopped when that is more than it may.

pub mod limit;
pub mod watch;
