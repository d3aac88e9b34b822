//! The load generator: constant arrivals that do not wait for a slow server, or a closed loop.
//!
//! In: a rate, a number of connections, a bound on requests and on time. Out: latencies from the *intended* moment of each
//! request, so that a server which stalls cannot hide the requests that it kept from being sent.

pub mod client;
pub mod outcome;

pub use client::{Client, Plan};
pub use outcome::Outcome;
