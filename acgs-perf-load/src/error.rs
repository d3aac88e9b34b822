//! Why a load could not be made, and why a reply was not understood.
//!
//! In: what failed. Out: a sentence with what it was about, and the next step where there is one.

use std::io;
use std::num::ParseIntError;
use std::time::Duration;

use thiserror::Error;

use crate::target::Target;

/// A load that could not be made, or in which something was missing.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The connections could not be opened.
    #[error("connect to {target}: {source}")]
    Connect {
        /// Where to.
        target: Target,
        /// What the kernel said.
        source: io::Error,
    },
    /// The server does not take the connections.
    #[error("{target}: {why}")]
    Greeting {
        /// Where to.
        target: Target,
        /// What it said.
        why: String,
    },
    /// The kernel refused to wait for connections.
    #[error("epoll: {0}")]
    Epoll(#[source] io::Error),
    /// There is no histogram of these bounds.
    #[error("histogram: {0}")]
    Histogram(#[from] hdrhistogram::CreationError),
    /// Never in practice: all have the same bounds.
    #[error("histogram: {0}")]
    Merge(#[from] hdrhistogram::AdditionError),
    /// Requests failed in a run in which each must be answered.
    #[error("{failed} of {requests} requests failed, the first: {first}")]
    Failed {
        /// How many failed.
        failed: u64,
        /// How many were planned.
        requests: u64,
        /// What the first said.
        first: String,
    },
    /// Replies were missing at the end of a run in which each request must be answered.
    #[error("{completed} of {requests} requests after {limit:?}")]
    Missing {
        /// How many were answered.
        completed: u64,
        /// How many were planned.
        requests: u64,
        /// How long was waited.
        limit: Duration,
    },
}

/// Bytes that are no reply.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReplyError {
    /// More bytes than a reply of fixed size has.
    #[error("a reply has {have} bytes, more than {size}")]
    TooLong {
        /// Bytes that came.
        have: usize,
        /// Bytes of a reply.
        size: usize,
    },
    /// A head that HTTP/1.1 does not know.
    #[error("a reply is not HTTP: {0}")]
    NotHttp(#[source] httparse::Error),
    /// A head without end.
    #[error("the head of a reply is too long")]
    HeadTooLong,
    /// A length that is no number.
    #[error("Content-Length: {0}")]
    ContentLength(#[source] ParseIntError),
    /// A chunk that does not begin with its size.
    #[error("a chunk of a reply has no size")]
    ChunkSize,
    /// Bytes that nobody asked for.
    #[error("{0} bytes after the end of a reply")]
    Rest(usize),
    /// What a protocol of the caller's has to say.
    #[error("{0}")]
    Other(String),
}
