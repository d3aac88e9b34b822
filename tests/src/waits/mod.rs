//! Waits with a time limit: a server whose threads wait in every way that has one, and the shares of its requests in a report.
//!
//! In: which way. Out: a running server, its clients, and what the report says their requests waited for.

pub mod calls;
pub mod runtime;
pub mod waker;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use crate::harness::Service;
use crate::report::Report;
use crate::score::shares::Attribution;

/// Bytes of a request: the milliseconds that it takes, in decimal.
pub const SIZE: usize = 8;

/// A request.
#[must_use]
pub fn request(time: Duration) -> [u8; SIZE] {
    let mut bytes = [b' '; SIZE];
    let text = time.as_millis().to_string();
    for (to, from) in bytes.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    bytes
}

/// The time that a request takes.
#[must_use]
pub fn time_of(bytes: &[u8; SIZE]) -> Duration {
    let text = String::from_utf8_lossy(bytes);
    Duration::from_millis(text.trim().parse().unwrap_or(0))
}

/// So many clients ask one after the other, each on a connection of its own. How many requests that were.
pub fn ask(service: &Service, clients: u64, each: u64, time: Duration) -> u64 {
    let address = service.address();
    let client = move || {
        let mut stream = TcpStream::connect(address).expect("the server listens");
        stream.set_nodelay(true).expect("a socket of our own");
        let mut reply = [0; 1];
        for _ in 0..each {
            stream.write_all(&request(time)).expect("the server reads");
            stream.read_exact(&mut reply).expect("the server replies");
        }
    };
    let threads: Vec<_> = (0..clients).map(|_| thread::spawn(client)).collect();
    threads.into_iter().for_each(|thread| thread.join().expect("a client"));
    clients * each
}

/// What the requests of a service waited for: components by their share of the latency, in percent, queue time as one.
#[derive(Debug)]
pub struct Shares(BTreeMap<String, f64>);

impl Shares {
    /// Of a service of a report.
    pub fn of(report: &Report, service: &str) -> Self {
        let attribution = Attribution::of(report.service(service)).expect("a section").expect("attribution");
        let percent = |ns: u64| 100.0 * ns as f64 / attribution.latency_ns.max(1) as f64;
        Self(attribution.component_ns.iter().map(|(name, ns)| (name.clone(), percent(*ns))).collect())
    }

    /// Of these components together.
    pub fn sum(&self, components: &[&str]) -> f64 {
        components.iter().filter_map(|name| self.0.get(*name)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_says_how_long_it_takes() {
        let time = Duration::from_millis(1234);
        assert_eq!((time_of(&request(time)), time_of(&[0; SIZE])), (time, Duration::ZERO));
    }
}
