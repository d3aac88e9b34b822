//! As much HTTP/1.1 as it takes to get a path and to know where the reply ends.
//!
//! In: a path; bytes of a connection as they come. Out: a request; the status of each reply once it is whole, and whether the
//! connection can be used again.

use httparse::Status;

use crate::error::ReplyError;
use crate::protocol::{Protocol, Reply, ReplyReader};

const MAX_HEADERS: usize = 64;
const MAX_HEAD: usize = 64 * 1024;

/// The request that gets a path.
pub fn get(path: &str, host: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: acgs-perf-load\r\nAccept: */*\r\n\r\n").into_bytes()
}

/// HTTP/1.1, a request at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http;

impl Protocol for Http {
    fn reader(&self) -> Box<dyn ReplyReader> {
        Box::new(Reader::default())
    }
}

impl ReplyReader for Reader {
    fn feed(&mut self, bytes: &[u8], _id: u64) -> Result<Option<Reply>, ReplyError> {
        self.take(bytes)
    }

    fn end(&mut self) -> Option<Reply> {
        (self.body == Body::UntilClose).then_some(Reply { close: true, ..self.whole })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Head,
    Bytes(u64),
    ChunkSize,
    ChunkBytes(u64),
    Trailers,
    UntilClose,
}

/// Where in a reply a connection is.
#[derive(Debug)]
pub struct Reader {
    bytes: Vec<u8>,
    body: Body,
    whole: Reply,
}

impl Default for Reader {
    fn default() -> Self {
        Self { bytes: Vec::new(), body: Body::Head, whole: Reply { status: 0, close: false } }
    }
}

impl Reader {
    /// Takes bytes; a reply when they complete one. Bytes after it are an error, for no two requests are sent at once.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Option<Reply>, ReplyError> {
        self.bytes.extend_from_slice(bytes);
        while let Some(done) = self.step()? {
            if done {
                if !self.bytes.is_empty() {
                    return Err(ReplyError::Rest(self.bytes.len()));
                }
                self.body = Body::Head;
                return Ok(Some(self.whole));
            }
        }
        Ok(None)
    }

    /// One step; `None` when more bytes must come, `true` when the reply is whole.
    fn step(&mut self) -> Result<Option<bool>, ReplyError> {
        match self.body {
            Body::Head => self.head(),
            Body::Bytes(left) => {
                let left = self.skip(left);
                self.body = Body::Bytes(left);
                Ok((left == 0).then_some(true))
            }
            Body::ChunkSize => match httparse::parse_chunk_size(&self.bytes) {
                Ok(Status::Partial) => Ok(None),
                Ok(Status::Complete((used, size))) => {
                    self.bytes.drain(..used);
                    // The bytes are followed by the end of a line.
                    self.body = if size == 0 { Body::Trailers } else { Body::ChunkBytes(size.saturating_add(2)) };
                    Ok(Some(false))
                }
                Err(_) => Err(ReplyError::ChunkSize),
            },
            Body::ChunkBytes(left) => {
                let left = self.skip(left);
                self.body = if left == 0 { Body::ChunkSize } else { Body::ChunkBytes(left) };
                Ok((left == 0).then_some(false))
            }
            Body::Trailers => {
                let Some(end) = self.bytes.windows(2).position(|pair| pair == b"\r\n") else { return Ok(None) };
                self.bytes.drain(..end + 2);
                Ok(Some(end == 0))
            }
            Body::UntilClose => {
                self.bytes.clear();
                Ok(None)
            }
        }
    }

    fn skip(&mut self, left: u64) -> u64 {
        let count = left.min(self.bytes.len() as u64);
        self.bytes.drain(..count as usize);
        left - count
    }

    fn head(&mut self) -> Result<Option<bool>, ReplyError> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let used = match response.parse(&self.bytes).map_err(ReplyError::NotHttp)? {
            Status::Complete(used) => used,
            Status::Partial if self.bytes.len() > MAX_HEAD => return Err(ReplyError::HeadTooLong),
            Status::Partial => return Ok(None),
        };
        let status = response.code.unwrap_or(0);
        let value = |name: &str| {
            let header = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
            header.map(|header| String::from_utf8_lossy(header.value).trim().to_ascii_lowercase())
        };
        let connection = value("connection").unwrap_or_default();
        let close = connection == "close" || (response.version == Some(0) && connection != "keep-alive");
        let chunked = value("transfer-encoding").is_some_and(|encoding| encoding.ends_with("chunked"));
        let length = value("content-length").map(|text| text.parse::<u64>()).transpose();
        let length = length.map_err(ReplyError::ContentLength)?;
        self.whole = Reply { status, close };
        self.body = match (status, chunked, length) {
            // Not the reply yet.
            (100..=199, ..) => Body::Head,
            (204 | 304, ..) => Body::Bytes(0),
            (_, true, _) => Body::ChunkSize,
            (_, false, Some(length)) => Body::Bytes(length),
            (_, false, None) => Body::UntilClose,
        };
        self.bytes.drain(..used);
        Ok(Some(false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: Reply = Reply { status: 200, close: false };

    /// Fed whole, and byte by byte, a reply must end at the same place.
    fn read(text: &str) -> Option<Reply> {
        let whole = Reader::default().take(text.as_bytes()).unwrap();
        let mut reader = Reader::default();
        let bytes = text.as_bytes();
        for (at, byte) in bytes.iter().enumerate() {
            let got = reader.take(&[*byte]).unwrap();
            assert_eq!(got.is_some(), whole.is_some() && at + 1 == bytes.len(), "{text} at {at}");
        }
        whole
    }

    #[test]
    fn a_length_ends_a_reply() {
        assert_eq!(read("HTTP/1.1 200 OK\r\ncontent-LENGTH: 5\r\n\r\nhello"), Some(OK));
        assert_eq!(read("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello"), None);
        assert_eq!(read("HTTP/1.1 204 No Content\r\n\r\n"), Some(Reply { status: 204, close: false }));
        assert_eq!(
            read("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
            Some(Reply { status: 503, close: true })
        );
    }

    #[test]
    fn chunks_end_a_reply() {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(read(&format!("{head}5\r\nhello\r\n1;x=y\r\n!\r\n0\r\n\r\n")), Some(OK));
        assert_eq!(read(&format!("{head}0\r\nTrailer: 1\r\n\r\n")), Some(OK));
        assert_eq!(read(&format!("{head}5\r\nhello\r\n0\r\n")), None);
    }

    #[test]
    fn a_100_continue_is_not_the_reply() {
        assert_eq!(read("HTTP/1.1 100 Continue\r\n\r\n"), None);
        assert_eq!(read("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), Some(OK));
    }

    #[test]
    fn without_a_length_the_end_of_the_connection_ends_a_reply() {
        let mut reader = Reader::default();
        assert_eq!(reader.take(b"HTTP/1.0 200 OK\r\n\r\nhello").unwrap(), None);
        assert_eq!(reader.end(), Some(Reply { status: 200, close: true }));
        assert_eq!(Reader::default().end(), None);
    }

    #[test]
    fn one_reader_reads_reply_after_reply_and_refuses_what_it_did_not_ask_for() {
        let mut reader = Reader::default();
        let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        for _ in 0..2 {
            assert_eq!(reader.take(reply).unwrap(), Some(OK));
        }
        assert!(reader.take(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nok").is_err());
        assert!(Reader::default().take(b"+PONG\r\n").is_err());
    }
}
