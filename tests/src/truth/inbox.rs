//! Requests as they come in on a connection: fixed-size ones, or frames with a script.
//!
//! In: bytes. Out: requests one by one, and the bytes of their replies.

use std::io;

use super::frame;
use crate::clock;

/// A whole request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its number; `None` in a fixed-size request.
    pub id: Option<u64>,
    /// Its script.
    pub text: Vec<u8>,
}

impl Request {
    /// The reply, with at least so many bytes. A frame's text begins with the moment just before it is sent, by which the caller tells its peer's time from its own.
    pub fn reply(&self, message: usize, least: usize) -> Vec<u8> {
        match self.id {
            Some(id) => {
                let mut text = clock::now().to_le_bytes().to_vec();
                text.resize(least.saturating_sub(frame::HEADER).max(text.len()), b'r');
                frame::encode(id, &text)
            }
            None => vec![b'x'; message],
        }
    }
}

/// Bytes of one connection that were not taken yet.
#[derive(Debug)]
pub struct Inbox {
    bytes: Vec<u8>,
    message: usize,
}

impl Inbox {
    /// `message` is the size of a fixed-size request.
    pub fn new(message: usize) -> Self {
        Self { bytes: Vec::new(), message }
    }

    /// Takes bytes that came.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next request that is whole.
    pub fn next(&mut self) -> io::Result<Option<Request>> {
        let start = self.bytes.len().min(frame::MAGIC.len());
        if start > 0 && self.bytes[..start] == frame::MAGIC[..start] {
            let Some((id, text, used)) = frame::decode(&self.bytes)? else { return Ok(None) };
            let request = Request { id: Some(id), text: text.to_vec() };
            self.bytes.drain(..used);
            return Ok(Some(request));
        }
        let whole = start > 0 && self.bytes.len() >= self.message;
        if whole {
            self.bytes.drain(..self.message);
        }
        Ok(whole.then_some(Request { id: None, text: Vec::new() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_are_read_one_by_one() {
        let mut inbox = Inbox::new(8);
        inbox.extend(&[b'x'; 12]);
        assert_eq!(inbox.next().unwrap(), Some(Request { id: None, text: Vec::new() }));
        assert_eq!(inbox.next().unwrap(), None);
        inbox.extend(&[b'x'; 4]);
        assert!(inbox.next().unwrap().is_some());
        let frames = [frame::encode(3, b"spin:1"), frame::encode(4, b"")].concat();
        inbox.extend(&frames[..3]);
        assert_eq!(inbox.next().unwrap(), None);
        inbox.extend(&frames[3..]);
        assert_eq!(inbox.next().unwrap(), Some(Request { id: Some(3), text: b"spin:1".to_vec() }));
        assert_eq!(inbox.next().unwrap(), Some(Request { id: Some(4), text: Vec::new() }));
        assert_eq!(inbox.next().unwrap(), None);
    }

    #[test]
    fn replies_have_the_size_or_the_number_of_their_request() {
        assert_eq!(Request { id: None, text: Vec::new() }.reply(32, 0).len(), 32);
        let framed = |least| {
            let reply = Request { id: Some(5), text: Vec::new() }.reply(32, least);
            frame::decode(&reply).unwrap().map(|(id, _, used)| (id, used))
        };
        assert_eq!([framed(0), framed(1000)], [Some((5, 24)), Some((5, 1000))]);
    }
}
