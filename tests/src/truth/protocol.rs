//! How the load generator speaks to a truth server: each request is a frame with its number and a script.
//!
//! In: a script; bytes of a connection as they come. Out: messages; a reply once its frame is whole.

use acgs_perf_load::{Messages, Protocol, Reply, ReplyError, ReplyReader};

use super::frame;

/// Frames, each reply with the number of its request.
#[derive(Clone, Copy, Debug)]
pub struct Frames;

impl Protocol for Frames {
    fn number(&self, request: &mut [u8], id: u64) {
        frame::renumber(request, id);
    }

    fn reader(&self) -> Box<dyn ReplyReader> {
        Box::new(Reader(Vec::new()))
    }
}

/// The bytes of a request that carries a script; empty for the service time that the server draws.
pub fn request(script: &str) -> Vec<u8> {
    frame::encode(0, script.as_bytes())
}

/// The same script in each request.
pub fn messages(script: &str) -> Messages {
    Messages::new(request(script), Frames)
}

struct Reader(Vec<u8>);

impl ReplyReader for Reader {
    fn feed(&mut self, bytes: &[u8], id: u64) -> Result<Option<Reply>, ReplyError> {
        self.0.extend_from_slice(bytes);
        let frame = frame::decode(&self.0).map_err(|error| ReplyError::Other(error.to_string()))?;
        let Some((got, _, used)) = frame else { return Ok(None) };
        if got != id || used != self.0.len() {
            return Err(ReplyError::Other(format!("a reply to request {got} came for request {id}")));
        }
        self.0.clear();
        Ok(Some(Reply::PLAIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_carries_its_number_and_its_script() {
        let mut messages = messages("spin:1").with_slow(request("sleep:20000"), 0.01, 4);
        assert_eq!(frame::decode(messages.request(9, false)).unwrap(), Some((9, &b"spin:1"[..], 22)));
        assert_eq!(frame::decode(messages.request(10, true)).unwrap(), Some((10, &b"sleep:20000"[..], 27)));
    }

    #[test]
    fn a_reply_ends_with_its_frame_and_has_the_number_of_its_request() {
        let mut reader = Frames.reader();
        assert_eq!(reader.feed(&frame::encode(3, b"")[..5], 3).unwrap(), None);
        assert_eq!(reader.feed(&frame::encode(3, b"")[5..], 3).unwrap(), Some(Reply::PLAIN));
        assert!(reader.feed(&frame::encode(4, b""), 3).is_err());
    }
}
