//! The server in its modes.
//!
//! In: a listening socket and options. Out: requests served for ever.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;

use socket2::{Domain, Protocol, Socket, Type};

use super::blocking::Worker;
use super::event_loop::EventLoop;
use super::log::Shared;
use super::pool::Pool;
use super::world::World;
pub use super::world::{Options, Stall};

/// As many connections as come at once before one is accepted.
const BACKLOG: i32 = 4096;
/// A thousand threads must fit.
const STACK: usize = 256 * 1024;

/// Which thread does what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// A thread per connection, which blocks.
    Threads,
    /// One thread, which does not block where it can do without.
    #[value(alias = "single")]
    Epoll,
    /// One thread reads; a pool does the work and replies.
    Pool,
    /// One thread reads and replies; a pool does the work.
    PoolBack,
}

/// Listens on a loopback port; 0 takes a free one.
pub fn listen(port: u16) -> io::Result<TcpListener> {
    let address: SocketAddr = ([127, 0, 0, 1], port).into();
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Serves for ever; `pool` is the number of workers.
pub fn serve(listener: &TcpListener, mode: Mode, pool: usize, options: Options, log: &Shared) -> io::Result<()> {
    let world = World::new(options, log.clone())?;
    let pool = match mode {
        Mode::Threads => return threads(listener, &world),
        Mode::Epoll => None,
        Mode::Pool | Mode::PoolBack => Some(Pool::start(&world, pool, mode == Mode::PoolBack)?),
    };
    EventLoop::new(&world, pool)?.serve(listener)
}

fn threads(listener: &TcpListener, world: &Arc<World>) -> io::Result<()> {
    for seed in 1.. {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let world = Arc::clone(world);
        let work = move || {
            if let Err(error) = Worker::new(&world, seed).and_then(|mut worker| worker.serve(stream))
                && error.kind() != io::ErrorKind::ConnectionReset
            {
                eprintln!("truth-server: {error}");
            }
        };
        thread::Builder::new().name("connection".into()).stack_size(STACK).spawn(work)?;
    }
    Ok(())
}
