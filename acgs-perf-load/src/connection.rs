//! One connection of the load generator: opening it, sending a request, receiving.
//!
//! In: a target and bytes. Out: whether it is connected, what came, or how it failed. Nothing here waits.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use socket2::{Domain, Protocol, Socket, Type};

use crate::clock;
use crate::epoll::{EDGES, Epoll};
use crate::log::Entry;
use crate::protocol::ReplyReader;

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// There is no connection.
    Closed,
    /// It is being made; its request goes out when it is there.
    Connecting,
    /// Nothing.
    Idle,
    /// Waiting for a reply.
    Busy,
}

/// One connection.
pub struct Connection {
    stream: Option<TcpStream>,
    /// What it is doing.
    pub state: State,
    /// Tells this stream's events from those of an earlier one.
    pub generation: u32,
    /// The request in flight.
    pub request: Entry,
    /// The replies.
    pub reader: Box<dyn ReplyReader>,
    out: Vec<u8>,
}

impl Connection {
    /// Not connected yet.
    pub fn new(reader: Box<dyn ReplyReader>) -> Self {
        let request = Entry::default();
        Self { stream: None, state: State::Closed, generation: 0, request, reader, out: Vec::new() }
    }

    fn token(&self, index: usize) -> u64 {
        u64::from(self.generation) << 32 | index as u64
    }

    /// Connects and waits for it.
    pub fn connect(&mut self, index: usize, target: SocketAddr, epoll: &Epoll) -> io::Result<()> {
        let stream = TcpStream::connect(target)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        epoll.add(&stream, EDGES, self.token(index))?;
        (self.stream, self.state) = (Some(stream), State::Idle);
        Ok(())
    }

    /// Begins to connect; `request` goes out when the connection is there.
    pub fn begin(&mut self, index: usize, target: SocketAddr, epoll: &Epoll, request: &[u8]) -> io::Result<()> {
        self.out.extend_from_slice(request);
        self.state = State::Connecting;
        let socket = Socket::new(Domain::for_address(target), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_tcp_nodelay(true)?;
        socket.set_nonblocking(true)?;
        match socket.connect(&target.into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
            _ => {}
        }
        let stream = TcpStream::from(socket);
        epoll.add(&stream, EDGES, self.token(index))?;
        self.stream = Some(stream);
        Ok(())
    }

    /// The connection was made or refused.
    pub fn connected(&mut self) -> io::Result<()> {
        match self.stream.as_ref().map(TcpStream::take_error) {
            Some(Ok(None)) => {
                self.state = State::Busy;
                self.flush()
            }
            Some(Ok(Some(error)) | Err(error)) => Err(error),
            None => Err(ErrorKind::NotConnected.into()),
        }
    }

    /// Sends a request; what does not fit is sent by `flush`.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.state = State::Busy;
        self.request.sent_ns = clock::now();
        let stream = self.stream.as_mut().ok_or(ErrorKind::NotConnected)?;
        let count = match stream.write(bytes) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        self.request.delivered_ns = clock::now();
        self.out.extend_from_slice(&bytes[count..]);
        Ok(())
    }

    /// Sends what is left of a request.
    pub fn flush(&mut self) -> io::Result<()> {
        while !self.out.is_empty() && self.state == State::Busy {
            let stream = self.stream.as_mut().ok_or(ErrorKind::NotConnected)?;
            match stream.write(&self.out) {
                Ok(count) => {
                    self.request.delivered_ns = clock::now();
                    self.out.drain(..count);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Receives once; `None` when there is nothing, 0 when the server closed the connection.
    pub fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let Some(stream) = self.stream.as_mut() else { return Ok(None) };
        match stream.read(buffer) {
            Ok(count) => Ok(Some(count)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Closes it; `reader` is for the next one.
    pub fn close(&mut self, reader: Box<dyn ReplyReader>) {
        (self.stream, self.reader, self.state) = (None, reader, State::Closed);
        self.generation = self.generation.wrapping_add(1);
        self.out.clear();
    }
}
