//! Connections held open, and the loop that sends and receives on them.
//!
//! In: a target, a message, a plan. Out: an `Outcome`. One thread; a request goes out on any idle connection, and waits for
//! one, with its intended moment kept, when there is none.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;

use super::Outcome;
use crate::clock;

/// How to load.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Requests per second; `None` is a closed loop: each connection sends when its reply came.
    pub rate: Option<u32>,
    /// Number of requests.
    pub requests: u64,
    /// Gives up after this long.
    pub limit: Duration,
}

struct Connection {
    stream: TcpStream,
    have: usize,
    intended: u64,
    sent: u64,
}

/// Open connections to one server.
pub struct Client {
    connections: Vec<Connection>,
    request: Vec<u8>,
    reply: usize,
}

impl Client {
    /// Connects; `reply` is the size of a reply in bytes.
    pub fn connect(target: SocketAddr, connections: usize, request: &[u8], reply: usize) -> Result<Self> {
        let mut open = Vec::with_capacity(connections);
        for _ in 0..connections {
            let stream = TcpStream::connect(target).with_context(|| format!("connect to {target}"))?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            open.push(Connection { stream, have: 0, intended: 0, sent: 0 });
        }
        Ok(Self { connections: open, request: request.to_vec(), reply })
    }

    /// Sends as planned, and waits for every reply.
    pub fn run(&mut self, plan: Plan) -> Result<Outcome> {
        clock::no_timer_slack();
        let start = clock::now();
        let end = start + plan.limit.as_nanos() as u64;
        let interval = plan.rate.map(|rate| 1e9 / f64::from(rate.max(1)));
        let intended = |index: u64| interval.map(|interval| start + (index as f64 * interval) as u64);
        let mut idle: VecDeque<usize> = (0..self.connections.len()).collect();
        let mut outcome =
            Outcome { sent: 0, completed: 0, latency: histogram()?, from_sending: histogram()?, elapsed_ns: 0 };
        let mut polled: Vec<libc::pollfd> = Vec::new();
        while outcome.completed < plan.requests {
            let mut wait = end.saturating_sub(clock::now());
            if wait == 0 {
                bail!("{} of {} requests after {:?}", outcome.completed, plan.requests, plan.limit);
            }
            while outcome.sent < plan.requests && !idle.is_empty() {
                let now = clock::now();
                let due = intended(outcome.sent).unwrap_or(now);
                if due > now {
                    wait = wait.min(due - now);
                    break;
                }
                if let Some(index) = idle.pop_front() {
                    self.send(index, due, now)?;
                    outcome.sent += 1;
                }
            }
            self.wait(&mut polled, wait)?;
            for (index, entry) in polled.iter().enumerate() {
                if entry.revents != 0 && self.receive(index, &mut outcome)? {
                    idle.push_back(index);
                }
            }
        }
        outcome.elapsed_ns = clock::now() - start;
        Ok(outcome)
    }

    fn send(&mut self, index: usize, intended: u64, now: u64) -> Result<()> {
        let connection = &mut self.connections[index];
        (connection.intended, connection.sent, connection.have) = (intended, now, 0);
        connection.stream.write_all(&self.request).context("send")
    }

    fn wait(&self, polled: &mut Vec<libc::pollfd>, ns: u64) -> Result<()> {
        polled.clear();
        let want = |connection: &Connection| libc::pollfd {
            fd: connection.stream.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        polled.extend(self.connections.iter().map(want));
        let time = clock::timespec(ns);
        // SAFETY: `polled` is valid for its length, `time` is valid, and no signal mask is given.
        match unsafe { libc::ppoll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, &time, std::ptr::null()) } {
            0.. => Ok(()),
            _ => Err(io::Error::last_os_error()).context("ppoll"),
        }
    }

    /// Whether the reply is complete.
    fn receive(&mut self, index: usize, outcome: &mut Outcome) -> Result<bool> {
        let connection = &mut self.connections[index];
        let mut buffer = [0; 16 * 1024];
        let count = match connection.stream.read(&mut buffer) {
            Ok(0) => bail!("the server closed connection {index} after {} requests", outcome.completed),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error).context("receive"),
        };
        let now = clock::now();
        connection.have += count;
        if connection.have > self.reply {
            bail!("a reply has {} bytes, more than {}", connection.have, self.reply);
        }
        if connection.have < self.reply {
            return Ok(false);
        }
        outcome.completed += 1;
        outcome.latency.saturating_record(now - connection.intended);
        outcome.from_sending.saturating_record(now - connection.sent);
        Ok(true)
    }
}

fn histogram() -> Result<Histogram<u64>> {
    Histogram::new_with_bounds(1, 100_000_000_000, 3).context("histogram")
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;
    use crate::truth::server::{Options, Shared, Stall, single};
    use crate::truth::{Distribution, Work};

    fn serve(stall: Option<Stall>) -> (SocketAddr, Shared) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, log) = (listener.local_addr().unwrap(), Shared::default());
        let shared = Shared::clone(&log);
        let options = Options { message: 32, work: Work::Sleep, distribution: Distribution::Constant(0), stall };
        thread::spawn(move || single(&listener, options, &shared));
        (address, log)
    }

    #[test]
    fn a_closed_loop_sends_exactly_what_was_planned() {
        let (address, log) = serve(None);
        let mut client = Client::connect(address, 3, &[1; 32], 32).unwrap();
        let plan = Plan { rate: None, requests: 1000, limit: Duration::from_secs(20) };
        let outcome = client.run(plan).unwrap();
        assert_eq!((outcome.sent, outcome.completed), (1000, 1000));
        assert_eq!(outcome.latency.len(), 1000);
        thread::sleep(Duration::from_millis(20));
        assert_eq!(log.lock().unwrap().0.len(), 1000);
    }

    #[test]
    fn an_open_loop_keeps_its_rate() {
        let (address, _) = serve(None);
        let mut client = Client::connect(address, 4, &[1; 32], 32).unwrap();
        let plan = Plan { rate: Some(500), requests: 250, limit: Duration::from_secs(20) };
        let elapsed = client.run(plan).unwrap().elapsed_ns;
        assert!((498_000_000..2_000_000_000).contains(&elapsed), "{elapsed} ns for 250 requests at 500/s");
    }

    #[test]
    fn a_stall_is_seen_from_the_intended_moment_on_one_connection_too() {
        let (address, _) = serve(Some(Stall { length_ns: 200_000_000, every_ns: 500_000_000 }));
        let mut client = Client::connect(address, 1, &[1; 32], 32).unwrap();
        let plan = Plan { rate: Some(500), requests: 400, limit: Duration::from_secs(20) };
        let outcome = client.run(plan).unwrap();
        // One request in flight meets the stall itself; about a hundred were kept from being sent.
        assert!(outcome.latency.value_at_quantile(0.9) > 50_000_000, "{}", outcome.to_json());
        assert!(outcome.from_sending.value_at_quantile(0.9) < 50_000_000, "{}", outcome.to_json());
    }

    #[test]
    fn the_time_limit_ends_a_run() {
        let (address, _) = serve(None);
        let mut client = Client::connect(address, 1, &[1; 16], 32).unwrap();
        let plan = Plan { rate: None, requests: 1, limit: Duration::from_millis(50) };
        assert!(client.run(plan).unwrap_err().to_string().contains("0 of 1"));
    }
}
