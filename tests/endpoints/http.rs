//! A client of HTTP/1 that sends what it is told in pieces of any size, and reads one reply after the other.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use acgs_perf_tests::delivery::{Losing, loses};

/// A connection.
pub struct Http {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// A request without a body.
pub fn request(method: &str, target: &str) -> Vec<u8> {
    format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
}

/// A request with one.
pub fn with_body(method: &str, target: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

impl Http {
    /// Connects; each write is a segment of its own.
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    /// Sends these bytes in one write.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Loses what comes, from now on or no longer.
    pub fn loses(&self, what: Losing) {
        loses(&self.stream, what);
    }

    /// Waits for the next bytes of any kind; how many came.
    pub fn more(&mut self) -> usize {
        let mut piece = [0; 1 << 16];
        let count = self.stream.read(&mut piece).unwrap();
        self.buffer.extend(&piece[..count]);
        count
    }

    /// Takes what was read and not yet taken.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    /// Asks, and gives the status of the reply.
    pub fn ask(&mut self, method: &str, target: &str) -> u16 {
        self.send(&request(method, target));
        self.reply(method == "HEAD")
    }

    /// The status of the next reply, whose body is read too. One that says that the connection ends is read like all others.
    pub fn reply(&mut self, is_to_head: bool) -> u16 {
        loop {
            if let Some((status, length)) = self.whole(is_to_head) {
                self.buffer.drain(..length);
                return status;
            }
            assert!(self.more() > 0, "closed behind {:?}", String::from_utf8_lossy(&self.buffer));
        }
    }

    /// The body of the next reply, which says its length.
    pub fn body(&mut self) -> Vec<u8> {
        loop {
            if let Some((_, length)) = self.whole(false) {
                let reply: Vec<u8> = self.buffer.drain(..length).collect();
                let head = reply.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
                return reply[head + 4..].to_vec();
            }
            assert!(self.more() > 0, "closed behind {:?}", String::from_utf8_lossy(&self.buffer));
        }
    }

    /// Status and length of the reply at the beginning of what was read, if it is whole.
    fn whole(&self, is_to_head: bool) -> Option<(u16, usize)> {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut reply = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(head) = reply.parse(&self.buffer).unwrap() else { return None };
        let (status, body) = (reply.code.unwrap(), &self.buffer[head..]);
        let header = |name: &str| {
            let value = reply.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
            value.map(|header| String::from_utf8_lossy(header.value).into_owned())
        };
        if is_to_head || status < 200 || status == 204 || status == 304 {
            return Some((status, head));
        }
        let length = match header("content-length") {
            Some(length) => length.parse().unwrap(),
            None => chunks(body)?,
        };
        (body.len() >= length).then_some((status, head + length))
    }
}

/// How long a body in chunks is, if it is whole.
fn chunks(body: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let line = body[at..].windows(2).position(|pair| pair == b"\r\n")?;
        let length = usize::from_str_radix(std::str::from_utf8(&body[at..at + line]).unwrap(), 16).unwrap();
        at += line + 2 + length + 2;
        if at > body.len() {
            return None;
        }
        if length == 0 {
            return Some(at);
        }
    }
}
