//! PostgreSQL, protocol 3.0: start-up, simple and extended queries, and where a reply ends.
//!
//! In: user, password, database, SQL; bytes of a connection as they come. Out: the bytes of messages; each reply once the server is ready for
//! the next query, and whether it is an error.

use crate::error::ReplyError;
use crate::protocol::{Code, Protocol, Reply, ReplyReader};
use crate::random;
use crate::scram::{Exchange, Password};

const VERSION: u32 = 3 << 16;
/// Of the messages that are looked into, more than this is not kept.
const MAX_KEPT: usize = 16 * 1024;

/// How queries are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// One message with the text.
    #[default]
    Simple,
    /// Prepared once on each connection; then bind, describe, execute, sync.
    Extended,
}

/// PostgreSQL, a query at a time.
#[derive(Clone, Debug)]
pub struct Postgres {
    greeting: Vec<Vec<u8>>,
    password: Option<Password>,
}

impl Postgres {
    /// For these queries; the messages of each are the second value.
    #[must_use]
    pub fn new(user: &str, database: &str, queries: &[&str], mode: Mode) -> (Self, Vec<Vec<u8>>) {
        let mut greeting = vec![start_up(user, database)];
        let requests = match mode {
            Mode::Simple => queries.iter().map(|sql| simple(sql)).collect(),
            Mode::Extended => {
                greeting.extend(queries.iter().enumerate().map(|(at, sql)| prepare(&name(at), sql)));
                (0..queries.len()).map(|at| execute(&name(at))).collect()
            }
        };
        (Self { greeting, password: None }, requests)
    }

    /// With the password of the user.
    #[must_use]
    pub fn with_password(self, password: &str) -> Self {
        Self { password: Some(Password::new(password)), ..self }
    }
}

impl Protocol for Postgres {
    fn greeting(&self) -> &[Vec<u8>] {
        &self.greeting
    }

    fn reader(&self) -> Box<dyn ReplyReader> {
        Box::new(Reader { password: self.password.clone(), ..Reader::default() })
    }
}

fn name(at: usize) -> String {
    format!("load_{at}")
}

/// A message: its type (none for the first one), its length, strings that end in 0, other bytes.
fn message(kind: Option<u8>, strings: &[&str], rest: &[u8]) -> Vec<u8> {
    let length = 4 + strings.iter().map(|text| text.len() + 1).sum::<usize>() + rest.len();
    let mut bytes: Vec<u8> = kind.into_iter().chain((length as u32).to_be_bytes()).collect();
    for text in strings {
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
    }
    bytes.extend_from_slice(rest);
    bytes
}

fn start_up(user: &str, database: &str) -> Vec<u8> {
    let mut parameters = VERSION.to_be_bytes().to_vec();
    for text in ["user", user, "database", database, "application_name", "acgs-perf load", ""] {
        parameters.extend_from_slice(text.as_bytes());
        parameters.push(0);
    }
    message(None, &[], &parameters)
}

fn simple(sql: &str) -> Vec<u8> {
    message(Some(b'Q'), &[sql], &[])
}

fn sync() -> Vec<u8> {
    message(Some(b'S'), &[], &[])
}

fn prepare(name: &str, sql: &str) -> Vec<u8> {
    [message(Some(b'P'), &[name, sql], &[0, 0]), sync()].concat()
}

fn execute(name: &str) -> Vec<u8> {
    // No parameters, and all results as text; the portal without a name, all rows.
    let bind = message(Some(b'B'), &["", name], &[0; 6]);
    let describe = message(Some(b'D'), &["P"], &[]);
    let execute = message(Some(b'E'), &[""], &[0; 4]);
    [bind, describe, execute, sync()].concat()
}

/// Where in a reply a connection is.
#[derive(Debug, Default)]
struct Reader {
    /// Type and length of a message, as far as they came.
    head: Vec<u8>,
    /// The begin of a message that is looked into.
    kept: Vec<u8>,
    /// Bytes of it that are still to come.
    left: usize,
    error: Option<Code>,
    said: String,
    password: Option<Password>,
    exchange: Option<Exchange>,
    /// What the server waits for.
    answer: Option<Vec<u8>>,
}

const HEAD: usize = 5;

impl ReplyReader for Reader {
    fn feed(&mut self, mut bytes: &[u8], _id: u64) -> Result<Option<Reply>, ReplyError> {
        loop {
            if self.head.len() < HEAD {
                let count = (HEAD - self.head.len()).min(bytes.len());
                self.head.extend_from_slice(&bytes[..count]);
                bytes = &bytes[count..];
                if self.head.len() < HEAD {
                    return Ok(None);
                }
                let length = u32::from_be_bytes([self.head[1], self.head[2], self.head[3], self.head[4]]);
                let is_message = self.head[0].is_ascii_alphanumeric() && (4..1 << 30).contains(&length);
                if !is_message {
                    return Err(ReplyError::Other("a reply is not PostgreSQL".into()));
                }
                self.left = length as usize - 4;
            }
            let count = self.left.min(bytes.len());
            if matches!(self.head[0], b'E' | b'R') {
                let room = MAX_KEPT - self.kept.len().min(MAX_KEPT);
                self.kept.extend_from_slice(&bytes[..count.min(room)]);
            }
            bytes = &bytes[count..];
            self.left -= count;
            if self.left > 0 {
                return Ok(None);
            }
            let kind = self.head[0];
            self.head.clear();
            match kind {
                b'E' => self.failed(),
                b'R' => self.authentication()?,
                b'G' | b'W' => return Err(ReplyError::Other("the query asks for data by COPY".into())),
                b'Z' if !bytes.is_empty() => return Err(ReplyError::Rest(bytes.len())),
                b'Z' => return Ok(Some(Reply { error: self.error.take(), ..Reply::PLAIN })),
                _ => {}
            }
            self.kept.clear();
        }
    }

    /// A connection that is refused ends with an error, and is not ready then.
    fn end(&mut self) -> Option<Reply> {
        self.error.take().map(|code| Reply { close: true, error: Some(code), ..Reply::PLAIN })
    }

    fn answer(&mut self) -> Option<Vec<u8>> {
        self.answer.take()
    }

    fn said(&self) -> &str {
        &self.said
    }
}

impl Reader {
    fn failed(&mut self) {
        let fields = self.kept.split(|byte| *byte == 0);
        let field = |kind: u8| fields.clone().find_map(|field| field.strip_prefix(&[kind]));
        self.error = Some(Code::of(field(b'C').unwrap_or(b"unknown")));
        self.said = String::from_utf8_lossy(field(b'M').unwrap_or_default()).into_owned();
    }

    /// The server asks who we are; what it asks is in `kept`.
    fn authentication(&mut self) -> Result<(), ReplyError> {
        let Some((code, rest)) = self.kept.split_first_chunk::<4>() else { return Err(asks("for nothing")) };
        let text = String::from_utf8_lossy(rest).into_owned();
        let password = self.password.clone();
        match (u32::from_be_bytes(*code), password) {
            (0, _) => {}
            (3 | 5 | 10, None) => return Err(asks("for a password; write postgres://user:password@host/database")),
            (3, Some(password)) => self.answer = Some(message(Some(b'p'), &[password.text()], &[])),
            (10, Some(_)) => {
                if !text.split('\0').any(|mechanism| mechanism == SCRAM) {
                    return Err(asks("for a password in a way that is not known"));
                }
                // The server takes the user of the start-up.
                let exchange = Exchange::new("", &random::nonce().map_err(|error| asks(&format!("nothing: {error}")))?);
                let first = exchange.first();
                let rest = [&(first.len() as u32).to_be_bytes(), first.as_bytes()].concat();
                (self.answer, self.exchange) = (Some(message(Some(b'p'), &[SCRAM], &rest)), Some(exchange));
            }
            (11, Some(password)) => {
                let exchange = self.exchange.as_mut();
                let proof = exchange.and_then(|exchange| exchange.proof(&text, &password));
                let proof = proof.ok_or_else(|| asks("what is no challenge of SCRAM"))?;
                self.answer = Some(message(Some(b'p'), &[], proof.as_bytes()));
            }
            (12, _) if self.exchange.take().is_some_and(|exchange| exchange.is_proved(&text)) => {}
            (12, _) => return Err(asks("for a password that it does not know itself")),
            (5, _) => return Err(asks("for a password by MD5, which load does not give; use scram-sha-256")),
            _ => return Err(asks("who we are in a way that is not known")),
        }
        Ok(())
    }
}

/// The only way to prove a password that is spoken here.
const SCRAM: &str = "SCRAM-SHA-256";

fn asks(what: &str) -> ReplyError {
    ReplyError::Other(format!("the server asks {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: &[u8] = b"Z\0\0\0\x05I";

    fn read(bytes: &[u8]) -> Option<Reply> {
        let whole = Reader::default().feed(bytes, 1).unwrap();
        let mut reader = Reader::default();
        for (at, byte) in bytes.iter().enumerate() {
            let got = reader.feed(&[*byte], 1).unwrap();
            assert_eq!(got, if at + 1 == bytes.len() { whole } else { None }, "at {at}");
        }
        whole
    }

    #[test]
    fn messages_have_their_length() {
        assert_eq!(simple("SELECT 1"), b"Q\0\0\0\x0dSELECT 1\0");
        assert_eq!(start_up("u", "d")[..8], [0, 0, 0, 59, 0, 3, 0, 0]);
        assert_eq!(start_up("u", "d").len(), 59);
        assert_eq!(prepare("s", "x"), b"P\0\0\0\x0as\0x\0\0\0S\0\0\0\x04");
        let expected = b"B\0\0\0\x0d\0s\0\0\0\0\0\0\0D\0\0\0\x06P\0E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04";
        assert_eq!(execute("s"), expected);
    }

    #[test]
    fn a_reply_ends_when_the_server_is_ready() {
        let rows = [b"T\0\0\0\x08abcd".as_slice(), b"D\0\0\0\x06\0\0", b"C\0\0\0\x09SEL\0\0"].concat();
        assert_eq!(read(&rows), None);
        assert_eq!(read(&[&rows, READY].concat()), Some(Reply::PLAIN));
        assert_eq!(read(&[b"R\0\0\0\x08\0\0\0\0".as_slice(), b"S\0\0\0\x06a\0", READY].concat()), Some(Reply::PLAIN));
    }

    #[test]
    fn an_error_has_its_state() {
        let error = message(Some(b'E'), &["SERROR", "C42P01", "Mno such table", ""], &[]);
        let reply = read(&[&error, READY].concat()).unwrap();
        assert_eq!((reply.error.unwrap().to_string().as_str(), reply.close), ("42P01", false));
        // A connection that is refused is closed.
        let mut reader = Reader::default();
        assert_eq!(reader.feed(&error, 1).unwrap(), None);
        assert!(reader.end().is_some_and(|reply| reply.close));
        assert_eq!(Reader::default().end(), None);
    }

    #[test]
    fn a_password_is_given_where_it_is_asked_for() {
        let mut reader = Reader { password: Some(Password::new("secret")), ..Reader::default() };
        assert_eq!(reader.feed(b"R\0\0\0\x08\0\0\0\x03", 1).unwrap(), None);
        assert_eq!(reader.answer().as_deref(), Some(b"p\0\0\0\x0bsecret\0".as_slice()));
        assert_eq!(reader.feed(b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0", 1).unwrap(), None);
        let answer = reader.answer().unwrap();
        assert!(answer.starts_with(b"p") && answer[5..].starts_with(b"SCRAM-SHA-256\0\0\0\0"), "{answer:?}");
        assert!(answer.windows(6).any(|words| words == b"n,,n=,"));
        // A server that does not know the nonce is not the one that we greeted.
        assert!(reader.feed(b"R\0\0\0\x18\0\0\0\x0br=x,s=AAAA,i=4096", 1).is_err());
    }

    #[test]
    fn what_cannot_be_answered_is_an_error_that_says_so() {
        let error = Reader::default().feed(b"R\0\0\0\x08\0\0\0\x0a", 1).unwrap_err().to_string();
        assert!(error.contains("user:password@"), "{error}");
        let mut reader = Reader { password: Some(Password::new("x")), ..Reader::default() };
        let error = reader.feed(b"R\0\0\0\x0c\0\0\0\x05salt", 1).unwrap_err().to_string();
        assert!(error.contains("MD5"), "{error}");
        assert!(Reader::default().feed(b"HTTP/1.1 400 Bad", 1).is_err());
        assert!(Reader::default().feed(&[READY, READY].concat(), 1).is_err());
        assert!(Reader::default().feed(b"G\0\0\0\x04", 1).is_err());
    }
}
