//! Redis: commands as arrays of strings, and where a reply ends (RESP2, and the types of RESP3).
//!
//! In: words; bytes of a connection as they come. Out: the bytes of a command; each reply once it is whole, and whether it is an
//! error.

use crate::error::ReplyError;
use crate::protocol::{Code, Protocol, Reply, ReplyReader};

/// A line with a type, a length or a status; a longer one is no reply.
const MAX_LINE: usize = 64 * 1024;
/// So much of an error is shown.
const MAX_SAID: usize = 200;

/// The bytes of a command.
#[must_use]
pub fn command<W: AsRef<[u8]>>(words: &[W]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        let word = word.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Redis, a command at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redis {
    /// Commands of a new connection, such as AUTH and SELECT.
    pub greeting: Vec<Vec<u8>>,
}

impl Protocol for Redis {
    fn greeting(&self) -> &[Vec<u8>] {
        &self.greeting
    }

    fn reader(&self) -> Box<dyn ReplyReader> {
        Box::new(Reader::default())
    }
}

/// Where in a reply a connection is.
#[derive(Debug, Default)]
struct Reader {
    /// A line that has not ended yet.
    line: Vec<u8>,
    /// Bytes of a string that are still to come, its end of line included.
    string: u64,
    /// Values that are still to come; `None` before a reply.
    values: Option<u64>,
    error: Option<Code>,
    said: String,
}

impl ReplyReader for Reader {
    fn feed(&mut self, mut bytes: &[u8], _id: u64) -> Result<Option<Reply>, ReplyError> {
        while !bytes.is_empty() {
            if self.string > 0 {
                let count = self.string.min(bytes.len() as u64);
                bytes = &bytes[count as usize..];
                self.string -= count;
                if self.string > 0 {
                    return Ok(None);
                }
                self.ended();
            } else {
                let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
                    self.line.extend_from_slice(bytes);
                    return if self.line.len() > MAX_LINE { Err(ReplyError::HeadTooLong) } else { Ok(None) };
                };
                self.line.extend_from_slice(&bytes[..end]);
                bytes = &bytes[end + 1..];
                self.line()?;
            }
            if self.values == Some(0) {
                if !bytes.is_empty() {
                    return Err(ReplyError::Rest(bytes.len()));
                }
                self.values = None;
                return Ok(Some(Reply { error: self.error.take(), ..Reply::PLAIN }));
            }
        }
        Ok(None)
    }

    fn said(&self) -> &str {
        &self.said
    }
}

impl Reader {
    /// A value has ended.
    fn ended(&mut self) {
        self.values = Some(self.values.unwrap_or(1).saturating_sub(1));
    }

    /// So many values come in place of one.
    fn contains(&mut self, values: u64) {
        self.values = Some((self.values.unwrap_or(1) - 1).saturating_add(values));
    }

    fn line(&mut self) -> Result<(), ReplyError> {
        let mut line = std::mem::take(&mut self.line);
        if line.pop() != Some(b'\r') || line.is_empty() {
            return Err(ReplyError::Other("a reply is not Redis: a line does not end as it should".into()));
        }
        let (kind, text) = (line[0], &line[1..]);
        if kind == b'-' && self.values.is_none() {
            self.error = Some(Code::of(text));
            self.said = String::from_utf8_lossy(&text[..text.len().min(MAX_SAID)]).into_owned();
        }
        match kind {
            b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' => self.ended(),
            b'$' | b'!' | b'=' => match length(text)? {
                Some(bytes) => self.string = bytes.saturating_add(2),
                None => self.ended(),
            },
            b'*' | b'~' | b'>' => self.contains(length(text)?.unwrap_or(0)),
            b'%' => self.contains(length(text)?.unwrap_or(0).saturating_mul(2)),
            // What is told about the value that follows.
            b'|' => self.contains(length(text)?.unwrap_or(0).saturating_mul(2).saturating_add(1)),
            _ => return Err(ReplyError::Other("a reply is not Redis: it is of no type that is known".into())),
        }
        if self.values.is_none() {
            self.values = Some(1);
        }
        line.clear();
        self.line = line;
        Ok(())
    }
}

/// A length; `None` is null.
fn length(text: &[u8]) -> Result<Option<u64>, ReplyError> {
    let text = std::str::from_utf8(text).unwrap_or("");
    if text == "-1" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| ReplyError::Other(format!("a reply is not Redis: the length {text:.20?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fed whole, and byte by byte, a reply must end at the same place.
    fn read(text: &str) -> Result<Option<Reply>, ReplyError> {
        let bytes = text.as_bytes();
        let whole = Reader::default().feed(bytes, 1)?;
        let mut reader = Reader::default();
        for (at, byte) in bytes.iter().enumerate() {
            let got = reader.feed(&[*byte], 1).unwrap();
            assert_eq!(got, if at + 1 == bytes.len() { whole } else { None }, "{text:?} at {at}");
        }
        Ok(whole)
    }

    #[test]
    fn a_command_is_an_array_of_strings() {
        assert_eq!(command(&["GET", "key"]), b"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n");
    }

    #[test]
    fn replies_end_where_they_end() {
        for text in [
            "+OK\r\n",
            ":7\r\n",
            "$-1\r\n",
            "*-1\r\n",
            "$0\r\n\r\n",
            "$5\r\nhe\r\nl\r\n",
            "*0\r\n",
            "*2\r\n$1\r\na\r\n*2\r\n:1\r\n$-1\r\n",
            "%1\r\n+a\r\n*1\r\n:1\r\n",
            "|1\r\n+ttl\r\n:9\r\n+value\r\n",
            "_\r\n",
            "=4\r\ntxt:\r\n",
        ] {
            assert_eq!(read(text).unwrap(), Some(Reply::PLAIN), "{text:?}");
            assert_eq!(read(&text[..text.len() - 1]).unwrap(), None, "{text:?}");
        }
    }

    #[test]
    fn an_error_is_one_with_its_code() {
        let error = read("-WRONGTYPE Operation against a key\r\n").unwrap().unwrap().error;
        assert_eq!(error.unwrap().to_string(), "WRONGTYPE");
        // An error inside a reply is a value of it.
        assert_eq!(read("*1\r\n-ERR x\r\n").unwrap(), Some(Reply::PLAIN));
    }

    #[test]
    fn one_reader_reads_reply_after_reply_and_refuses_what_it_did_not_ask_for() {
        let mut reader = Reader::default();
        for _ in 0..3 {
            assert!(reader.feed(b"-ERR no\r\n", 1).unwrap().unwrap().error.is_some());
            assert_eq!(reader.feed(b"$2\r\nok\r\n", 1).unwrap(), Some(Reply::PLAIN));
        }
        for foul in ["+OK\r\n+OK\r\n", "HTTP/1.1 400 Bad\r\n", "\r\n", "$x\r\n", "+OK\n"] {
            assert!(Reader::default().feed(foul.as_bytes(), 1).is_err(), "{foul:?}");
        }
        assert!(Reader::default().feed(&vec![b'+'; MAX_LINE + 1], 1).is_err());
    }
}
