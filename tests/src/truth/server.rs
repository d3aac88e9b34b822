//! The server itself: one thread for all connections, or one per connection.
//!
//! In: fixed-size requests on a listening socket. Out: replies of the same size, and stamps in a shared log.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::work::Source;
use super::{Distribution, Log, Stamp, Work};
use crate::clock;

/// A pause that stops the single thread now and then.
#[derive(Clone, Copy, Debug)]
pub struct Stall {
    /// Length of a pause.
    pub length_ns: u64,
    /// From the start of one pause to the start of the next.
    pub every_ns: u64,
}

/// What to serve.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes of a request and of a reply.
    pub message: usize,
    /// How service times are spent.
    pub work: Work,
    /// How long they are.
    pub distribution: Distribution,
    /// Pauses of the single thread.
    pub stall: Option<Stall>,
}

/// The log that the threads share; a stamp is added after its reply was sent, so the lock delays no measured time.
pub type Shared = Arc<Mutex<Log>>;

struct Connection {
    stream: TcpStream,
    have: usize,
    buffer: Vec<u8>,
}

impl Connection {
    fn new(stream: TcpStream, message: usize) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, have: 0, buffer: vec![0; message] })
    }

    /// Reads once; `Some(time)` when a whole request is there, `None` when more must come.
    fn read(&mut self) -> io::Result<Option<u64>> {
        let count = self.stream.read(&mut self.buffer[self.have..])?;
        let time = clock::now();
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.have += count;
        Ok((self.have == self.buffer.len()).then_some(time))
    }

    fn answer(&mut self, read_ns: u64, log: &Shared) -> io::Result<()> {
        self.have = 0;
        self.stream.write_all(&self.buffer)?;
        let stamp = Stamp { read_ns, sent_ns: clock::now() };
        log.lock().unwrap_or_else(PoisonError::into_inner).0.push(stamp);
        Ok(())
    }
}

/// One thread per connection, for ever.
pub fn threads(listener: &TcpListener, options: Options, log: &Shared) -> io::Result<()> {
    for seed in 1.. {
        let (stream, _) = listener.accept()?;
        let mut connection = Connection::new(stream, options.message)?;
        let mut source = Source::new(options.distribution, seed);
        let log = Arc::clone(log);
        thread::spawn(move || {
            clock::no_timer_slack();
            while let Ok(time) = connection.read() {
                let Some(time) = time else { continue };
                options.work.spend(source.draw());
                if connection.answer(time, &log).is_err() {
                    break;
                }
            }
        });
    }
    Ok(())
}

/// One thread for all connections, for ever: poll, then serve what is ready in order.
pub fn single(listener: &TcpListener, options: Options, log: &Shared) -> io::Result<()> {
    clock::no_timer_slack();
    let mut source = Source::new(options.distribution, 1);
    let mut connections: Vec<Connection> = Vec::new();
    let mut next_stall = clock::now() + options.stall.map_or(u64::MAX / 2, |stall| stall.every_ns);
    let mut polled = Vec::new();
    loop {
        polled.clear();
        let want = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        polled.push(want(listener.as_raw_fd()));
        polled.extend(connections.iter().map(|connection| want(connection.stream.as_raw_fd())));
        let wait = next_stall.saturating_sub(clock::now()).div_ceil(1_000_000).min(1000) as i32;
        // SAFETY: `polled` is valid for its length.
        if unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, wait) } < 0 {
            return Err(io::Error::last_os_error());
        }
        if let Some(stall) = options.stall
            && clock::now() >= next_stall
        {
            next_stall += stall.every_ns;
            clock::sleep(stall.length_ns);
        }
        let mut index = 0;
        connections.retain_mut(|connection| {
            index += 1;
            let ready = polled[index].revents != 0;
            !ready || serve(connection, options.work, &mut source, log).is_ok()
        });
        if polled[0].revents != 0 {
            connections.push(Connection::new(listener.accept()?.0, options.message)?);
        }
    }
}

fn serve(connection: &mut Connection, work: Work, source: &mut Source, log: &Shared) -> io::Result<()> {
    if let Some(time) = connection.read()? {
        work.spend(source.draw());
        connection.answer(time, log)?;
    }
    Ok(())
}
