//! The server in its modes.
//!
//! In: a listening socket and options. Out: requests served for ever.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;

use socket2::{Domain, Protocol, Socket, Type};

use super::arrival;
use super::blocking::Worker;
use super::event_loop::EventLoop;
use super::log::Shared;
use super::pool::Pool;
use super::world::World;
pub use super::world::{Options, Stall};
use crate::clock;

/// As many connections as come at once before one is accepted, unless told otherwise.
pub const BACKLOG: i32 = 4096;
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
pub fn listen(port: u16, backlog: i32) -> io::Result<TcpListener> {
    let address: SocketAddr = ([127, 0, 0, 1], port).into();
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    arrival::ask(&socket)?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

/// Serves for ever; `pool` is the number of workers.
pub fn serve(listener: &TcpListener, mode: Mode, pool: usize, options: Options, log: &Shared) -> io::Result<()> {
    let in_pieces = mode == Mode::Threads;
    let world = World::new(Options { in_pieces, ..options }, log.clone())?;
    let pool = match mode {
        Mode::Threads => return threads(listener, &world),
        Mode::Epoll => None,
        Mode::Pool | Mode::PoolBack => Some(Pool::start(&world, pool, mode == Mode::PoolBack)?),
    };
    EventLoop::new(&world, pool)?.serve(listener)
}

fn threads(listener: &TcpListener, world: &Arc<World>) -> io::Result<()> {
    let stall = world.options.stall;
    let mut next_stall = stall.map(|stall| clock::now() + stall.every_ns);
    for seed in 1.. {
        if let (Some(stall), Some(next)) = (stall, next_stall.as_mut())
            && clock::now() >= *next
        {
            // Nobody may have come since the last one was due.
            *next = clock::now() + stall.every_ns;
            clock::sleep(stall.length_ns);
        }
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let world = Arc::clone(world);
        let work = move || {
            if let Err(error) = Worker::new(&world, seed).and_then(|mut worker| worker.serve(stream))
                && !matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
            {
                eprintln!("truth-server: {error}");
            }
        };
        thread::Builder::new().name("connection".into()).stack_size(STACK).spawn(work)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use acgs_perf_common::attribution::Component;
    use acgs_perf_load::{Arrivals, Client, Load};

    use super::*;
    use crate::truth::log::{Log, Record};
    use crate::truth::protocol;

    const MILLISECOND: u64 = 1_000_000;

    fn start(mode: Mode, peers: Vec<(String, SocketAddr)>) -> (SocketAddr, Shared) {
        let listener = listen(0, BACKLOG).unwrap();
        let (address, log) = (listener.local_addr().unwrap(), Shared::default());
        let shared = log.clone();
        thread::spawn(move || serve(&listener, mode, 2, Options { peers, ..Options::default() }, &shared));
        (address, log)
    }

    /// 20 requests with this script on so many connections at once.
    fn records(mode: Mode, script: &str, connections: usize) -> Log {
        let (db, _) = start(Mode::Threads, Vec::new());
        let (address, log) = start(mode, vec![("db".into(), db)]);
        let mut client = Client::new(address, connections, protocol::messages(script), false).unwrap();
        client.open().unwrap();
        let (arrivals, limit) = (Arrivals::Closed, Duration::from_secs(20));
        let load = Load { arrivals, requests: 20, duration: None, limit, seed: 1, log: true };
        let outcome = client.load(&load).unwrap();
        assert_eq!((outcome.completed, &outcome.first_error), (20, &None), "{mode:?} {script}");
        thread::sleep(Duration::from_millis(20));
        let log = log.collect(Vec::new());
        assert_eq!(log.records.len(), 20, "{mode:?} {script}");
        for Record { id, arrived_ns, read_ns, sent_ns, component_ns, .. } in &log.records {
            let entry = outcome.log.iter().find(|entry| entry.id == *id).unwrap();
            assert!(entry.sent_ns < *read_ns && read_ns < sent_ns && *arrived_ns < *read_ns, "{mode:?} {script}");
            assert_eq!(component_ns.iter().sum::<u64>(), sent_ns - read_ns, "{mode:?} {script}");
        }
        log
    }

    fn means<const N: usize>(log: &Log, components: [Component; N]) -> [u64; N] {
        components.map(|component| log.total(component) / log.records.len() as u64)
    }

    const ALL: [Mode; 4] = [Mode::Threads, Mode::Epoll, Mode::Pool, Mode::PoolBack];

    #[test]
    fn a_call_is_downstream_in_each_mode() {
        for mode in ALL {
            let log = records(mode, "spin:500;call:db[sleep:5000]", 1);
            let [downstream, on_cpu] = means(&log, [Component::Downstream, Component::OnCpu]);
            // Not all of it: other tests run meanwhile, and what they delay is on the run queue.
            assert!(downstream >= 4 * MILLISECOND, "{mode:?}: {downstream}");
            assert!((MILLISECOND / 10..4 * MILLISECOND).contains(&on_cpu), "{mode:?}: {on_cpu}");
            let of_peer: u64 = log.records.iter().map(|record| record.peer_ns[0]).sum();
            assert_eq!(of_peer, log.total(Component::Downstream), "{mode:?}");
        }
    }

    #[test]
    fn branches_overlap_in_each_mode() {
        for mode in ALL {
            let log = records(mode, "parallel[call:db[sleep:10000]|call:db[sleep:10000]|sleep:10000]", 1);
            let [downstream] = means(&log, [Component::Downstream]);
            assert!((8 * MILLISECOND..18 * MILLISECOND).contains(&downstream), "{mode:?}: {downstream}");
        }
    }

    #[test]
    fn a_sleep_is_a_timer_only_in_the_event_loop() {
        for mode in ALL {
            let log = records(mode, "sleep:5000", 4);
            let [sleep, idle] = means(&log, [Component::Sleep, Component::Idle]);
            let (waited, other) = if mode == Mode::Epoll { (idle, sleep) } else { (sleep, idle) };
            assert!(waited >= 3 * MILLISECOND && other == 0, "{mode:?}: {sleep} {idle}");
        }
    }

    #[test]
    fn what_keeps_others_waiting_is_told_apart() {
        // Four at once, one lock: on average one and a half others are before a request.
        let [lock] = means(&records(Mode::Threads, "lock:a[sleep:5000]", 4), [Component::Lock]);
        assert!(lock >= 5 * MILLISECOND, "{lock}");
        // Four at once, two workers.
        for mode in [Mode::Pool, Mode::PoolBack] {
            let [pool] = means(&records(mode, "sleep:5000", 4), [Component::PoolWait]);
            assert!(pool >= 2 * MILLISECOND, "{mode:?}: {pool}");
        }
        // Timers that end together, and a loop that is blocked by each of them.
        let [late] = means(&records(Mode::Epoll, "sleep:1000;block:5000", 4), [Component::LoopWait]);
        assert!(late >= 3 * MILLISECOND, "{late}");
    }

    #[test]
    fn a_stop_makes_the_others_wait() {
        let [lock] = means(&records(Mode::Threads, "sleep:1000;stop:2000;spin:100", 3), [Component::Lock]);
        // Three stop the others for 2 ms each; on a busy machine a part of the wait is for a CPU.
        assert!(lock >= MILLISECOND / 4, "{lock}");
    }
}
