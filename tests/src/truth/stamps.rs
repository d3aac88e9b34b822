//! A client's connection on which the kernel says when the request left and when the last segment of the reply came.
//!
//! In: a TCP connection. Out: bytes sent and received, each with the kernel's own time stamp (`SO_TIMESTAMPING`, CLOCK_REALTIME): of
//! the segment as it is handed to the network device, and of the segment that carried the last of the bytes as it comes from one. On
//! loopback nothing lies between a client's stamps and the server but the network stack, and the client's thread, however late it runs,
//! moves none of them.

use std::io::{self, ErrorKind, Write as _};
use std::net::TcpStream;

use super::control;

/// Stamps of software, of what is sent by the number of its last byte and without its bytes, and of what is received.
const ASKED: u32 = libc::SOF_TIMESTAMPING_SOFTWARE
    | libc::SOF_TIMESTAMPING_TX_SOFTWARE
    | libc::SOF_TIMESTAMPING_RX_SOFTWARE
    | libc::SOF_TIMESTAMPING_OPT_ID
    | libc::SOF_TIMESTAMPING_OPT_TSONLY;
/// Where `sock_extended_err` says that it is a stamp and no error.
const ORIGIN_STAMP: u8 = 4;
/// The kind of stamp that is taken where a segment is handed to the device.
const STAMP_OF_SENDING: u32 = 0;

/// A connection with stamps.
pub struct Stamped {
    stream: TcpStream,
    /// Bytes sent until now; the kernel counts modulo 2^32.
    sent: u32,
    /// The number of the byte whose sending is asked for.
    wanted: u32,
    left: Option<Left>,
}

/// When a segment left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// For the first time.
    pub first_ns: u64,
    /// For the last time: later than the first where it was sent again.
    pub last_ns: u64,
}

impl Stamped {
    /// On a connection on which nothing was sent.
    pub fn new(stream: TcpStream) -> io::Result<Self> {
        control::set(&stream, libc::SO_TIMESTAMPING, ASKED as libc::c_int)?;
        Ok(Self { stream, sent: 0, wanted: 0, left: None })
    }

    /// The connection.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Only the connection.
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// Sends the first bytes of a request, whose stamps [`Stamped::left`] gives: few enough for one segment.
    pub fn send_first(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.send(bytes)?;
        (self.wanted, self.left) = (self.sent.wrapping_sub(1), None);
        Ok(())
    }

    /// Sends more.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.sent = self.sent.wrapping_add(bytes.len() as u32);
        Ok(())
    }

    /// When the first bytes of the request left; `None` where the kernel has not said it.
    pub fn left(&mut self) -> io::Result<Option<Left>> {
        loop {
            let (mut time, mut number) = (None, None);
            let each = |level, kind, data: &[u8]| match (level, kind) {
                (libc::SOL_SOCKET, libc::SCM_TIMESTAMPING) => time = control::time(data),
                (libc::SOL_IP, libc::IP_RECVERR) => number = number_of_sent(data),
                _ => {}
            };
            match control::receive(&self.stream, &mut [], libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT, each) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(self.left),
                Err(error) => return Err(error),
            }
            // A segment that is sent again has another stamp.
            if let Some(last_ns) = time
                && number == Some(self.wanted)
            {
                let first_ns = self.left.map_or(last_ns, |left| left.first_ns);
                self.left = Some(Left { first_ns, last_ns });
            }
        }
    }

    /// Reads once: how many bytes, and when the last segment of them came.
    pub fn receive(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Option<u64>)> {
        let mut stamp = None;
        let count = control::receive(&self.stream, buffer, 0, |level, kind, data| {
            if (level, kind) == (libc::SOL_SOCKET, libc::SCM_TIMESTAMPING) {
                stamp = control::time(data);
            }
        })?;
        Ok((count, stamp))
    }
}

/// The number of the byte whose sending a `sock_extended_err` tells of.
fn number_of_sent(data: &[u8]) -> Option<u32> {
    let word = |at: usize| data.get(at..at + 4)?.first_chunk().copied().map(u32::from_ne_bytes);
    let is_stamp = word(0)? == libc::ENOMSG as u32 && *data.get(4)? == ORIGIN_STAMP;
    (is_stamp && word(8)? == STAMP_OF_SENDING).then(|| word(12))?
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;

    use super::*;
    use crate::clock;

    fn extended_error(errno: i32, origin: u8, info: u32, data: u32) -> Vec<u8> {
        let mut bytes = (errno as u32).to_ne_bytes().to_vec();
        bytes.extend([origin, 0, 0, 0]);
        bytes.extend([info, data].into_iter().flat_map(u32::to_ne_bytes));
        bytes
    }

    #[test]
    fn only_a_stamp_of_sending_has_a_number() {
        assert_eq!(number_of_sent(&extended_error(libc::ENOMSG, ORIGIN_STAMP, 0, 77)), Some(77));
        // Scheduled, acknowledged; an error of the network.
        assert_eq!(number_of_sent(&extended_error(libc::ENOMSG, ORIGIN_STAMP, 1, 77)), None);
        assert_eq!(number_of_sent(&extended_error(libc::ENOMSG, ORIGIN_STAMP, 2, 77)), None);
        assert_eq!(number_of_sent(&extended_error(libc::ECONNREFUSED, 2, 0, 0)), None);
        assert_eq!(number_of_sent(&extended_error(libc::ENOMSG, ORIGIN_STAMP, 0, 77)[..15]), None);
    }

    #[test]
    fn stamps_lie_between_the_send_and_the_read() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = Stamped::new(TcpStream::connect(listener.local_addr().unwrap()).unwrap()).unwrap();
        client.stream().set_nodelay(true).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        server.set_nodelay(true).unwrap();
        // The kernel begins to stamp what is received a moment after it is asked to.
        clock::sleep(200_000_000);
        for _ in 0..3 {
            let before = clock::realtime_now();
            client.send_first(b"hello").unwrap();
            let sent = clock::realtime_now();
            clock::sleep(2_000_000);
            client.send(b", you").unwrap();
            let left = client.left().unwrap().unwrap();
            assert!((before..=sent).contains(&left.first_ns), "{before} {left:?} {sent}");
            assert_eq!(left.first_ns, left.last_ns, "sent again");
            server.read_exact(&mut [0; 10]).unwrap();
            server.write_all(&[1; 4]).unwrap();
            clock::sleep(2_000_000);
            let last = clock::realtime_now();
            server.write_all(&[2; 4]).unwrap();
            let after = clock::realtime_now();
            clock::sleep(2_000_000);
            let (count, came) = client.receive(&mut [0; 16]).unwrap();
            assert_eq!(count, 8);
            assert!((last..=after).contains(&came.unwrap()), "{last} {came:?} {after}");
            // Still the same when it is asked again.
            assert_eq!(client.left().unwrap(), Some(left));
        }
    }
}
