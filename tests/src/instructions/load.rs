//! The load: one round is a fixed number of requests, sent and awaited by one thread.
//!
//! In: a shape. Out: connections that stay, and rounds on them; an answer that is not as it should be is an error.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use super::serve::{
    HTTP_CONNECTIONS, HTTP_REPLY, HTTP_REQUEST, HTTP_SLOW, KEEP_ALIVE, MESSAGE, REDIS_CONNECTIONS, REDIS_REPLY,
    REDIS_REQUEST, REDIS_SLOW, SLOW_MARK, http_large,
};
use super::{Shape, postgres};

/// Batches of a round of the Redis-like loop, of one request on each connection.
const BATCHES: usize = 60;
/// How often a round of the nginx-like loop opens all its connections.
const CYCLES: usize = 4;
const EXCHANGES: usize = 1000;
/// Of queries, and of requests whose service asks another.
const QUERIES: usize = 500;
const CALLS: usize = 20_000;

/// One shape's load.
pub struct Load {
    shape: Shape,
    streams: Vec<TcpStream>,
    /// What is asked, and slowly; room for the answer.
    request: Vec<u8>,
    slow: Vec<u8>,
    reply: Vec<u8>,
    sent: u64,
}

impl Load {
    /// Connects what stays connected over the rounds.
    pub fn new(shape: Shape) -> io::Result<Self> {
        let count = match shape {
            Shape::Redis => REDIS_CONNECTIONS,
            Shape::Switch | Shape::BystanderSwitch | Shape::Postgres | Shape::Downstream => 1,
            Shape::Nginx | Shape::Corked | Shape::Large | Shape::BystanderCalls | Shape::Peer => 0,
        };
        let message = |first| [&[first][..], &[b'm'; MESSAGE - 1]].concat();
        let (request, slow, reply) = match shape {
            Shape::Redis | Shape::Downstream => (REDIS_REQUEST.to_vec(), REDIS_SLOW.to_vec(), REDIS_REPLY.len()),
            Shape::Nginx | Shape::Corked => (HTTP_REQUEST.to_vec(), HTTP_SLOW.to_vec(), HTTP_REPLY),
            Shape::Large => (http_large(), HTTP_SLOW.to_vec(), HTTP_REPLY),
            Shape::Switch | Shape::BystanderSwitch => (message(b'm'), message(SLOW_MARK), MESSAGE),
            Shape::Postgres => (postgres::query(false), postgres::query(true), postgres::answer().len()),
            Shape::BystanderCalls | Shape::Peer => (Vec::new(), Vec::new(), 0),
        };
        let mut streams = (0..count).map(|_| connect(shape)).collect::<io::Result<Vec<_>>>()?;
        if shape == Shape::Postgres {
            batch(&mut streams, &postgres::start_up(), &mut vec![0; postgres::welcome().len()])?;
        }
        Ok(Self { shape, streams, request, slow, reply: vec![0; reply], sent: 0 })
    }

    /// Requests, or calls, of a round.
    pub fn requests(&self) -> u64 {
        let count = match self.shape {
            Shape::Redis => REDIS_CONNECTIONS * BATCHES,
            Shape::Nginx | Shape::Corked | Shape::Large => HTTP_CONNECTIONS * KEEP_ALIVE * CYCLES,
            Shape::Switch | Shape::BystanderSwitch => EXCHANGES,
            Shape::Postgres | Shape::Downstream => QUERIES,
            Shape::BystanderCalls => CALLS,
            Shape::Peer => 0,
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
            Shape::Nginx | Shape::Corked | Shape::Large => {
                (0..CYCLES).try_for_each(|_| self.visit(HTTP_CONNECTIONS, false))
            }
            Shape::Switch | Shape::BystanderSwitch => (0..EXCHANGES).try_for_each(|_| self.batch()),
            Shape::Postgres | Shape::Downstream => (0..QUERIES).try_for_each(|_| self.batch()),
            Shape::BystanderCalls => {
                for _ in 0..CALLS {
                    // SAFETY: getppid takes no argument and cannot fail.
                    unsafe { libc::syscall(libc::SYS_getppid) };
                }
                self.sent += CALLS as u64;
                Ok(())
            }
            Shape::Peer => Ok(()),
        }
    }

    /// A request on each of the connections that stay.
    pub fn batch(&mut self) -> io::Result<()> {
        self.sent += self.streams.len() as u64;
        batch(&mut self.streams, &self.request, &mut self.reply)
    }

    /// Requests that take long, as few as one connection has room for.
    pub fn slow(&mut self) -> io::Result<()> {
        match self.shape {
            Shape::Nginx | Shape::Corked | Shape::Large => self.visit(1, true),
            Shape::BystanderCalls | Shape::Peer => Ok(()),
            _ => {
                self.sent += 1;
                batch(&mut self.streams[..1], &self.slow, &mut self.reply)
            }
        }
    }

    /// As many requests as the workers answer on so many connections, which they then close.
    fn visit(&mut self, connections: usize, slow: bool) -> io::Result<()> {
        let mut streams = (0..connections).map(|_| connect(self.shape)).collect::<io::Result<Vec<_>>>()?;
        let (request, reply) = (if slow { &self.slow } else { &self.request }, &mut self.reply);
        (0..KEEP_ALIVE).try_for_each(|_| batch(&mut streams, request, reply))?;
        self.sent += (connections * KEEP_ALIVE) as u64;
        streams.iter_mut().try_for_each(|stream| match stream.read(reply)? {
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
