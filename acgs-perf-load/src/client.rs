//! Connections held open, or one for each request, and the loop that sends and receives on them.
//!
//! In: a target, messages, a plan. Out: an `Outcome`. One thread; a request goes out on any idle connection, and waits for
//! one, with its intended moment kept, when there is none. A connection that the server closed is made again for the next
//! request, whose time then begins with the call of connect.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use crate::clock;
use crate::connection::{Connection, State};
use crate::epoll::{Epoll, Ready};
use crate::error::LoadError;
use crate::log::Entry;
use crate::message::Messages;
use crate::outcome::Outcome;
use crate::protocol::Reply;
use crate::schedule::{Arrivals, Schedule};

/// How to load, at its simplest: a run in which each request must be answered.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Requests per second; `None` is a closed loop: each connection sends when its reply came.
    pub rate: Option<u32>,
    /// Number of requests.
    pub requests: u64,
    /// Gives up after this long.
    pub limit: Duration,
}

/// How to load.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// When requests are sent.
    pub arrivals: Arrivals,
    /// Number of requests at most.
    pub requests: u64,
    /// Nothing is sent after this long.
    pub duration: Option<Duration>,
    /// Nothing is waited for after this long.
    pub limit: Duration,
    /// Of random arrivals.
    pub seed: u64,
    /// Keep an entry per reply.
    pub log: bool,
}

/// Connections to one server.
pub struct Client {
    target: SocketAddr,
    epoll: Epoll,
    connections: Vec<Connection>,
    idle: VecDeque<usize>,
    messages: Messages,
    each_its_own: bool,
    next_id: u64,
    buffer: Vec<u8>,
}

impl Client {
    /// Connects for fixed-size messages; `reply` is the size of a reply in bytes.
    pub fn connect(target: SocketAddr, connections: usize, request: &[u8], reply: usize) -> Result<Self, LoadError> {
        let mut client = Self::new(target, connections, Messages::fixed(request.to_vec(), reply), false)?;
        client.open()?;
        Ok(client)
    }

    /// Not connected yet. With `each_its_own`, each request has a connection of its own, and `connections` is how many
    /// there may be at a time.
    pub fn new(
        target: SocketAddr,
        connections: usize,
        messages: Messages,
        each_its_own: bool,
    ) -> Result<Self, LoadError> {
        let connections: Vec<_> = (0..connections).map(|_| Connection::new(messages.reader())).collect();
        Ok(Self {
            target,
            epoll: Epoll::new().map_err(LoadError::Epoll)?,
            idle: (0..connections.len()).collect(),
            connections,
            messages,
            each_its_own,
            next_id: 1,
            buffer: vec![0; 64 * 1024],
        })
    }

    /// Opens all connections, unless each request has its own.
    pub fn open(&mut self) -> Result<(), LoadError> {
        if !self.each_its_own {
            for (index, connection) in self.connections.iter_mut().enumerate() {
                let target = self.target;
                let connected = connection.connect(index, target, &self.epoll);
                connected.map_err(|source| LoadError::Connect { target, source })?;
            }
        }
        Ok(())
    }

    /// What it sends.
    pub fn messages(&mut self) -> &mut Messages {
        &mut self.messages
    }

    /// Numbers the requests from here on.
    pub fn number_from(&mut self, id: u64) {
        self.next_id = id;
    }

    /// Sends as planned, and waits for every reply; fails when one is missing.
    pub fn run(&mut self, plan: Plan) -> Result<Outcome, LoadError> {
        let arrivals = plan.rate.map_or(Arrivals::Closed, |rate| Arrivals::Constant(f64::from(rate.max(1))));
        let Plan { requests, limit, .. } = plan;
        let outcome = self.load(&Load { arrivals, requests, duration: None, limit, seed: 1, log: false })?;
        if let Some(first) = outcome.first_error.clone() {
            return Err(LoadError::Failed { failed: outcome.errors(), requests, first });
        }
        if outcome.completed < requests {
            return Err(LoadError::Missing { completed: outcome.completed, requests, limit });
        }
        Ok(outcome)
    }

    /// Sends as planned, and waits for what was sent; errors are counted in the outcome.
    pub fn load(&mut self, load: &Load) -> Result<Outcome, LoadError> {
        clock::no_timer_slack();
        let mut outcome = Outcome::new()?;
        let mut schedule = Schedule::new(load.arrivals, load.seed);
        let start = clock::now();
        let end = start + load.limit.as_nanos() as u64;
        let last = load.duration.map_or(end, |duration| start + duration.as_nanos() as u64);
        let mut ready = Vec::new();
        loop {
            let mut now = clock::now();
            let mut wait = end.saturating_sub(now);
            let mut sending = outcome.sent < load.requests;
            while sending && !self.idle.is_empty() {
                let due = schedule.due().map_or(now, |due| start + due);
                if due.max(now) >= last {
                    sending = false;
                } else if due > now {
                    wait = wait.min(due - now);
                    break;
                } else {
                    self.send(due, &mut outcome);
                    schedule.advance();
                    sending = outcome.sent < load.requests;
                    now = clock::now();
                }
            }
            let done = outcome.completed + outcome.errors() == outcome.sent && (!sending || now >= last);
            if done || now >= end {
                outcome.elapsed_ns = now - start;
                self.abandon();
                return Ok(outcome);
            }
            self.epoll.wait(Some(wait), &mut ready).map_err(LoadError::Epoll)?;
            for event in &ready {
                self.handle(*event, load.log, &mut outcome);
            }
        }
    }

    /// Sends the next request on an idle connection.
    fn send(&mut self, intended_ns: u64, outcome: &mut Outcome) {
        let Some(index) = self.idle.pop_front() else { return };
        let (id, slow) = (self.next_id, self.messages.is_slow(self.next_id));
        self.next_id += 1;
        outcome.sent += 1;
        let bytes = self.messages.request(id, slow);
        let connection = &mut self.connections[index];
        connection.request = Entry { id, intended_ns, sent_ns: clock::now(), slow, ..Entry::default() };
        if connection.state == State::Idle {
            if let Err(error) = connection.send(bytes) {
                self.fail(index, format!("send: {error}"), outcome);
            }
            return;
        }
        if connection.generation > 0 && !self.each_its_own {
            outcome.reconnects += 1;
        }
        if let Err(error) = connection.begin(index, self.target, &self.epoll, bytes) {
            self.fail(index, format!("connect: {error}"), outcome);
        }
    }

    /// Ends a connection; the request on it, if any, failed.
    fn fail(&mut self, index: usize, error: String, outcome: &mut Outcome) {
        let state = self.connections[index].state;
        match state {
            State::Connecting => outcome.connect_errors += 1,
            State::Busy => outcome.closed += 1,
            State::Idle | State::Closed => {}
        }
        if matches!(state, State::Connecting | State::Busy) {
            outcome.first_error.get_or_insert(error);
            self.idle.push_back(index);
        }
        self.connections[index].close(self.messages.reader());
    }

    fn handle(&mut self, event: Ready, log: bool, outcome: &mut Outcome) {
        let index = event.token as u32 as usize;
        let connection = &mut self.connections[index];
        if connection.generation != (event.token >> 32) as u32 {
            return;
        }
        if event.writable() {
            let result = match connection.state {
                State::Connecting => connection.connected().map_err(|error| format!("connect: {error}")),
                _ => connection.flush().map_err(|error| format!("send: {error}")),
            };
            if let Err(error) = result {
                return self.fail(index, error, outcome);
            }
        }
        if event.readable() {
            self.receive(index, event.ended(), log, outcome);
        }
    }

    /// Takes all that came.
    fn receive(&mut self, index: usize, ended: bool, log: bool, outcome: &mut Outcome) {
        loop {
            let connection = &mut self.connections[index];
            let count = match connection.receive(&mut self.buffer) {
                Ok(None) => return,
                Ok(Some(count)) => count,
                Err(error) => return self.fail(index, format!("receive: {error}"), outcome),
            };
            if connection.state == State::Idle {
                // The server closed it, or said something unasked before it does.
                return self.fail(index, String::new(), outcome);
            }
            let reply = match count {
                0 => connection.reader.end(),
                _ => match connection.reader.feed(&self.buffer[..count], connection.request.id) {
                    Ok(reply) => reply,
                    Err(error) => {
                        outcome.malformed += 1;
                        outcome.first_error.get_or_insert(error.to_string());
                        self.idle.push_back(index);
                        return connection.close(self.messages.reader());
                    }
                },
            };
            if let Some(reply) = reply {
                self.complete(index, reply, log, outcome);
            } else if count == 0 {
                return self.fail(index, "the server closed the connection".into(), outcome);
            }
            if self.connections[index].state == State::Closed || (count < self.buffer.len() && !ended) {
                return;
            }
        }
    }

    fn complete(&mut self, index: usize, reply: Reply, log: bool, outcome: &mut Outcome) {
        let connection = &mut self.connections[index];
        let entry = Entry { done_ns: clock::now(), ..connection.request };
        outcome.record(entry, reply.status);
        if log {
            outcome.log.push(entry);
        }
        connection.state = State::Idle;
        if reply.close || self.each_its_own {
            connection.close(self.messages.reader());
        }
        self.idle.push_back(index);
    }

    /// Closes connections on which a reply is still to come, so that a later run does not get it.
    fn abandon(&mut self) {
        for connection in &mut self.connections {
            if matches!(connection.state, State::Busy | State::Connecting) {
                connection.close(self.messages.reader());
            }
        }
        self.idle = (0..self.connections.len()).collect();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::atomic::Ordering;
    use std::thread;

    use super::*;
    use crate::echo::{MESSAGE, Stall, serve};

    #[test]
    fn a_closed_loop_sends_exactly_what_was_planned() {
        let (address, answered) = serve(None);
        let mut client = Client::connect(address, 3, &[1; MESSAGE], MESSAGE).unwrap();
        let plan = Plan { rate: None, requests: 1000, limit: Duration::from_secs(20) };
        let outcome = client.run(plan).unwrap();
        assert_eq!((outcome.sent, outcome.completed), (1000, 1000));
        assert_eq!(outcome.latency.len(), 1000);
        assert_eq!(answered.load(Ordering::Relaxed), 1000);
    }

    #[test]
    fn an_open_loop_keeps_its_rate() {
        let (address, _) = serve(None);
        let mut client = Client::connect(address, 4, &[1; MESSAGE], MESSAGE).unwrap();
        let plan = Plan { rate: Some(500), requests: 250, limit: Duration::from_secs(20) };
        let elapsed = client.run(plan).unwrap().elapsed_ns;
        assert!((498_000_000..2_000_000_000).contains(&elapsed), "{elapsed} ns for 250 requests at 500/s");
    }

    #[test]
    fn a_stall_is_seen_from_the_intended_moment_on_one_connection_too() {
        let (address, _) = serve(Some(Stall { length_ns: 200_000_000, every_ns: 500_000_000 }));
        let mut client = Client::connect(address, 1, &[1; MESSAGE], MESSAGE).unwrap();
        let plan = Plan { rate: Some(500), requests: 400, limit: Duration::from_secs(20) };
        let outcome = client.run(plan).unwrap();
        // One request in flight meets the stall itself; about a hundred were kept from being sent.
        assert!(outcome.latency.value_at_quantile(0.9) > 50_000_000, "{}", outcome.to_json());
        assert!(outcome.from_sending.value_at_quantile(0.9) < 50_000_000, "{}", outcome.to_json());
    }

    #[test]
    fn the_time_limit_ends_a_run() {
        let (address, _) = serve(None);
        let mut client = Client::connect(address, 1, &[1; MESSAGE / 2], MESSAGE).unwrap();
        let plan = Plan { rate: None, requests: 1, limit: Duration::from_millis(50) };
        assert!(client.run(plan).unwrap_err().to_string().contains("0 of 1"));
    }

    #[test]
    fn each_request_can_have_a_connection_of_its_own() {
        let (address, answered) = serve(None);
        let messages = Messages::fixed(vec![1; MESSAGE], MESSAGE);
        let mut client = Client::new(address, 4, messages, true).unwrap();
        let plan = Plan { rate: Some(1000), requests: 200, limit: Duration::from_secs(20) };
        assert_eq!(client.run(plan).unwrap().latency.len(), 200);
        assert_eq!(answered.load(Ordering::Relaxed), 200);
    }

    /// A server that answers `reply` to each connection's first bytes and closes.
    fn once(reply: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 1024]).unwrap();
                stream.write_all(reply.as_bytes()).unwrap();
            }
        });
        address
    }

    fn http(address: SocketAddr) -> Outcome {
        let mut client = Client::new(address, 2, Messages::get("/", "x"), false).unwrap();
        client.open().unwrap();
        let (arrivals, limit) = (Arrivals::Constant(500.0), Duration::from_secs(20));
        client.load(&Load { arrivals, requests: 50, duration: None, limit, seed: 1, log: true }).unwrap()
    }

    #[test]
    fn a_connection_that_was_closed_after_a_reply_is_made_again() {
        let outcome = http(once("HTTP/1.1 503 Busy\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"));
        assert_eq!((outcome.completed, outcome.errors(), outcome.reconnects), (50, 0, 48));
        assert_eq!(outcome.statuses.get(&503), Some(&50));
        let ids: std::collections::BTreeSet<u64> = outcome.log.iter().map(|entry| entry.id).collect();
        assert!(ids.into_iter().eq(1..=50));
    }

    #[test]
    fn errors_are_counted() {
        let outcome = http(once("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nno"));
        assert_eq!((outcome.completed, outcome.closed, outcome.unanswered()), (0, 50, 0));
        let outcome = http(once("+PONG\r\n"));
        assert_eq!((outcome.completed, outcome.malformed), (0, 50));
    }

    #[test]
    fn nothing_is_sent_after_the_duration() {
        let (address, _) = serve(None);
        let mut client = Client::connect(address, 4, &[1; MESSAGE], MESSAGE).unwrap();
        let (arrivals, duration) = (Arrivals::Constant(1000.0), Some(Duration::from_millis(100)));
        let limit = Duration::from_secs(5);
        let outcome =
            client.load(&Load { arrivals, requests: u64::MAX, duration, limit, seed: 1, log: false }).unwrap();
        assert_eq!((outcome.sent, outcome.completed), (100, 100));
    }
}
