//! `socket-calls`: a server that answers 64-byte requests, each connection with another pair of system calls.
//!
//! In: `tcp4 PORT`, `tcp6 PORT` or `unix PATH`. Out: `listening`, then replies; connection number i uses pair i modulo
//! 10. The calls are made directly, so that no library chooses another one. Three pairs read something else while a request
//! waits: no bytes at all, and the error queue, which holds time stamps of what was sent.

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::ptr;

use anyhow::{Context, Result, bail, ensure};

const SIZE: usize = 64;
/// Pairs of calls.
const PAIRS: usize = 10;
/// Reads no bytes first.
const NOTHING: usize = 7;
/// Reads time stamps first, alone and with what was sent.
const STAMPS: [usize; 2] = [8, 9];

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
    let stamps = STAMPS.contains(&pair) && is_inet(socket)?;
    if stamps {
        ask_for_stamps(socket, pair == STAMPS[0]).context("ask for time stamps")?;
    }
    loop {
        let mut request = [0; SIZE];
        if stamps || pair == NOTHING {
            wait_for_request(socket).context("poll")?;
        }
        if stamps {
            read_stamps(socket).context("read time stamps")?;
        } else if pair == NOTHING {
            // SAFETY: no byte is written.
            let got = unsafe { libc::recv(socket, request.as_mut_ptr().cast(), 0, 0) };
            ensure!(got == 0, "{got} bytes where none were asked for");
        }
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

/// Whether a socket is one of TCP.
fn is_inet(socket: RawFd) -> io::Result<bool> {
    let mut domain: libc::c_int = 0;
    let mut size = size_of_val(&domain) as libc::socklen_t;
    // SAFETY: the value and its size are valid for writing.
    let status = unsafe {
        libc::getsockopt(socket, libc::SOL_SOCKET, libc::SO_DOMAIN, ptr::from_mut(&mut domain).cast(), &raw mut size)
    };
    if status == 0 { Ok(domain != libc::AF_UNIX) } else { Err(io::Error::last_os_error()) }
}

/// From now on the error queue gets a time stamp of each send, `alone` or with the bytes that were sent.
fn ask_for_stamps(socket: RawFd, alone: bool) -> io::Result<()> {
    let mut flags =
        libc::SOF_TIMESTAMPING_TX_SOFTWARE | libc::SOF_TIMESTAMPING_SOFTWARE | libc::SOF_TIMESTAMPING_OPT_ID;
    if alone {
        flags |= libc::SOF_TIMESTAMPING_OPT_TSONLY;
    }
    let size = size_of_val(&flags) as libc::socklen_t;
    // SAFETY: the value is valid for reading, and its size is given.
    let status = unsafe {
        libc::setsockopt(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPING, ptr::from_ref(&flags).cast(), size)
    };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Waits until there is a request, or the end of the stream. What waits in the error queue ends a poll too.
fn wait_for_request(socket: RawFd) -> io::Result<()> {
    loop {
        let mut wanted = libc::pollfd { fd: socket, events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry is valid for reading and writing.
        if unsafe { libc::poll(&raw mut wanted, 1, -1) } < 0 {
            return Err(io::Error::last_os_error());
        }
        if wanted.revents & libc::POLLIN != 0 {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_micros(50));
    }
}

/// Empties the error queue.
fn read_stamps(socket: RawFd) -> io::Result<()> {
    let (mut bytes, mut control) = ([0u8; 256], [0u64; 64]);
    loop {
        let mut part = [libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() }];
        let mut message = message(&mut part);
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control);
        // SAFETY: the message, its part and its control data are valid for writing.
        if unsafe { libc::recvmsg(socket, &raw mut message, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT) } < 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::WouldBlock { Ok(()) } else { Err(error) };
        }
    }
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
            5 => {
                let mut one = libc::mmsghdr { msg_hdr: message(&mut parts), msg_len: 0 };
                match libc::recvmmsg(socket, &raw mut one, 1, 0, ptr::null_mut()) {
                    1 => one.msg_len as isize,
                    none => none as isize,
                }
            }
            6 => libc::recv(socket, start, SIZE, libc::MSG_WAITALL),
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
            5 => {
                let mut one = libc::mmsghdr { msg_hdr: message(&mut parts), msg_len: 0 };
                match libc::sendmmsg(socket, &raw mut one, 1, 0) {
                    1 => one.msg_len as isize,
                    none => none as isize,
                }
            }
            6.. => libc::write(socket, start, SIZE),
            _ => libc::sendfile(socket, file.as_raw_fd(), ptr::from_mut(&mut offset), SIZE),
        }
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}
