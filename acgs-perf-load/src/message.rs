//! What is sent for each request.
//!
//! In: a usual message and a slow one with its share, and their protocol. Out: the bytes of request number N, the same in each
//! run; readers for the replies.

use std::sync::Arc;

use crate::fixed::Fixed;
use crate::http::{self, Http};
use crate::protocol::{Protocol, ReplyReader};
use crate::random::Random;

/// The messages of a run.
#[derive(Clone, Debug)]
pub struct Messages {
    /// Sent one after the other, and again from the first.
    usual: Vec<Vec<u8>>,
    slow: Option<Vec<u8>>,
    slow_share: f64,
    seed: u64,
    protocol: Arc<dyn Protocol>,
}

impl Messages {
    /// The same message for each request.
    pub fn new(request: Vec<u8>, protocol: impl Protocol + 'static) -> Self {
        Self::rotating(vec![request], protocol)
    }

    /// These messages one after the other, and again from the first.
    pub fn rotating(requests: Vec<Vec<u8>>, protocol: impl Protocol + 'static) -> Self {
        Self { usual: requests, slow: None, slow_share: 0.0, seed: 1, protocol: Arc::new(protocol) }
    }

    /// The same bytes each time; a reply has `reply` of them.
    pub fn fixed(request: Vec<u8>, reply: usize) -> Self {
        Self::new(request, Fixed(reply))
    }

    /// A path to get by HTTP/1.1.
    pub fn get(path: &str, host: &str) -> Self {
        Self::new(http::get(path, host), Http::default())
    }

    /// A share of the requests, chosen by the seed, is this one of the same protocol instead.
    pub fn with_slow(mut self, request: Vec<u8>, share: f64, seed: u64) -> Self {
        (self.slow, self.slow_share, self.seed) = (Some(request), share, seed);
        self
    }

    /// Whether request number `id` is a slow one: it does not depend on the order in which requests are sent.
    pub fn is_slow(&self, id: u64) -> bool {
        self.slow.is_some() && Random::new(self.seed ^ id.rotate_left(32)).uniform() < self.slow_share
    }

    /// The bytes of request number `id`.
    pub fn request(&mut self, id: u64, slow: bool) -> &[u8] {
        let turn = (id % self.usual.len().max(1) as u64) as usize;
        let bytes = match &mut self.slow {
            Some(bytes) if slow => bytes,
            _ => match self.usual.get_mut(turn) {
                Some(bytes) => bytes,
                None => return &[],
            },
        };
        self.protocol.number(bytes, id);
        bytes
    }

    /// What is said on a new connection before its first request.
    pub fn greeting(&self) -> &[Vec<u8>] {
        self.protocol.greeting()
    }

    /// A reader for the replies on one connection.
    pub fn reader(&self) -> Box<dyn ReplyReader> {
        self.protocol.reader()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers the first byte of a request.
    #[derive(Debug)]
    struct Numbered;

    impl Protocol for Numbered {
        fn number(&self, request: &mut [u8], id: u64) {
            request[0] = id as u8;
        }

        fn reader(&self) -> Box<dyn ReplyReader> {
            Fixed(1).reader()
        }
    }

    fn messages() -> Messages {
        Messages::new(vec![0, 7], Numbered).with_slow(vec![0, 8, 8], 0.01, 4)
    }

    #[test]
    fn the_slow_requests_are_a_share_and_always_the_same() {
        let slow: Vec<u64> = (0..100_000).filter(|id| messages().is_slow(*id)).collect();
        assert!((900..1100).contains(&slow.len()), "{}", slow.len());
        let other = Messages { seed: 5, ..messages() };
        assert!((0..100_000).any(|id| messages().is_slow(id) != other.is_slow(id)));
        assert!(!Messages::fixed(Vec::new(), 1).is_slow(slow[0]));
    }

    #[test]
    fn messages_take_turns() {
        let mut messages = Messages::rotating(vec![vec![0], vec![1], vec![2]], Fixed(1));
        let sent: Vec<u8> = (1..=6).map(|id| messages.request(id, false)[0]).collect();
        assert_eq!(sent, [1, 2, 0, 1, 2, 0]);
    }

    #[test]
    fn a_request_carries_its_number() {
        let mut messages = messages();
        assert_eq!(messages.request(9, false), [9, 7]);
        assert_eq!(messages.request(10, true), [10, 8, 8]);
        assert_eq!(Messages::fixed(vec![1], 1).request(9, false), [1]);
    }
}
