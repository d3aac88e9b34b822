//! `delivery-server`: a server that sends its replies as each request says.
//!
//! In: the port; then requests as `acgs_perf_tests::delivery::Wish` has them. Out: `listening`, then replies.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::thread;
use std::time::Duration;

use acgs_perf_tests::delivery::{HEADER, How, Wish};
use anyhow::{Context as _, Result};
use socket2::SockRef;

/// Bytes of the small send buffer.
const SMALL: usize = 64 << 10;

fn answer(stream: &mut TcpStream) -> Result<bool> {
    let mut header = [0; HEADER];
    if stream.read_exact(&mut header).is_err() {
        return Ok(false);
    }
    let wish = Wish::parse(&header);
    stream.read_exact(&mut vec![0; wish.body as usize])?;
    stream.set_nodelay(wish.how != How::Nagle)?;
    let piece = vec![b'r'; wish.piece as usize];
    let pause = Duration::from_millis(u64::from(wish.pause_ms));
    if matches!(wish.how, How::Nonblocking | How::Blocking) {
        SockRef::from(&*stream).set_send_buffer_size(SMALL)?;
    }
    stream.set_nonblocking(wish.how == How::Nonblocking)?;
    if wish.how == How::Cork {
        SockRef::from(&*stream).set_tcp_cork(true)?;
    }
    for at in 0..wish.pieces {
        if at > 0 {
            thread::sleep(pause);
        }
        match wish.how {
            How::Nonblocking => send_all(stream, &piece)?,
            _ => stream.write_all(&piece)?,
        }
    }
    if wish.how == How::Cork {
        thread::sleep(pause);
        SockRef::from(&*stream).set_tcp_cork(false)?;
    }
    stream.set_nonblocking(false)?;
    if wish.how == How::CloseLate {
        thread::sleep(pause);
    }
    Ok(!matches!(wish.how, How::Close | How::CloseLate))
}

/// Sends as much as the send buffer takes, and waits for room.
fn send_all(stream: &mut TcpStream, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(sent) => bytes = &bytes[sent..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let mut poll = libc::pollfd { fd: stream.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
                // SAFETY: one valid entry is given.
                unsafe { libc::poll(&raw mut poll, 1, 1_000) };
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn main() -> Result<()> {
    let port = std::env::args().nth(1).context("usage: delivery-server PORT")?.parse()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    println!("listening");
    for stream in listener.incoming() {
        let mut stream = stream?;
        thread::spawn(move || while answer(&mut stream).unwrap_or(false) {});
    }
    Ok(())
}
