//! Connections held open, or one for each request, and what is asked of them; `drive` has the loop that sends and receives.
//!
//! In: a target, messages, a plan. Out: an `Outcome`. One thread; a request goes out on any idle connection, and waits for
//! one, with its intended moment kept, when there is none. A connection that the server closed is made again for the next
//! request, whose time then begins with the call of connect.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use crate::bounds::Bounds;
use crate::connection::Connection;
use crate::epoll::Epoll;
use crate::error::LoadError;
use crate::message::Messages;
use crate::outcome::Outcome;
use crate::schedule::{Arrivals, Schedule};
use crate::target::Target;

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
    pub(crate) target: Target,
    pub(crate) epoll: Epoll,
    pub(crate) connections: Vec<Connection>,
    pub(crate) idle: VecDeque<usize>,
    pub(crate) messages: Messages,
    pub(crate) each_its_own: bool,
    pub(crate) next_id: u64,
    pub(crate) buffer: Vec<u8>,
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
        Ok(Self { each_its_own, ..Self::to(target.into(), connections, messages)? })
    }

    /// The same to a target of any kind, with connections that are kept.
    pub fn to(target: Target, connections: usize, messages: Messages) -> Result<Self, LoadError> {
        let connections: Vec<_> = (0..connections).map(|_| Connection::new(messages.reader())).collect();
        Ok(Self {
            target,
            epoll: Epoll::new().map_err(LoadError::Epoll)?,
            idle: (0..connections.len()).collect(),
            connections,
            messages,
            each_its_own: false,
            next_id: 1,
            buffer: vec![0; 64 * 1024],
        })
    }

    /// Opens all connections, unless each request has its own.
    pub fn open(&mut self) -> Result<(), LoadError> {
        if !self.each_its_own {
            for (index, connection) in self.connections.iter_mut().enumerate() {
                connection.connect(index, &self.target, self.messages.greeting(), &self.epoll)?;
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
        let Load { arrivals, requests, duration, limit, seed, log } = *load;
        let bounds = Bounds { requests, duration, limit, timeout: None, log, stop: None };
        let mut outcomes = self.drive(Schedule::new(arrivals, seed), &bounds)?;
        let mut all = outcomes.remove(0);
        outcomes.iter().try_for_each(|outcome| all.merge(outcome))?;
        Ok(all)
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
        // On a busy machine the last ones may not go out in time.
        assert_eq!((outcome.sent, outcome.sent + outcome.not_sent), (outcome.completed, 100));
    }
}
