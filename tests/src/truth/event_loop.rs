//! One thread for all connections: reads requests, and does their scripts itself or hands them to a pool.
//!
//! In: a listening socket. Out: replies and records. Where a script waits for a timer or a peer, the request is parked and
//! others go on. What lies between the event that a request waits for and the moment in which it goes on is run queue while
//! the thread itself had to wake up, and else loop wait.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use acgs_perf_common::attribution::Component;
use acgs_perf_load::epoll::{Epoll, READABLE, Ready};
use slab::Slab;

use super::arrival::{Received, receive};
use super::blocking::add_outstanding;
use super::frame;
use super::inbox::{Inbox, Request};
use super::log::Record;
use super::meter::add_running;
use super::pool::{Finished, Job, Pool};
use super::run::{Run, Wait};
use super::tools::Tools;
use super::world::World;
use crate::clock;

const LISTENER: u64 = 0;
const FINISHED: u64 = 1;
const CLIENT: u64 = 1 << 32;
const PEER: u64 = 2 << 32;

struct Client {
    stream: Arc<TcpStream>,
    inbox: Inbox,
    /// Tells it from an earlier one in the same place.
    serial: u64,
}

/// A request that is not answered yet.
struct Active {
    client: (usize, u64),
    request: Request,
    run: Run,
    record: Record,
    /// Until when its time is accounted for.
    since: u64,
    /// Peers that calls are outstanding to.
    calls: Vec<usize>,
}

struct Peer {
    stream: TcpStream,
    bytes: Vec<u8>,
    peer: usize,
    /// The request and the strand that wait for it.
    user: Option<(usize, usize)>,
}

/// The loop.
pub struct EventLoop {
    tools: Tools,
    epoll: Epoll,
    clients: Slab<Client>,
    active: Slab<Active>,
    peers: Slab<Peer>,
    idle_peers: Vec<Vec<usize>>,
    /// Deadline, request, strand. A request with a timer does not end before it.
    timers: BinaryHeap<Reverse<(u64, usize, usize)>>,
    pool: Option<Arc<Pool>>,
    serial: u64,
    buffer: Vec<u8>,
    /// When the last wait for events began and ended.
    waited: (u64, u64),
}

impl EventLoop {
    /// Without a pool, it does the scripts itself.
    pub fn new(world: &Arc<World>, pool: Option<Arc<Pool>>) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        if let Some(pool) = &pool {
            epoll.add(pool.wake(), READABLE, FINISHED)?;
        }
        let idle_peers = world.options.peers.iter().map(|_| Vec::new()).collect();
        Ok(Self {
            tools: Tools::new(world, 1)?,
            epoll,
            clients: Slab::new(),
            active: Slab::new(),
            peers: Slab::new(),
            idle_peers,
            timers: BinaryHeap::new(),
            pool,
            serial: 0,
            buffer: vec![0; 64 * 1024],
            waited: (0, 0),
        })
    }

    /// Serves for ever.
    pub fn serve(mut self, listener: &TcpListener) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        self.epoll.add(listener, READABLE, LISTENER)?;
        let stall = self.tools.world.options.stall;
        let mut next_stall = stall.map(|stall| clock::now() + stall.every_ns);
        let mut ready = Vec::new();
        loop {
            let now = clock::now();
            let timer = self.timers.peek().map(|Reverse((deadline, ..))| *deadline);
            let wait = timer.into_iter().chain(next_stall).min().map(|next| next.saturating_sub(now));
            self.epoll.wait(wait, &mut ready)?;
            self.waited = (now, clock::now());
            if let (Some(stall), Some(next)) = (stall, next_stall.as_mut())
                && self.waited.1 >= *next
            {
                *next += stall.every_ns;
                clock::sleep(stall.length_ns);
            }
            for event in &ready {
                self.handle(*event, listener)?;
            }
            while let Some(Reverse((deadline, request, strand))) = self.timers.peek().copied()
                && deadline <= clock::now()
            {
                self.timers.pop();
                self.resume(request, strand, deadline, None)?;
            }
        }
    }

    fn handle(&mut self, event: Ready, listener: &TcpListener) -> io::Result<()> {
        let key = event.token as u32 as usize;
        match event.token {
            LISTENER => self.accept(listener),
            FINISHED => {
                let finished = self.pool.as_ref().map_or_else(Vec::new, |pool| pool.take());
                finished.into_iter().for_each(|finished| self.send_finished(finished));
                Ok(())
            }
            token if token & CLIENT != 0 => {
                if let Err(error) = self.receive(key) {
                    if !matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) {
                        eprintln!("truth-server: {error}");
                    }
                    self.clients.try_remove(key);
                }
                Ok(())
            }
            _ => self.answered(key),
        }
    }

    fn accept(&mut self, listener: &TcpListener) -> io::Result<()> {
        loop {
            let stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            self.serial += 1;
            let entry = self.clients.vacant_entry();
            self.epoll.add(&stream, READABLE, CLIENT | entry.key() as u64)?;
            let inbox = Inbox::new(self.tools.world.options.message);
            entry.insert(Client { stream: Arc::new(stream), inbox, serial: self.serial });
        }
    }

    /// Reads once, and begins each request that is whole.
    fn receive(&mut self, key: usize) -> io::Result<()> {
        let Some(client) = self.clients.get_mut(key) else { return Ok(()) };
        let Received { count, read_ns, arrived_ns } = match receive(&client.stream, &mut self.buffer) {
            Ok(Received { count: 0, .. }) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(received) => received,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        client.inbox.extend(&self.buffer[..count]);
        let (serial, stream) = (client.serial, Arc::clone(&client.stream));
        while let Some(request) = self.clients.get_mut(key).map_or(Ok(None), |client| client.inbox.next())? {
            let client = (key, serial);
            if let Some(pool) = &self.pool {
                let (stream, enqueued_ns) = (Arc::clone(&stream), clock::now());
                pool.push(Job { client, stream, request, arrived_ns, read_ns, enqueued_ns });
                continue;
            }
            let (thread, id) = (self.tools.meter.thread, request.id.unwrap_or(0));
            let record = Record { id, arrived_ns, read_ns, thread, ..Record::default() };
            let run = Run::new(self.tools.steps(&request.text)?);
            let active = Active { client, request, run, record, since: read_ns, calls: Vec::new() };
            let key = self.active.insert(active);
            self.slice(key, 0, read_ns)?;
        }
        Ok(())
    }

    /// A strand of a request goes on: its event came at `event_ns`.
    fn resume(&mut self, key: usize, strand: usize, event_ns: u64, peer: Option<usize>) -> io::Result<()> {
        let now = clock::now();
        let Some(active) = self.active.get_mut(key) else { return Ok(()) };
        let event_ns = event_ns.clamp(active.since, now.max(active.since));
        add_outstanding(&mut active.record, &active.calls, event_ns - active.since, Component::Idle);
        add_late(&mut active.record, event_ns, now, self.waited);
        if let Some(peer) = peer
            && let Some(at) = active.calls.iter().position(|call| *call == peer)
        {
            active.calls.swap_remove(at);
        }
        self.slice(key, strand, now)
    }

    /// Works for a request until it has to wait, or is done.
    fn slice(&mut self, key: usize, strand: usize, now: u64) -> io::Result<()> {
        let start = self.tools.meter.sample_from(now);
        let mut wants = Vec::new();
        let Some(active) = self.active.get_mut(key) else { return Ok(()) };
        active.run.advance(strand, &mut self.tools, &mut active.record, &mut wants)?;
        for (strand, wait) in wants {
            match wait {
                Wait::Timer(ns) => self.timers.push(Reverse((clock::now() + ns, key, strand))),
                Wait::Call(peer, text) => self.call(peer, &text, (key, strand))?,
            }
        }
        let Some(active) = self.active.get_mut(key) else { return Ok(()) };
        if !active.run.is_done() {
            let end = self.tools.meter.sample();
            add_running(&mut active.record, start, end);
            active.since = end.wall;
            return Ok(());
        }
        let Active { client, request, mut record, .. } = self.active.remove(key);
        if self.reply(client, &request, &mut record) {
            let end = self.tools.meter.sample_from(record.sent_ns);
            add_running(&mut record, start, end);
            record.close();
            self.tools.log.push(record);
        }
        Ok(())
    }

    /// Sends the reply, and notes when; `false` when the client is gone.
    fn reply(&mut self, (key, serial): (usize, u64), request: &Request, record: &mut Record) -> bool {
        let message = self.tools.world.options.message;
        let Some(client) = self.clients.get(key).filter(|client| client.serial == serial) else { return false };
        let sent = (&*client.stream).write_all(&request.reply(message, 0)).is_ok();
        record.sent_ns = clock::now();
        record.first_sent_ns = record.sent_ns;
        sent
    }

    /// A worker is done with a request.
    fn send_finished(&mut self, Finished { client, request, mut record, pushed_ns }: Finished) {
        let now = clock::now();
        add_late(&mut record, pushed_ns, now, self.waited);
        let start = self.tools.meter.sample_from(now);
        if self.reply(client, &request, &mut record) {
            let end = self.tools.meter.sample_from(record.sent_ns);
            add_running(&mut record, start, end);
            record.close();
            self.tools.log.push(record);
        }
    }

    /// Sends a script to a peer.
    fn call(&mut self, peer: usize, text: &[u8], user: (usize, usize)) -> io::Result<()> {
        let key = match self.idle_peers[peer].pop() {
            Some(key) => key,
            None => {
                let stream = TcpStream::connect(self.tools.world.options.peers[peer].1)?;
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                let entry = self.peers.vacant_entry();
                self.epoll.add(&stream, READABLE, PEER | entry.key() as u64)?;
                let key = entry.key();
                entry.insert(Peer { stream, bytes: Vec::new(), peer, user: None });
                key
            }
        };
        self.peers[key].user = Some(user);
        self.peers[key].stream.write_all(&frame::encode(0, text))?;
        if let Some(active) = self.active.get_mut(user.0) {
            active.calls.push(peer);
        }
        Ok(())
    }

    /// Bytes from a peer. Its own stamp, taken just before it sent, is when the answer came.
    fn answered(&mut self, key: usize) -> io::Result<()> {
        let Some(connection) = self.peers.get_mut(key) else { return Ok(()) };
        match connection.stream.read(&mut self.buffer) {
            Ok(0) => return Err(io::Error::new(ErrorKind::UnexpectedEof, "a peer closed its connection")),
            Ok(count) => connection.bytes.extend_from_slice(&self.buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
        let Some((_, text, _)) = frame::decode(&connection.bytes)? else { return Ok(()) };
        let sent_ns = text.first_chunk::<8>().copied().map_or_else(clock::now, u64::from_le_bytes);
        connection.bytes.clear();
        let (peer, user) = (connection.peer, connection.user.take());
        self.idle_peers[peer].push(key);
        match user {
            Some((request, strand)) => self.resume(request, strand, sent_ns, Some(peer)),
            None => Ok(()),
        }
    }
}

/// Adds the time from an event until the request goes on: on the run queue while the thread was still asleep after the
/// event, and else waiting for the loop, which worked for others.
fn add_late(record: &mut Record, event_ns: u64, now: u64, waited: (u64, u64)) {
    let (asleep, awake) = waited;
    let run_queue = awake.min(now).saturating_sub(asleep.max(event_ns));
    record.add(Component::RunQueue, run_queue);
    record.add(Component::LoopWait, now.saturating_sub(event_ns).saturating_sub(run_queue));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_after_an_event_is_told_apart() {
        let late = |event, now, waited| {
            let mut record = Record::default();
            add_late(&mut record, event, now, waited);
            [Component::RunQueue, Component::LoopWait].map(|component| record.component_ns[component as usize])
        };
        // Asleep from 10 to 20 in each.
        assert_eq!(late(15, 30, (10, 20)), [5, 10]);
        assert_eq!(late(20, 30, (10, 20)), [0, 10]);
        // Came while the loop worked, before it looked for events.
        assert_eq!(late(5, 21, (10, 20)), [10, 6]);
        assert_eq!(late(25, 30, (10, 20)), [0, 5]);
    }
}
