//! What the agent and the process that exports say to each other, over a pair of sockets: it asks, the agent answers.
//!
//! In: messages. Out: messages, as in `wire`.

use serde::{Deserialize, Serialize};

use super::super::progress::Counts;
use crate::snapshot::{Context, Interval};

/// A question is at most so long.
pub const MAX_ASK: usize = 4 << 10;
/// An answer.
pub const MAX_FEED: usize = 64 << 20;

/// What the exporting process asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// A connection to the collector. The answer is a byte with a descriptor, or a byte and why not.
    Connection(Counts),
    /// The next piece. The one before is done with.
    Next(Counts),
    /// Nothing: a user should know this.
    Note(String),
}

/// A piece of what was recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Feed {
    /// Names the run.
    pub run: String,
    /// What is known of the run, if that has changed.
    pub context: Option<Box<Context>>,
    /// What happened.
    pub interval: Box<Interval>,
    /// When it ended, since 1970.
    pub unix_end_ns: u64,
}
