//! Hands a connection from one process to another.
//!
//! In: a socket between the two, and a connection. Out: the connection at the other end.

use std::io;
use std::mem::size_of;
use std::net::TcpStream;
use std::os::fd::{AsRawFd as _, FromRawFd as _, RawFd};
use std::os::unix::net::UnixStream;

use tokio::io::Interest;
use tokio::net::UnixStream as Stream;

/// A connection comes with this byte.
const HERE: u8 = b'c';
/// There is none; why follows.
const NONE: u8 = b'n';

/// Room for the head of one descriptor's message and the descriptor, aligned as the head.
type Control = [u64; 4];

/// Hands a connection over.
///
/// # Errors
/// When the other process is gone.
pub fn hand_over(to: &UnixStream, connection: &TcpStream) -> io::Result<()> {
    let mut byte = [HERE];
    let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let mut control: Control = [0; 4];
    let message = message(&mut part, &mut control);
    // SAFETY: the message has room for the head and one descriptor, as `message` asserts, so that CMSG_FIRSTHDR is not null and CMSG_DATA
    // lies in `control`; all of it outlives the call.
    let sent = unsafe {
        let head = libc::CMSG_FIRSTHDR(&raw const message);
        (*head).cmsg_level = libc::SOL_SOCKET;
        (*head).cmsg_type = libc::SCM_RIGHTS;
        (*head).cmsg_len = libc::CMSG_LEN(size_of::<RawFd>() as u32) as _;
        libc::CMSG_DATA(head).cast::<RawFd>().write_unaligned(connection.as_raw_fd());
        libc::sendmsg(to.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL)
    };
    if sent == 1 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Says that there is none; why is to follow.
///
/// # Errors
/// When the other process is gone.
pub fn hand_nothing(mut to: &UnixStream) -> io::Result<()> {
    io::Write::write_all(&mut to, &[NONE])
}

/// Takes a connection, or learns that there is none.
///
/// # Errors
/// When the other process is gone, or says what it should not.
pub async fn take(from: &Stream) -> io::Result<Option<TcpStream>> {
    from.async_io(Interest::READABLE, || receive(from.as_raw_fd())).await
}

fn receive(from: RawFd) -> io::Result<Option<TcpStream>> {
    let mut byte = [0u8];
    let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let mut control: Control = [0; 4];
    let mut message = message(&mut part, &mut control);
    // SAFETY: the message has room for what it says; all of it outlives the call.
    let len = unsafe { libc::recvmsg(from, &raw mut message, libc::MSG_CMSG_CLOEXEC) };
    match len {
        0 => return Err(io::ErrorKind::UnexpectedEof.into()),
        len if len < 0 => return Err(io::Error::last_os_error()),
        _ => {}
    }
    // SAFETY: the kernel has written the message; a head that is not null lies in `control`, and so does its descriptor, for which there is
    // room. It is ours alone.
    let connection = unsafe {
        let head = libc::CMSG_FIRSTHDR(&raw const message);
        let is_here =
            !head.is_null() && (*head).cmsg_level == libc::SOL_SOCKET && (*head).cmsg_type == libc::SCM_RIGHTS;
        is_here.then(|| TcpStream::from_raw_fd(libc::CMSG_DATA(head).cast::<RawFd>().read_unaligned()))
    };
    match (byte[0], connection) {
        (HERE, Some(connection)) => Ok(Some(connection)),
        (NONE, None) => Ok(None),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn message(part: &mut libc::iovec, control: &mut Control) -> libc::msghdr {
    // SAFETY: CMSG_SPACE only computes.
    let room = unsafe { libc::CMSG_SPACE(size_of::<RawFd>() as u32) } as usize;
    assert!(room <= size_of::<Control>());
    // SAFETY: a message without anything is one; its parts are set below.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = room as _;
    message
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_connection_arrives() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let connection = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (ours, theirs) = UnixStream::pair().unwrap();
            theirs.set_nonblocking(true).unwrap();
            let theirs = Stream::from_std(theirs).unwrap();
            hand_nothing(&ours).unwrap();
            assert!(take(&theirs).await.unwrap().is_none());
            hand_over(&ours, &connection).unwrap();
            drop(connection);
            let mut handed = take(&theirs).await.unwrap().unwrap();
            handed.write_all(b"x").unwrap();
            drop(handed);
            let mut read = String::new();
            listener.accept().unwrap().0.read_to_string(&mut read).unwrap();
            assert_eq!(read, "x");
            drop(ours);
            assert_eq!(take(&theirs).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        });
    }
}
