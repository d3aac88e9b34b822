//! A reply that two processes send: one begins it, and passes its socket over a UNIX socket to the other, which ends it.
//!
//! In: connections with requests of fixed size; the path on which the other one listens. Out: replies of the same size.

use std::io::{Read, Write};
use std::mem::size_of;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::ptr;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::MESSAGE;

/// How long the second half of a reply lets wait for itself.
pub const PAUSE: Duration = Duration::from_millis(5);
/// Room for one descriptor: a header of control data, the descriptor, and what fills its word.
const CONTROL_WORDS: usize = 3;

const _: () = assert!(CONTROL_WORDS * 8 == size_of::<libc::cmsghdr>() + 8);

/// Sends the first half of each reply, and waits until the second one is sent.
pub fn pass(listener: &TcpListener, path: &Path) -> Result<()> {
    for stream in listener.incoming() {
        let mut stream = stream?;
        let mut message = [0; MESSAGE];
        let mut other = None;
        while stream.read_exact(&mut message).is_ok() {
            stream.write_all(&message[..MESSAGE / 2])?;
            let other: &mut UnixStream = match &mut other {
                Some(other) => other,
                none => none.insert(UnixStream::connect(path).with_context(|| path.display().to_string())?),
            };
            send_socket(other, stream.as_raw_fd()).context("pass the socket")?;
            other.read_exact(&mut [0; 1]).context("wait for the other one")?;
        }
    }
    Ok(())
}

/// Sends the second half on each socket that is passed.
pub fn take(path: &Path) -> Result<()> {
    for stream in UnixListener::bind(path)?.incoming() {
        let mut stream = stream?;
        while let Some(mut socket) = receive_socket(&stream)? {
            thread::sleep(PAUSE);
            socket.write_all(&[0; MESSAGE / 2])?;
            stream.write_all(&[0; 1])?;
        }
    }
    Ok(())
}

/// A message of one byte with room for a descriptor.
fn message(byte: &mut libc::iovec, control: &mut [u64; CONTROL_WORDS]) -> libc::msghdr {
    // SAFETY: an all-zero msghdr is valid.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = ptr::from_mut(byte);
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of::<libc::cmsghdr>() + size_of::<RawFd>();
    message
}

/// Passes a socket on.
pub fn send_socket(over: &UnixStream, socket: RawFd) -> Result<()> {
    let (mut byte, mut control) = ([0u8; 1], [0; CONTROL_WORDS]);
    let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let message = message(&mut part, &mut control);
    let header =
        libc::cmsghdr { cmsg_len: message.msg_controllen, cmsg_level: libc::SOL_SOCKET, cmsg_type: libc::SCM_RIGHTS };
    // SAFETY: the control data has room for the header and a descriptor, and is aligned; the message is valid for reading.
    let sent = unsafe {
        message.msg_control.cast::<libc::cmsghdr>().write(header);
        message.msg_control.cast::<libc::cmsghdr>().add(1).cast::<RawFd>().write(socket);
        libc::sendmsg(over.as_raw_fd(), &message, 0)
    };
    ensure!(sent == 1, "sendmsg: {}", std::io::Error::last_os_error());
    Ok(())
}

/// The next socket; `None` at the end of the stream.
pub fn receive_socket(over: &UnixStream) -> Result<Option<TcpStream>> {
    let (mut byte, mut control) = ([0u8; 1], [0; CONTROL_WORDS]);
    let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let mut message = message(&mut part, &mut control);
    // SAFETY: the message is valid for writing.
    let got = unsafe { libc::recvmsg(over.as_raw_fd(), &raw mut message, 0) };
    ensure!(got >= 0, "recvmsg: {}", std::io::Error::last_os_error());
    if got == 0 {
        return Ok(None);
    }
    // SAFETY: the kernel has written a header and a descriptor there, or left zeros.
    let (header, socket) = unsafe {
        let header = message.msg_control.cast::<libc::cmsghdr>();
        (header.read(), header.add(1).cast::<RawFd>().read())
    };
    ensure!(header.cmsg_type == libc::SCM_RIGHTS && message.msg_controllen > 0, "no socket came");
    // SAFETY: the descriptor was made for this process just now, and nobody else has it.
    Ok(Some(unsafe { TcpStream::from_raw_fd(socket) }))
}
