//! As much HTTP/1.1 as it takes to make a request and to know where the reply ends.
//!
//! In: a method, a path, headers, a body; bytes of a connection as they come. Out: a request; the status of each reply once it is
//! whole, and whether the connection can be used again.

use httparse::Status;

use crate::error::ReplyError;
use crate::protocol::{Protocol, Reply, ReplyReader};

const MAX_HEADERS: usize = 64;
const MAX_HEAD: usize = 64 * 1024;

/// The request that gets a path.
pub fn get(path: &str, host: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: acgs-perf-load\r\nAccept: */*\r\n\r\n").into_bytes()
}

/// A request with headers of the caller's, which come in place of ours where they have the same name, and a body.
#[must_use]
pub fn request(method: &str, path: &str, host: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let is_given = |name: &str| headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
    let length = body.len().to_string();
    let ours = [("Host", host), ("User-Agent", "acgs-perf-load"), ("Accept", "*/*")];
    let of_body = ("Content-Length", length.as_str());
    let ours = ours.into_iter().chain((!body.is_empty()).then_some(of_body)).filter(|(name, _)| !is_given(name));
    let mut head = format!("{method} {path} HTTP/1.1\r\n");
    for (name, value) in ours.chain(headers.iter().copied()) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    [head.as_bytes(), body].concat()
}

/// HTTP/1.1, a request at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Http {
    /// Replies have no body, because the method is HEAD.
    pub is_head: bool,
}

impl Protocol for Http {
    fn reader(&self) -> Box<dyn ReplyReader> {
        Box::new(Reader { is_head: self.is_head, ..Reader::default() })
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
    is_head: bool,
}

impl Default for Reader {
    fn default() -> Self {
        Self { bytes: Vec::new(), body: Body::Head, whole: Reply::PLAIN, is_head: false }
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
            header.map(|header| header.value.trim_ascii())
        };
        let has = |name: &str, wanted: &[u8]| {
            value(name).is_some_and(|value| {
                value.len() >= wanted.len() && value[value.len() - wanted.len()..].eq_ignore_ascii_case(wanted)
            })
        };
        let close = has("connection", b"close") || (response.version == Some(0) && !has("connection", b"keep-alive"));
        let chunked = has("transfer-encoding", b"chunked");
        let length = value("content-length").map(|text| std::str::from_utf8(text).unwrap_or("").parse::<u64>());
        let length = length.transpose().map_err(ReplyError::ContentLength)?;
        self.whole = Reply { status, close, error: None };
        self.body = match (status, chunked, length) {
            // Another protocol from here on: nothing that follows is a reply.
            (101, ..) => return Err(ReplyError::Other("the server switches to another protocol".into())),
            // Not the reply yet.
            (100..=199, ..) => Body::Head,
            (204 | 304, ..) => Body::Bytes(0),
            _ if self.is_head => Body::Bytes(0),
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

    const OK: Reply = Reply { status: 200, ..Reply::PLAIN };

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
        assert_eq!(read("HTTP/1.1 204 No Content\r\n\r\n"), Some(Reply { status: 204, ..Reply::PLAIN }));
        assert_eq!(
            read("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
            Some(Reply { status: 503, close: true, error: None })
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
    fn a_reply_to_head_has_no_body_and_an_upgrade_is_no_reply() {
        let mut reader = Http { is_head: true }.reader();
        assert_eq!(reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 1).unwrap(), Some(OK));
        assert!(Reader::default().take(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n").is_err());
    }

    #[test]
    fn headers_of_the_callers_come_in_place_of_ours() {
        let text = request("POST", "/x", "h", &[("host", "other"), ("X-A", "1")], b"{}");
        let text = String::from_utf8(text).unwrap();
        let ours = "User-Agent: acgs-perf-load\r\nAccept: */*\r\nContent-Length: 2\r\n";
        assert_eq!(text, format!("POST /x HTTP/1.1\r\n{ours}host: other\r\nX-A: 1\r\n\r\n{{}}"));
        assert_eq!(request("GET", "/", "h", &[], b""), get("/", "h"));
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
        assert_eq!(reader.end(), Some(Reply { close: true, ..OK }));
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
