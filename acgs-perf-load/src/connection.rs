//! One connection of the load generator: opening it, greeting the server, sending a request, receiving.
//!
//! In: a target and bytes. Out: whether it is connected, what came, or how it failed. Only [`Connection::connect`] waits.

use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

use socket2::Socket;

use crate::clock;
use crate::epoll::{EDGES, Epoll};
use crate::error::LoadError;
use crate::log::Entry;
use crate::protocol::ReplyReader;
use crate::target::Target;

/// How long a server may take for a connection and each greeting before a run begins.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// There is no connection.
    Closed,
    /// It is being made; its request goes out when it is there, and the server was greeted.
    Connecting,
    /// So many of its greetings were answered; its request goes out after the last one.
    Greeting(usize),
    /// Nothing.
    Idle,
    /// Waiting for a reply.
    Busy,
}

/// One connection.
pub struct Connection {
    stream: Option<Socket>,
    /// What it is doing.
    pub state: State,
    /// Tells this stream's events from those of an earlier one.
    pub generation: u32,
    /// The request in flight.
    pub request: Entry,
    /// The slice of the run in which that is counted.
    pub slice: usize,
    /// How much later it was sent than it could have been.
    pub late_ns: u64,
    /// Since when it is idle.
    pub idle_ns: u64,
    /// The replies.
    pub reader: Box<dyn ReplyReader>,
    out: Vec<u8>,
    /// The request that waits for the greetings.
    pending: Vec<u8>,
}

impl Connection {
    /// Not connected yet.
    pub fn new(reader: Box<dyn ReplyReader>) -> Self {
        Self {
            stream: None,
            state: State::Closed,
            generation: 0,
            request: Entry::default(),
            slice: 0,
            late_ns: 0,
            idle_ns: 0,
            reader,
            out: Vec::new(),
            pending: Vec::new(),
        }
    }

    fn token(&self, index: usize) -> u64 {
        u64::from(self.generation) << 32 | index as u64
    }

    /// Whether a request is on it.
    pub fn is_taken(&self) -> bool {
        !matches!(self.state, State::Idle | State::Closed)
    }

    /// Connects, says the greetings, and waits for it.
    pub fn connect(
        &mut self,
        index: usize,
        target: &Target,
        greetings: &[Vec<u8>],
        epoll: &Epoll,
    ) -> Result<(), LoadError> {
        let failed = |source| LoadError::Connect { target: target.clone(), source };
        let (mut stream, address) = target.socket().map_err(failed)?;
        match target {
            Target::Tcp(_) => stream.connect_timeout(&address, PATIENCE),
            Target::Unix(_) => stream.connect(&address),
        }
        .map_err(failed)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        for greeting in greetings {
            stream.write_all(greeting).map_err(failed)?;
            self.answered(&mut stream, target)?;
        }
        stream.set_nonblocking(true).map_err(failed)?;
        epoll.add(&stream, EDGES, self.token(index)).map_err(failed)?;
        (self.stream, self.state) = (Some(stream), State::Idle);
        Ok(())
    }

    /// Waits for the answer to a greeting.
    fn answered(&mut self, stream: &mut Socket, target: &Target) -> Result<(), LoadError> {
        let refused = |why: String| LoadError::Greeting { target: target.clone(), why };
        let mut buffer = [0; 4096];
        loop {
            let count = stream.read(&mut buffer).map_err(|source| match source.kind() {
                ErrorKind::WouldBlock => refused(format!("no answer to a greeting after {PATIENCE:?}")),
                _ => LoadError::Connect { target: target.clone(), source },
            })?;
            let reply = match count {
                0 => self.reader.end(),
                _ => self.reader.feed(&buffer[..count], 0).map_err(|error| refused(error.to_string()))?,
            };
            match reply {
                Some(reply) => match reply.error {
                    Some(code) => return Err(refused(format!("{code}: {}", self.reader.said()))),
                    None => return Ok(()),
                },
                None if count == 0 => return Err(refused("the server closed the connection unasked".into())),
                None => {
                    let failed = |source| LoadError::Connect { target: target.clone(), source };
                    if let Some(answer) = self.reader.answer() {
                        stream.write_all(&answer).map_err(failed)?;
                    }
                }
            }
        }
    }

    /// Begins to connect; `request` goes out when the connection is there and the server was greeted.
    pub fn begin(&mut self, index: usize, target: &Target, epoll: &Epoll, request: &[u8]) -> io::Result<()> {
        self.pending.extend_from_slice(request);
        self.state = State::Connecting;
        let (stream, address) = target.socket()?;
        stream.set_nonblocking(true)?;
        match stream.connect(&address) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
            _ => {}
        }
        epoll.add(&stream, EDGES, self.token(index))?;
        self.stream = Some(stream);
        Ok(())
    }

    /// The connection was made or refused.
    pub fn connected(&mut self, greetings: &[Vec<u8>]) -> io::Result<()> {
        match self.stream.as_ref().map(Socket::take_error) {
            Some(Ok(None)) => self.greet(0, greetings),
            Some(Ok(Some(error)) | Err(error)) => Err(error),
            None => Err(ErrorKind::NotConnected.into()),
        }
    }

    /// So many greetings were answered: says the next one, or sends the request.
    pub fn greet(&mut self, answered: usize, greetings: &[Vec<u8>]) -> io::Result<()> {
        match greetings.get(answered) {
            Some(greeting) => {
                self.state = State::Greeting(answered);
                self.out.extend_from_slice(greeting);
            }
            None => {
                self.state = State::Busy;
                std::mem::swap(&mut self.out, &mut self.pending);
            }
        }
        self.flush()
    }

    /// Sends what the server asked for before it answers a greeting.
    pub fn answer(&mut self) -> io::Result<()> {
        if let (State::Greeting(_), Some(answer)) = (self.state, self.reader.answer()) {
            self.out.extend_from_slice(&answer);
            return self.flush();
        }
        Ok(())
    }

    /// Sends a request; what does not fit is sent by `flush`.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.state = State::Busy;
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

    /// Sends what is left of a greeting or a request.
    pub fn flush(&mut self) -> io::Result<()> {
        while !self.out.is_empty() && matches!(self.state, State::Busy | State::Greeting(_)) {
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
        self.pending.clear();
    }
}
