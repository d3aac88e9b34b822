//! The load generator: arrivals that do not wait for a slow server, or a closed loop; fixed-size messages, scripts for a
//! truth server, or HTTP/1.1.
//!
//! In: a rate, a number of connections, a bound on requests and on time. Out: latencies from the *intended* moment of each
//! request, so that a server which stalls cannot hide the requests that it kept from being sent, and from the moment in
//! which it was sent.

pub mod client;
pub mod http;
pub mod log;
pub mod message;
pub mod options;
pub mod outcome;
mod pool;
pub mod schedule;

pub use client::{Client, Load, Plan};
pub use message::{Body, Messages};
pub use outcome::Outcome;
pub use schedule::Arrivals;
