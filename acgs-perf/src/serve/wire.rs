//! What the agent and its network-facing process say to each other, over a pair of sockets.
//!
//! In: messages. Out: bytes, a length and MessagePack each, and back. What comes from the network-facing process is small, and read as
//! that of a stranger.

use std::io::{self, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::access::Access;
use super::progress::Progress;
use crate::snapshot::{Context, Interval};

/// A message to the network-facing process is at most this long: the report of a day of many services.
pub const MAX_NEWS: usize = 64 << 20;
/// A message from it.
pub const MAX_QUERY: usize = 4 << 10;

/// What the network-facing process is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum News {
    /// What is recorded; before the first interval of a run, and from time to time.
    Context(Box<Context>),
    /// An interval has ended.
    Interval(Box<Interval>),
    /// The answer to a query, as a status and a body.
    Answer {
        /// Of the query.
        id: u64,
        /// Status of HTTP.
        status: u16,
        /// JSON.
        body: String,
    },
    /// Who is let in from now on.
    Access(Box<Access>),
    /// How far the collector has got.
    Export(Box<Progress>),
}

/// What it asks for: a report of a time, as its client wrote it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    /// Comes back with the answer.
    pub id: u64,
    /// Begin.
    pub from: String,
    /// End.
    pub to: Option<String>,
    /// One service only.
    pub service: Option<String>,
}

/// A message as bytes, its length before it.
///
/// # Errors
/// When it is too long.
pub fn encode(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let packed = rmp_serde::to_vec_named(message).map_err(io::Error::other)?;
    let len = u32::try_from(packed.len()).map_err(io::Error::other)?;
    Ok([&len.to_le_bytes()[..], &packed].concat())
}

/// Writes a message.
///
/// # Errors
/// When the other side is gone.
pub fn send(mut to: impl Write, message: &impl Serialize) -> io::Result<()> {
    to.write_all(&encode(message)?)
}

/// Waits for a message of at most so many bytes.
///
/// # Errors
/// When the other side is gone, or says what it should not.
pub fn receive<T: DeserializeOwned>(mut from: impl Read, max: usize) -> io::Result<T> {
    let mut len = [0; 4];
    from.read_exact(&mut len)?;
    let mut bytes = vec![0; length(len, max)?];
    from.read_exact(&mut bytes)?;
    decode(&bytes)
}

/// The length that stands before a message.
///
/// # Errors
/// When it is too long.
pub fn length(bytes: [u8; 4], max: usize) -> io::Result<usize> {
    let len = u32::from_le_bytes(bytes) as usize;
    if len > max { Err(io::ErrorKind::InvalidData.into()) } else { Ok(len) }
}

/// A message without its length.
///
/// # Errors
/// When it is none.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    rmp_serde::from_slice(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_what_is_received() {
        let mut pipe = Vec::new();
        let query = Query { id: 7, from: "15m".into(), ..Query::default() };
        send(&mut pipe, &query).unwrap();
        let news = News::Interval(Box::new(Interval { start_ns: 5, ..Interval::default() }));
        send(&mut pipe, &news).unwrap();
        let mut from = pipe.as_slice();
        assert_eq!(receive::<Query>(&mut from, MAX_QUERY).unwrap(), query);
        assert_eq!(receive::<News>(&mut from, MAX_NEWS).unwrap(), news);
        assert!(receive::<News>(&mut from, MAX_NEWS).is_err());
    }

    #[test]
    fn what_is_too_long_or_no_message_is_refused() {
        let long = Query { from: "x".repeat(MAX_QUERY), ..Query::default() };
        assert!(receive::<Query>(encode(&long).unwrap().as_slice(), MAX_QUERY).is_err());
        for bytes in [&[0xff, 0xff, 0xff, 0xff, 1][..], &[1, 0, 0, 0, 0xc1], &[2, 0, 0, 0, 0x81, 0xa1], &[3, 0]] {
            assert!(receive::<Query>(bytes, MAX_QUERY).is_err(), "{bytes:?}");
        }
    }
}
