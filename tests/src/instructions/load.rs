//! The load: one round is a fixed number of requests, sent and awaited by one thread.
//!
//! In: a shape. Out: connections that stay, and rounds on them; an answer that is not as it should be is an error.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use super::Shape;
use super::serve::{
    HTTP_CONNECTIONS, HTTP_REPLY, HTTP_REQUEST, HTTP_SLOW, KEEP_ALIVE, MESSAGE, REDIS_CONNECTIONS, REDIS_REPLY,
    REDIS_REQUEST, REDIS_SLOW, SLOW_MARK,
};

/// Batches of a round of the Redis-like loop, of one request on each connection.
const BATCHES: usize = 60;
/// How often a round of the nginx-like loop opens all its connections.
const CYCLES: usize = 4;
const EXCHANGES: usize = 1000;
const CALLS: usize = 20_000;

/// One shape's load.
pub struct Load {
    shape: Shape,
    streams: Vec<TcpStream>,
    sent: u64,
}

impl Load {
    /// Connects what stays connected over the rounds.
    pub fn new(shape: Shape) -> io::Result<Self> {
        let count = match shape {
            Shape::Redis => REDIS_CONNECTIONS,
            Shape::Switch | Shape::BystanderSwitch => 1,
            Shape::Nginx | Shape::Corked | Shape::BystanderCalls => 0,
        };
        let streams = (0..count).map(|_| connect(shape)).collect::<io::Result<_>>()?;
        Ok(Self { shape, streams, sent: 0 })
    }

    /// Requests, or calls, of a round.
    pub fn requests(&self) -> u64 {
        let count = match self.shape {
            Shape::Redis => REDIS_CONNECTIONS * BATCHES,
            Shape::Nginx | Shape::Corked => HTTP_CONNECTIONS * KEEP_ALIVE * CYCLES,
            Shape::Switch | Shape::BystanderSwitch => EXCHANGES,
            Shape::BystanderCalls => CALLS,
        };
        count as u64
    }

    /// Requests or calls so far, slow ones too.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// One round.
    pub fn round(&mut self) -> io::Result<()> {
        match self.shape {
            Shape::Redis => (0..BATCHES).try_for_each(|_| self.batch()),
            Shape::Nginx | Shape::Corked => (0..CYCLES).try_for_each(|_| self.visit(HTTP_CONNECTIONS, HTTP_REQUEST)),
            Shape::Switch | Shape::BystanderSwitch => (0..EXCHANGES).try_for_each(|_| self.exchange(b'm')),
            Shape::BystanderCalls => {
                for _ in 0..CALLS {
                    // SAFETY: getppid takes no argument and cannot fail.
                    unsafe { libc::syscall(libc::SYS_getppid) };
                }
                self.sent += CALLS as u64;
                Ok(())
            }
        }
    }

    /// A part of a round of the Redis-like loop.
    pub fn batch(&mut self) -> io::Result<()> {
        self.sent += self.streams.len() as u64;
        batch(&mut self.streams, REDIS_REQUEST, &mut [0; REDIS_REPLY.len()])
    }

    /// Requests that take long, as few as one connection has room for.
    pub fn slow(&mut self) -> io::Result<()> {
        match self.shape {
            Shape::Redis => {
                self.sent += 1;
                batch(&mut self.streams[..1], REDIS_SLOW, &mut [0; REDIS_REPLY.len()])
            }
            Shape::Nginx | Shape::Corked => self.visit(1, HTTP_SLOW),
            Shape::Switch | Shape::BystanderSwitch => self.exchange(SLOW_MARK),
            Shape::BystanderCalls => Ok(()),
        }
    }

    fn exchange(&mut self, first: u8) -> io::Result<()> {
        let mut message = [b'm'; MESSAGE];
        message[0] = first;
        self.sent += 1;
        batch(&mut self.streams, &message.clone(), &mut message)
    }

    /// As many requests as the workers answer on so many connections, which they then close.
    fn visit(&mut self, connections: usize, request: &[u8]) -> io::Result<()> {
        let mut streams = (0..connections).map(|_| connect(self.shape)).collect::<io::Result<Vec<_>>>()?;
        let mut reply = [0; HTTP_REPLY];
        (0..KEEP_ALIVE).try_for_each(|_| batch(&mut streams, request, &mut reply))?;
        self.sent += (connections * KEEP_ALIVE) as u64;
        streams.iter_mut().try_for_each(|stream| match stream.read(&mut reply)? {
            0 => Ok(()),
            _ => Err(io::Error::other("the worker did not close the connection")),
        })
    }
}

fn connect(shape: Shape) -> io::Result<TcpStream> {
    let port = shape.port().ok_or_else(|| io::Error::other("no port"))?;
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A request on each connection, then the answer from each.
fn batch(streams: &mut [TcpStream], request: &[u8], reply: &mut [u8]) -> io::Result<()> {
    streams.iter_mut().try_for_each(|stream| stream.write_all(request))?;
    streams.iter_mut().try_for_each(|stream| stream.read_exact(reply))
}
