//! When the kernel received the bytes that a server reads: its own receive time stamp, which comes with them.
//!
//! In: a socket. Out: bytes, when they were read, and when they had arrived, on CLOCK_MONOTONIC. The stamp is taken where
//! the packet enters the network stack, a few µs before the socket is readable.

use std::io::{self, IoSliceMut};
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd};
use std::{mem, ptr};

use crate::clock;

/// Room for one control message with a timespec.
const CONTROL: usize = 64;

#[repr(align(8))]
struct Control([u8; CONTROL]);

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
    let on: libc::c_int = 1;
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: `on` is valid for its size.
    let status = unsafe {
        libc::setsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_TIMESTAMPNS,
            ptr::from_ref(&on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Reads once.
pub fn receive(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<Received> {
    let mut control = Control([0; CONTROL]);
    let mut slice = IoSliceMut::new(buffer);
    // SAFETY: an all-zero msghdr is valid.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    // `IoSliceMut` has the layout of iovec.
    message.msg_iov = ptr::from_mut(&mut slice).cast();
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = CONTROL;
    // SAFETY: `message` and what it points to are valid during the call.
    let count = unsafe { libc::recvmsg(stream.as_raw_fd(), &mut message, 0) };
    let read_ns = clock::now();
    if count < 0 {
        return Err(io::Error::last_os_error());
    }
    let arrived_ns = stamp(&message).map_or(0, |stamp| {
        // The stamp is of another clock: as long ago on that as on this.
        read_ns.saturating_sub(clock::realtime_now().saturating_sub(stamp))
    });
    Ok(Received { count: count as usize, read_ns, arrived_ns })
}

/// The stamp in a message's control data, on CLOCK_REALTIME.
fn stamp(message: &libc::msghdr) -> Option<u64> {
    // SAFETY: recvmsg filled in the message, and its control buffer is still there.
    let header = unsafe { libc::CMSG_FIRSTHDR(message).as_ref() }?;
    if (header.cmsg_level, header.cmsg_type) != (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) {
        return None;
    }
    // SAFETY: the data of such a message is a timespec, perhaps not aligned.
    let time: libc::timespec = unsafe { libc::CMSG_DATA(header).cast::<libc::timespec>().read_unaligned() };
    Some(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
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
