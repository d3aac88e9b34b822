//! PostgreSQL's protocol as far as a simple query needs it: what the client says, and a process that answers.
//!
//! In: nothing. Out: messages, each whole; a server of one connection at a time, whose answers are fixed to the byte.

use std::io::{self, Read, Write};
use std::net::TcpListener;

use crate::clock;

use super::{SLOW_NS, take_turns};

/// Protocol 3.0.
const VERSION: u32 = 3 << 16;
const SQL: &str = "SELECT abalance FROM pgbench_accounts WHERE aid = 42;";
const SLOW_SQL: &str = "SELECT pg_sleep(0.002);";

/// The first message of a connection.
pub fn start_up() -> Vec<u8> {
    let parameters = b"user\0postgres\0database\0postgres\0\0";
    let length = 8 + parameters.len() as u32;
    [&length.to_be_bytes()[..], &VERSION.to_be_bytes(), parameters].concat()
}

/// What the server says to it: come in, and ask.
pub fn welcome() -> Vec<u8> {
    [message(b'R', &0u32.to_be_bytes()), ready()].concat()
}

/// A query; a slow one takes [`SLOW_NS`].
pub fn query(slow: bool) -> Vec<u8> {
    message(b'Q', &[if slow { SLOW_SQL } else { SQL }.as_bytes(), b"\0"].concat())
}

/// One row of one column.
pub fn answer() -> Vec<u8> {
    // One column; its name, table, number in it, type int4, size, no modifier, as text.
    let mut columns = 1u16.to_be_bytes().to_vec();
    columns.extend(b"abalance\0\0\0\x40\x02\0\x03\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0");
    let row = [&1u16.to_be_bytes()[..], &1u32.to_be_bytes(), b"0"].concat();
    [message(b'T', &columns), message(b'D', &row), message(b'C', b"SELECT 1\0"), ready()].concat()
}

fn ready() -> Vec<u8> {
    message(b'Z', b"I")
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &(4 + body.len() as u32).to_be_bytes(), body].concat()
}

/// Serves for ever.
pub fn serve(listener: &TcpListener) -> io::Result<()> {
    take_turns()?;
    let (slow, answer, welcome) = (query(true), answer(), welcome());
    loop {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut bytes = [0; 256];
        if stream.read(&mut bytes)? == 0 {
            continue;
        }
        stream.write_all(&welcome)?;
        loop {
            let count = stream.read(&mut bytes)?;
            if count == 0 {
                break;
            }
            if bytes[..count] == *slow {
                clock::sleep(SLOW_NS);
            }
            stream.write_all(&answer)?;
        }
    }
}
