//! A thread that does one request at a time, and blocks where it has to wait.
//!
//! In: a connection, or a script. Out: the reply, and the record.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use acgs_perf_common::attribution::Component;

use super::arrival::{Received, receive};
use super::frame;
use super::inbox::{Inbox, Request};
use super::log::Record;
use super::meter::{add_running, waited};
use super::run::{Run, Wait, Want};
use super::script::Pieces;
use super::tools::Tools;
use super::world::{Steps, World};
use crate::clock;

/// A wait that has begun.
enum Pending {
    Call { strand: usize, peer: usize, stream: TcpStream },
    Timer { strand: usize, deadline: u64 },
}

/// One thread, with connections of its own to the peers.
pub struct Worker {
    /// What it works with.
    pub tools: Tools,
    /// Connections that no call is on, by peer.
    idle: Vec<Vec<TcpStream>>,
}

impl Worker {
    /// For this thread.
    pub fn new(world: &Arc<World>, seed: u64) -> io::Result<Self> {
        let idle = world.options.peers.iter().map(|_| Vec::new()).collect();
        Ok(Self { tools: Tools::new(world, seed)?, idle })
    }

    /// Serves a connection until it ends.
    pub fn serve(&mut self, mut stream: TcpStream) -> io::Result<()> {
        let message = self.tools.world.options.message;
        let (mut inbox, mut buffer) = (Inbox::new(message), vec![0; 64 * 1024]);
        loop {
            let Received { count, read_ns, arrived_ns } = receive(&stream, &mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            inbox.extend(&buffer[..count]);
            while let Some(request) = inbox.next()? {
                let start = self.tools.meter.sample_from(read_ns);
                let thread = self.tools.meter.thread;
                let mut record =
                    Record { id: request.id.unwrap_or(0), arrived_ns, read_ns, thread, ..Record::default() };
                let steps = self.tools.steps(&request.text)?;
                self.run(steps, &mut record)?;
                self.reply(&mut stream, &request, &mut record)?;
                let end = self.tools.meter.sample_from(record.sent_ns);
                add_running(&mut record, start, end);
                record.close();
                self.tools.log.push(record);
            }
        }
    }

    /// Sends the reply, in pieces where the script says so, and notes when.
    fn reply(&mut self, stream: &mut TcpStream, request: &Request, record: &mut Record) -> io::Result<()> {
        let message = self.tools.world.options.message;
        let Some(Pieces { count, bytes, pause_ns, nagle }) = self.tools.reply.take() else {
            stream.write_all(&request.reply(message, 0))?;
            record.sent_ns = clock::now();
            record.first_sent_ns = record.sent_ns;
            return Ok(());
        };
        let reply = request.reply(message, count * bytes);
        stream.set_nodelay(!nagle)?;
        for piece in reply.chunks(bytes.max(1)) {
            if record.first_sent_ns > 0 && pause_ns > 0 {
                self.tools.meter.blocked(record, Component::Reply, || clock::sleep(pause_ns));
            }
            stream.write_all(piece)?;
            record.sent_ns = clock::now();
            if record.first_sent_ns == 0 {
                record.first_sent_ns = record.sent_ns;
            }
        }
        Ok(())
    }

    /// Does a script.
    pub fn run(&mut self, steps: Steps, record: &mut Record) -> io::Result<()> {
        let (mut run, mut wants, mut pending) = (Run::new(steps), Vec::new(), Vec::new());
        run.advance(0, &mut self.tools, record, &mut wants)?;
        while !run.is_done() {
            if pending.is_empty() && wants.len() == 1 {
                let Some((strand, wait)) = wants.pop() else { break };
                self.alone(wait, record)?;
                run.advance(strand, &mut self.tools, record, &mut wants)?;
            } else {
                for want in wants.drain(..) {
                    pending.push(self.begin(want)?);
                }
                for strand in self.any(&mut pending, record)? {
                    run.advance(strand, &mut self.tools, record, &mut wants)?;
                }
            }
        }
        Ok(())
    }

    /// The only wait: in one blocking call.
    fn alone(&mut self, wait: Wait, record: &mut Record) -> io::Result<()> {
        match wait {
            Wait::Timer(ns) => self.tools.sleep(ns, record),
            Wait::Call(peer, text) => {
                let mut stream = self.connection(peer)?;
                let before = self.tools.meter.sample();
                stream.write_all(&frame::encode(0, &text))?;
                answer(&mut stream)?;
                let ns = waited(before, self.tools.meter.sample());
                record.add(Component::Downstream, ns);
                record.peer_ns[peer] += ns;
                self.idle[peer].push(stream);
            }
        }
        Ok(())
    }

    fn connection(&mut self, peer: usize) -> io::Result<TcpStream> {
        if let Some(stream) = self.idle[peer].pop() {
            return Ok(stream);
        }
        let stream = TcpStream::connect(self.tools.world.options.peers[peer].1)?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    fn begin(&mut self, (strand, wait): Want) -> io::Result<Pending> {
        Ok(match wait {
            Wait::Timer(ns) => Pending::Timer { strand, deadline: clock::now() + ns },
            Wait::Call(peer, text) => {
                let mut stream = self.connection(peer)?;
                stream.write_all(&frame::encode(0, &text))?;
                Pending::Call { strand, peer, stream }
            }
        })
    }

    /// Waits until one or more of these are over, and gives their strands.
    fn any(&mut self, pending: &mut Vec<Pending>, record: &mut Record) -> io::Result<Vec<usize>> {
        let (mut polled, mut peers, mut first) = (Vec::new(), Vec::new(), u64::MAX);
        for wait in pending.iter() {
            let fd = match wait {
                Pending::Call { peer, stream, .. } => {
                    peers.push(*peer);
                    stream.as_raw_fd()
                }
                Pending::Timer { deadline, .. } => {
                    first = first.min(*deadline);
                    // Not looked at by poll.
                    -1
                }
            };
            polled.push(libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
        }
        let before = self.tools.meter.sample();
        let time = clock::timespec(first.saturating_sub(before.wall));
        let time = if first == u64::MAX { std::ptr::null() } else { &raw const time };
        // SAFETY: `polled` is valid for its length, `time` is null or valid, and no signal mask is given.
        if unsafe { libc::ppoll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, time, std::ptr::null()) } < 0 {
            return Err(io::Error::last_os_error());
        }
        let after = self.tools.meter.sample();
        add_outstanding(record, &peers, waited(before, after), Component::Sleep);
        let (mut over, mut left) = (Vec::new(), Vec::new());
        for (wait, polled) in pending.drain(..).zip(polled) {
            match wait {
                Pending::Call { strand, peer, mut stream } if polled.revents != 0 => {
                    answer(&mut stream)?;
                    self.idle[peer].push(stream);
                    over.push(strand);
                }
                Pending::Timer { strand, deadline } if deadline <= after.wall => over.push(strand),
                wait => left.push(wait),
            }
        }
        *pending = left;
        Ok(over)
    }
}

/// Adds waiting time: downstream, split between the peers that calls are outstanding to, or else this component.
pub fn add_outstanding(record: &mut Record, peers: &[usize], ns: u64, otherwise: Component) {
    if peers.is_empty() {
        return record.add(otherwise, ns);
    }
    record.add(Component::Downstream, ns);
    for peer in peers {
        record.peer_ns[*peer] += ns / peers.len() as u64;
    }
}

/// Receives one reply.
fn answer(stream: &mut TcpStream) -> io::Result<()> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 256]);
    while frame::decode(&bytes)?.is_none() {
        match stream.read(&mut buffer)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn downstream_time_is_split_between_peers() {
        let mut record = Record::default();
        add_outstanding(&mut record, &[0, 2], 10, Component::Idle);
        add_outstanding(&mut record, &[], 3, Component::Idle);
        let [downstream, idle] =
            [Component::Downstream, Component::Idle].map(|component| record.component_ns[component as usize]);
        assert_eq!((downstream, idle, record.peer_ns[0], record.peer_ns[2]), (10, 3, 5, 5));
    }
}
