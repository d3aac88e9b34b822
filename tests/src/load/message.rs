//! What is sent for each request, and how the end of its reply is known.
//!
//! In: a usual message and a slow one with its share. Out: the bytes of request number N, the same in each run; replies
//! taken apart.

use anyhow::{Result, bail};

use super::http;
use crate::random::Random;
use crate::truth::frame;

/// What is spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// The same bytes each time; a reply has this many.
    Fixed(Vec<u8>, usize),
    /// A script for a truth server, in a frame.
    Script(String),
    /// A path to get by HTTP/1.1.
    Http(String),
}

/// The messages of a run.
#[derive(Clone, Debug)]
pub struct Messages {
    usual: Vec<u8>,
    slow: Option<Vec<u8>>,
    slow_share: f64,
    seed: u64,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Fixed(usize),
    Script,
    Http,
}

impl Messages {
    /// The same message for each request; `host` is for HTTP.
    pub fn new(body: &Body, host: &str) -> Self {
        let (usual, kind) = bytes(body, host);
        Self { usual, slow: None, slow_share: 0.0, seed: 1, kind }
    }

    /// A share of the requests, chosen by the seed, is this one instead.
    pub fn with_slow(mut self, body: &Body, host: &str, share: f64, seed: u64) -> Result<Self> {
        let (slow, kind) = bytes(body, host);
        if kind != self.kind {
            bail!("slow requests must be of the same kind as the usual ones");
        }
        (self.slow, self.slow_share, self.seed) = (Some(slow), share, seed);
        Ok(self)
    }

    /// Whether request number `id` is a slow one: it does not depend on the order in which requests are sent.
    pub fn is_slow(&self, id: u64) -> bool {
        self.slow.is_some() && Random::new(self.seed ^ id.rotate_left(32)).uniform() < self.slow_share
    }

    /// The bytes of request number `id`.
    pub fn request(&mut self, id: u64, slow: bool) -> &[u8] {
        let bytes = match &mut self.slow {
            Some(bytes) if slow => bytes,
            _ => &mut self.usual,
        };
        if self.kind == Kind::Script {
            frame::renumber(bytes, id);
        }
        bytes
    }

    /// A reader for the replies on one connection.
    pub fn reader(&self) -> Reader {
        match self.kind {
            Kind::Fixed(size) => Reader::Fixed { size, have: 0 },
            Kind::Script => Reader::Frame(Vec::new()),
            Kind::Http => Reader::Http(http::Reader::default()),
        }
    }
}

fn bytes(body: &Body, host: &str) -> (Vec<u8>, Kind) {
    match body {
        Body::Fixed(bytes, reply) => (bytes.clone(), Kind::Fixed(*reply)),
        Body::Script(text) => (frame::encode(0, text.as_bytes()), Kind::Script),
        Body::Http(path) => {
            let text = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: truth-load\r\nAccept: */*\r\n\r\n");
            (text.into_bytes(), Kind::Http)
        }
    }
}

/// A whole reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status, else 0.
    pub status: u16,
    /// The connection cannot be used again.
    pub close: bool,
}

/// Where in a reply a connection is.
#[derive(Debug)]
pub enum Reader {
    /// A number of bytes.
    Fixed {
        /// Bytes of a reply.
        size: usize,
        /// Bytes that came.
        have: usize,
    },
    /// A frame.
    Frame(Vec<u8>),
    /// HTTP/1.1.
    Http(http::Reader),
}

impl Reader {
    /// Takes the bytes that came; a reply when it is whole. `id` is the number of the request that was sent.
    pub fn feed(&mut self, bytes: &[u8], id: u64) -> Result<Option<Reply>> {
        let done = Reply { status: 0, close: false };
        match self {
            Self::Fixed { size, have } => {
                *have += bytes.len();
                if *have > *size {
                    bail!("a reply has {have} bytes, more than {size}");
                }
                let whole = *have == *size;
                if whole {
                    *have = 0;
                }
                Ok(whole.then_some(done))
            }
            Self::Frame(have) => {
                have.extend_from_slice(bytes);
                let Some((got, _, used)) = frame::decode(have)? else { return Ok(None) };
                if got != id || used != have.len() {
                    bail!("a reply to request {got} came for request {id}");
                }
                have.clear();
                Ok(Some(done))
            }
            Self::Http(reader) => Ok(reader.feed(bytes)?.map(Into::into)),
        }
    }

    /// The connection was closed; a reply where that is its end.
    pub fn end(&mut self) -> Option<Reply> {
        match self {
            Self::Http(reader) => reader.end().map(Into::into),
            _ => None,
        }
    }
}

impl From<http::Whole> for Reply {
    fn from(whole: http::Whole) -> Self {
        Self { status: whole.status, close: whole.close }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scripts() -> Messages {
        let messages = Messages::new(&Body::Script("spin:1".into()), "");
        messages.with_slow(&Body::Script("sleep:20000".into()), "", 0.01, 4).unwrap()
    }

    #[test]
    fn the_slow_requests_are_a_share_and_always_the_same() {
        let slow: Vec<u64> = (0..100_000).filter(|id| scripts().is_slow(*id)).collect();
        assert!((900..1100).contains(&slow.len()), "{}", slow.len());
        let other = Messages { seed: 5, ..scripts() };
        assert!((0..100_000).any(|id| scripts().is_slow(id) != other.is_slow(id)));
        assert!(!Messages::new(&Body::Script(String::new()), "").is_slow(slow[0]));
    }

    #[test]
    fn a_request_carries_its_number_and_its_script() {
        let mut messages = scripts();
        assert_eq!(frame::decode(messages.request(9, false)).unwrap(), Some((9, &b"spin:1"[..], 22)));
        assert_eq!(frame::decode(messages.request(10, true)).unwrap(), Some((10, &b"sleep:20000"[..], 27)));
    }

    #[test]
    fn kinds_are_not_mixed() {
        let http = Messages::new(&Body::Http("/".into()), "x");
        assert!(http.with_slow(&Body::Script(String::new()), "x", 0.1, 1).is_err());
    }

    #[test]
    fn replies_end() {
        let done = Some(Reply { status: 0, close: false });
        let mut fixed = Messages::new(&Body::Fixed(vec![1; 4], 3), "").reader();
        assert_eq!((fixed.feed(&[0; 2], 1).unwrap(), fixed.feed(&[0], 1).unwrap()), (None, done));
        assert!(fixed.feed(&[0; 4], 1).is_err());
        let mut framed = scripts().reader();
        assert_eq!(framed.feed(&frame::encode(3, b"")[..5], 3).unwrap(), None);
        assert_eq!(framed.feed(&frame::encode(3, b"")[5..], 3).unwrap(), done);
        assert!(framed.feed(&frame::encode(4, b""), 3).is_err());
        let mut http = Messages::new(&Body::Http("/".into()), "x").reader();
        let reply = http.feed(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 1).unwrap();
        assert_eq!(reply, Some(Reply { status: 404, close: false }));
    }
}
