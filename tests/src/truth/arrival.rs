//! When the kernel received the bytes that a server reads: its own receive time stamp, which comes with them.
//!
//! In: a socket. Out: bytes, when they were read, and when they had arrived, on CLOCK_MONOTONIC. The stamp is taken where
//! the packet enters the network stack, a few µs before the socket is readable.

use std::io;
use std::net::TcpStream;
use std::os::fd::AsFd;

use super::control;
use crate::clock;

/// What a read gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Bytes; 0 at the end.
    pub count: usize,
    /// After the read returned.
    pub read_ns: u64,
    /// When the last of the bytes had arrived; 0 where the kernel does not say.
    pub arrived_ns: u64,
}

/// Asks for the stamps; sockets that a listening one accepts inherit it.
pub fn ask(socket: impl AsFd) -> io::Result<()> {
    control::set(socket, libc::SO_TIMESTAMPNS, 1)
}

/// Reads once.
pub fn receive(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<Received> {
    let mut stamp = None;
    let count = control::receive(stream, buffer, 0, |level, kind, data| {
        if (level, kind) == (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) {
            stamp = control::time(data);
        }
    })?;
    let read_ns = clock::now();
    // The stamp is of another clock: as long ago on that as on this.
    let arrived_ns = stamp.map_or(0, |stamp| read_ns.saturating_sub(clock::realtime_now().saturating_sub(stamp)));
    Ok(Received { count, read_ns, arrived_ns })
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn bytes_that_wait_have_arrived_when_they_were_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        ask(&listener).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        let mut buffer = [0; 16];
        for round in 0..3 {
            let before = clock::now();
            client.write_all(b"hello").unwrap();
            let after = clock::now();
            clock::sleep(5_000_000);
            let Received { count, read_ns, arrived_ns } = receive(&server, &mut buffer).unwrap();
            assert_eq!(count, 5);
            // The first stamp may be missing: the kernel begins to stamp packets only a moment after it is asked to.
            if round > 0 || arrived_ns > 0 {
                assert!((before..=after + 1_000).contains(&arrived_ns), "{before} {arrived_ns} {after}");
                assert!(read_ns - arrived_ns >= 5_000_000, "{arrived_ns} {read_ns}");
            }
        }
        drop(client);
        assert_eq!(receive(&server, &mut buffer).unwrap().count, 0);
    }
}
