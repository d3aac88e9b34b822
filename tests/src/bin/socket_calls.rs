//! `socket-calls`: a server that answers 64-byte requests, each connection with another pair of system calls.
//!
//! In: `tcp4 PORT`, `tcp6 PORT` or `unix PATH`. Out: `listening`, then replies; connection number i uses pair i modulo 5. The
//! calls are made directly, so that no library chooses another one.

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::ptr;

use anyhow::{Context, Result, bail, ensure};

const SIZE: usize = 64;
/// Pairs of calls.
const PAIRS: usize = 5;

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    fn bind(kind: &str, place: &str) -> Result<Self> {
        Ok(match kind {
            "tcp4" => Self::Tcp(TcpListener::bind((Ipv4Addr::LOCALHOST, place.parse()?))?),
            "tcp6" => Self::Tcp(TcpListener::bind((Ipv6Addr::LOCALHOST, place.parse()?))?),
            "unix" => Self::Unix(UnixListener::bind(place)?),
            _ => bail!("{kind} is not tcp4, tcp6 or unix"),
        })
    }

    fn accept(&self) -> io::Result<OwnedFd> {
        match self {
            Self::Tcp(listener) => listener.accept().map(|(stream, _)| stream.into()),
            Self::Unix(listener) => listener.accept().map(|(stream, _)| stream.into()),
        }
    }
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, place] = arguments.as_slice() else { bail!("usage: socket-calls tcp4|tcp6|unix PORT|PATH") };
    let listener = Listener::bind(kind, place).with_context(|| format!("listen on {kind} {place}"))?;
    println!("listening");
    for pair in (0..PAIRS).cycle() {
        let connection = listener.accept().context("accept")?;
        serve(connection.as_raw_fd(), pair).with_context(|| format!("pair {pair}"))?;
    }
    Ok(())
}

fn serve(socket: RawFd, pair: usize) -> Result<()> {
    let file = reply_file()?;
    loop {
        let mut request = [0; SIZE];
        let got = receive(socket, pair, &mut request).context("receive")?;
        if got == 0 {
            return Ok(());
        }
        ensure!(got == SIZE, "{got} bytes of a request");
        let sent = send(socket, pair, &[b'r'; SIZE], &file).context("send")?;
        ensure!(sent == SIZE, "{sent} bytes of a reply");
    }
}

/// A file in memory that holds a reply, for sendfile; its name is gone.
fn reply_file() -> Result<File> {
    let path = format!("/dev/shm/acgs-perf-reply-{}", std::process::id());
    let mut options = File::options();
    let mut file = options.read(true).write(true).create_new(true).open(&path).with_context(|| path.clone())?;
    fs::remove_file(&path)?;
    file.write_all(&[b'r'; SIZE])?;
    Ok(file)
}

/// The buffer in two parts.
fn halves(start: *mut u8) -> [libc::iovec; 2] {
    let half = SIZE / 2;
    // The second part begins inside the buffer.
    [(start, half), (start.wrapping_add(half), SIZE - half)]
        .map(|(base, length)| libc::iovec { iov_base: base.cast(), iov_len: length })
}

fn message(parts: &mut [libc::iovec]) -> libc::msghdr {
    // SAFETY: an all-zero msghdr is valid.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = parts.as_mut_ptr();
    message.msg_iovlen = parts.len();
    message
}

fn receive(socket: RawFd, pair: usize, bytes: &mut [u8; SIZE]) -> io::Result<usize> {
    let start = bytes.as_mut_ptr();
    let mut parts = halves(start);
    let start = start.cast();
    // SAFETY: the buffer, its two parts and the message are valid for writing during the call.
    let got = unsafe {
        match pair {
            1 => libc::recv(socket, start, SIZE, 0),
            2 => libc::readv(socket, parts.as_ptr(), 2),
            3 => libc::recvmsg(socket, &mut message(&mut parts), 0),
            _ => libc::read(socket, start, SIZE),
        }
    };
    usize::try_from(got).map_err(|_| io::Error::last_os_error())
}

fn send(socket: RawFd, pair: usize, bytes: &[u8; SIZE], file: &File) -> io::Result<usize> {
    let mut parts = halves(bytes.as_ptr().cast_mut());
    let (start, mut offset) = (bytes.as_ptr().cast(), 0);
    // SAFETY: the buffer, its two parts and the message are valid for reading during the call.
    let sent = unsafe {
        match pair {
            0 => libc::write(socket, start, SIZE),
            1 => libc::send(socket, start, SIZE, 0),
            2 => libc::writev(socket, parts.as_ptr(), 2),
            3 => libc::sendmsg(socket, &message(&mut parts), 0),
            _ => libc::sendfile(socket, file.as_raw_fd(), ptr::from_mut(&mut offset), SIZE),
        }
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}
