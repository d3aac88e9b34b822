//! An open-loop load generator: arrivals that do not wait for a slow server, or a closed loop.
//!
//! In: a target, messages in some protocol, a rate, a number of connections, a bound on requests and on time. Out: latencies
//! from the *intended* moment of each request, so that a server which stalls cannot hide the requests that it kept from being
//! sent, and from the moment in which it was sent. Messages of a fixed size, HTTP/1.1, Redis and PostgreSQL are here, one file
//! each; another protocol is a [`Protocol`] of the caller's.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use acgs_perf_load::{Arrivals, Client, Load, Messages};
//!
//! # fn main() -> Result<(), acgs_perf_load::LoadError> {
//! let target = ([127, 0, 0, 1], 8080).into();
//! let mut client = Client::new(target, 32, Messages::get("/", "localhost"), false)?;
//! client.open()?;
//! let (arrivals, duration, limit) = (Arrivals::Poisson(1000.0), Duration::from_secs(10), Duration::from_secs(60));
//! let load = Load { arrivals, requests: u64::MAX, duration: Some(duration), limit, seed: 1, log: false };
//! let outcome = client.load(&load)?;
//! assert_eq!(outcome.errors() + outcome.unanswered(), 0);
//! let p99_ns = outcome.latency.value_at_quantile(0.99);
//! # let _ = p99_ns;
//! # Ok(())
//! # }
//! ```

pub mod bounds;
pub mod client;
pub mod clock;
mod connection;
pub mod drive;
#[cfg(test)]
mod echo;
pub mod epoll;
pub mod error;
pub mod failure;
pub mod fixed;
pub mod http;
pub mod limits;
pub mod log;
pub mod message;
pub mod outcome;
pub mod postgres;
pub mod protocol;
pub mod random;
pub mod redis;
pub mod schedule;
pub mod scram;
pub mod target;

pub use bounds::Bounds;
pub use client::{Client, Load, Plan};
pub use error::{LoadError, ReplyError};
pub use failure::Failure;
pub use message::Messages;
pub use outcome::Outcome;
pub use protocol::{Code, Protocol, Reply, ReplyReader};
pub use schedule::{Arrivals, Schedule, Segment, Spacing};
pub use target::Target;
