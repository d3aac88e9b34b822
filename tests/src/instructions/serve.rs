//! The services: what they read and answer is fixed to the byte, and so is who accepts which connection.
//!
//! In: a shape and its port. Out: answers, until the machine is switched off.

use std::collections::HashMap;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use acgs_perf_load::epoll::{Epoll, READABLE, Ready};
use socket2::SockRef;

use crate::clock;

use super::{SLOW_NS, Shape, postgres, take_turns};

/// A GET of a short key, and its answer.
pub const REDIS_REQUEST: &[u8] = b"*2\r\n$3\r\nGET\r\n$8\r\nkey:0042\r\n";
/// One that takes [`SLOW_NS`].
pub const REDIS_SLOW: &[u8] = b"*2\r\n$3\r\nGET\r\n$8\r\nkey:slow\r\n";
/// The value.
pub const REDIS_REPLY: &[u8] = b"$5\r\nhello\r\n";
/// Connections of the Redis-like loop.
pub const REDIS_CONNECTIONS: usize = 16;

/// What a browser would ask for, without most of its headers.
pub const HTTP_REQUEST: &[u8] =
    b"GET /index.html HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n";
/// One that takes [`SLOW_NS`].
pub const HTTP_SLOW: &[u8] = b"GET /sleep.html HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n";
/// The head of [`http_large`], whose cookie fills it up.
const HTTP_COOKIE: &[u8] =
    b"GET /index.html HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nAccept: */*\r\nCookie: session=";
/// Length of a large request.
const LARGE: usize = 1024;
const HTTP_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nServer: bench\r\nContent-Type: text/html\r\nContent-Length: 512\r\n\r\n";
const HTTP_BODY: [u8; 512] = [b'x'; 512];
/// One of 1 KiB.
pub fn http_large() -> Vec<u8> {
    let end = b"\r\n\r\n";
    [HTTP_COOKIE, &vec![b'c'; LARGE - HTTP_COOKIE.len() - end.len()], end].concat()
}

/// Length of the answer.
pub const HTTP_REPLY: usize = HTTP_HEAD.len() + HTTP_BODY.len();
/// Requests on a connection, after which the worker closes it. What a new connection takes depends on what the kernel's allocators
/// have at hand, by 1 in 20; over so many requests that is 1 in 150.
pub const KEEP_ALIVE: usize = 30;
const WORKERS: usize = 2;
/// Connections that a worker takes; with all it does not accept, as nginx does, so that both have the same share.
const SHARE: usize = 4;
/// Connections at a time.
pub const HTTP_CONNECTIONS: usize = WORKERS * SHARE;

/// Length of a message of the ping-pong.
pub const MESSAGE: usize = 36;
/// First byte of one that takes [`SLOW_NS`].
pub const SLOW_MARK: u8 = b's';

/// The listener's token; connections have their number.
const LISTENER: u64 = u64::MAX;

/// Serves for ever.
pub fn serve(shape: Shape) -> io::Result<()> {
    let port = shape.port().ok_or_else(|| io::Error::other(format!("{} has no service", shape.name())))?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    match shape {
        Shape::Redis | Shape::Peer => redis(&listener),
        Shape::Nginx | Shape::Large => nginx(&listener, reply),
        Shape::Corked => nginx(&listener, reply_corked),
        Shape::Postgres => postgres::serve(&listener),
        Shape::Downstream => asks_another(&listener),
        _ => ping_pong(&listener),
    }
}

fn ping_pong(listener: &TcpListener) -> io::Result<()> {
    take_turns()?;
    loop {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut message = [0; MESSAGE];
        while stream.read(&mut message)? > 0 {
            if message[0] == SLOW_MARK {
                clock::sleep(SLOW_NS);
            }
            stream.write_all(&message)?;
        }
    }
}

/// Asks its peer the same before it answers. Both connections speak as Redis does.
fn asks_another(listener: &TcpListener) -> io::Result<()> {
    take_turns()?;
    let port = Shape::Peer.port().unwrap_or_default();
    loop {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut peer = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        peer.set_nodelay(true)?;
        let mut bytes = [0; 256];
        loop {
            let count = stream.read(&mut bytes)?;
            match &bytes[..count] {
                [] => break,
                REDIS_SLOW => clock::sleep(SLOW_NS),
                _ => {}
            }
            peer.write_all(REDIS_REQUEST)?;
            peer.read_exact(&mut bytes[..REDIS_REPLY.len()])?;
            stream.write_all(REDIS_REPLY)?;
        }
    }
}

fn redis(listener: &TcpListener) -> io::Result<()> {
    take_turns()?;
    let mut loop_ = EventLoop::new(listener)?;
    loop_.run(listener, usize::MAX, |stream, bytes, _| {
        match bytes {
            REDIS_REQUEST => {}
            REDIS_SLOW => clock::sleep(SLOW_NS),
            _ => return Err(io::Error::other("no GET")),
        }
        stream.write_all(REDIS_REPLY).map(|()| true)
    })
}

/// Sends header and body at once; how many bytes.
fn reply(stream: &mut TcpStream) -> io::Result<usize> {
    stream.write_vectored(&[IoSlice::new(HTTP_HEAD), IoSlice::new(&HTTP_BODY)])
}

/// Sends first the one and then the other; neither leaves before the cork is taken out.
fn reply_corked(stream: &mut TcpStream) -> io::Result<usize> {
    let socket = SockRef::from(&*stream);
    socket.set_tcp_cork(true)?;
    let sent = stream.write(HTTP_HEAD)? + stream.write(&HTTP_BODY)?;
    SockRef::from(&*stream).set_tcp_cork(false)?;
    Ok(sent)
}

fn nginx(listener: &TcpListener, reply: fn(&mut TcpStream) -> io::Result<usize>) -> io::Result<()> {
    for _ in 1..WORKERS {
        // SAFETY: this process has one thread, so that the child may do anything.
        match unsafe { libc::fork() } {
            -1 => return Err(io::Error::last_os_error()),
            0 => break,
            _ => {}
        }
    }
    take_turns()?;
    let mut loop_ = EventLoop::new(listener)?;
    loop_.run(listener, SHARE, |stream, bytes, answered| {
        if !bytes.starts_with(b"GET /") || !bytes.ends_with(b"\r\n\r\n") {
            return Err(io::Error::other("no whole request"));
        }
        if bytes == HTTP_SLOW {
            clock::sleep(SLOW_NS);
        }
        if reply(stream)? == HTTP_REPLY {
            Ok(answered + 1 < KEEP_ALIVE)
        } else {
            Err(io::Error::other("a reply in parts"))
        }
    })
}

/// Connections that one thread waits for.
struct EventLoop {
    epoll: Epoll,
    /// With the number of requests that were answered on each.
    connections: HashMap<u64, (TcpStream, usize)>,
    next: u64,
}

impl EventLoop {
    fn new(listener: &TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let epoll = Epoll::new()?;
        epoll.add(listener, READABLE, LISTENER)?;
        Ok(Self { epoll, connections: HashMap::new(), next: 0 })
    }

    /// Answers by `answer`, which says whether the connection stays, and accepts while there are fewer than `most`.
    fn run(
        &mut self,
        listener: &TcpListener,
        most: usize,
        answer: impl Fn(&mut TcpStream, &[u8], usize) -> io::Result<bool>,
    ) -> io::Result<()> {
        let (mut ready, mut listening, mut buffer): (Vec<Ready>, _, _) = (Vec::new(), true, [0; 4096]);
        loop {
            self.epoll.wait(None, &mut ready)?;
            for event in &ready {
                if event.token == LISTENER {
                    self.accept(listener)?;
                } else if let Some((stream, answered)) = self.connections.get_mut(&event.token) {
                    let count = stream.read(&mut buffer)?;
                    let stays = count > 0 && answer(stream, &buffer[..count], *answered)?;
                    *answered += 1;
                    if !stays {
                        self.connections.remove(&event.token);
                    }
                }
            }
            let wanted = self.connections.len() < most;
            if wanted != listening {
                if wanted {
                    self.epoll.add(listener, READABLE, LISTENER)?;
                } else {
                    self.epoll.remove(listener)?;
                }
                listening = wanted;
            }
        }
    }

    fn accept(&mut self, listener: &TcpListener) -> io::Result<()> {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nodelay(true)?;
                self.epoll.add(&stream, READABLE, self.next)?;
                self.connections.insert(self.next, (stream, 0));
                self.next += 1;
                Ok(())
            }
            // Another worker was first.
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }
}
