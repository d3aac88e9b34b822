//! A client of Redis that sends what it is told in pieces of any size, and Redis' own count of what it did.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use acgs_perf_tests::endpoints::Named;

/// Two commands of Redis that this module sends itself.
pub const OF_THE_TEST: [&str; 2] = ["CONFIG RESETSTAT", "INFO"];

/// A connection.
pub struct Resp {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// A command in the protocol's words.
pub fn words(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n{word}\r\n", word.len()).into_bytes());
    }
    bytes
}

impl Resp {
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

    /// The next reply.
    pub fn reply(&mut self) -> Vec<u8> {
        loop {
            if let Some(length) = length(&self.buffer) {
                let rest = self.buffer.split_off(length);
                return std::mem::replace(&mut self.buffer, rest);
            }
            let mut piece = [0; 1 << 16];
            let count = self.stream.read(&mut piece).unwrap();
            assert!(count > 0, "the server has closed the connection");
            self.buffer.extend(&piece[..count]);
        }
    }

    /// Asks, and gives the reply.
    pub fn ask(&mut self, command: &[&str]) -> String {
        self.send(&words(command));
        String::from_utf8_lossy(&self.reply()).into_owned()
    }
}

/// How long the value at the beginning is, if it is whole.
fn length(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")? + 2;
    let number = || std::str::from_utf8(&bytes[1..end - 2]).unwrap().parse::<i64>().unwrap();
    match bytes[0] {
        b'$' if number() >= 0 => {
            let whole = end + number() as usize + 2;
            (bytes.len() >= whole).then_some(whole)
        }
        // Of version 3: messages that nobody asked for, sets, and maps, which have two values an entry.
        kind @ (b'*' | b'>' | b'~' | b'%') => {
            let mut at = end;
            for _ in 0..number() * if kind == b'%' { 2 } else { 1 } {
                at += length(bytes.get(at..)?)?;
            }
            Some(at)
        }
        _ => Some(end),
    }
}

/// Forgets what Redis has counted.
pub fn reset(address: SocketAddr) {
    assert_eq!(Resp::connect(address).ask(&["CONFIG", "RESETSTAT"]), "+OK\r\n");
}

/// What Redis has counted since: calls, and those that it refused before it called anything. It does not count what it does not know.
pub fn counted(address: SocketAddr) -> Named {
    let text = Resp::connect(address).ask(&["INFO", "commandstats"]);
    let mut counts = Named::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("cmdstat_")) {
        let (name, figures) = line.split_once(':').unwrap();
        let figure = |field: &str| -> u64 {
            let value = figures.split(',').find_map(|figure| figure.strip_prefix(field)?.strip_prefix('='));
            value.unwrap_or_else(|| panic!("no {field} in {line}")).parse().unwrap()
        };
        let (calls, rejected, failed) = (figure("calls"), figure("rejected_calls"), figure("failed_calls"));
        let name = name.replace('|', " ").to_uppercase();
        if !OF_THE_TEST.contains(&name.as_str()) {
            counts.entry(name).or_default().add(calls + rejected, rejected + failed);
        }
    }
    counts
}
