//! Clients that behave as clients do: they send slowly, read slowly, leave, or wait for ever. What each of them saw is told by its
//! kernel's stamps, and not by its own clock, which runs late when the client does.
//!
//! In: how they behave, and a truth server. Out: for each request, when its first segment left, and when the last segment of its reply
//! came, or when the client left; on CLOCK_REALTIME.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use acgs_perf_load::random::Random;
use anyhow::{Context, Result, anyhow, bail, ensure};
use socket2::SockRef;

use super::frame;
use super::stamps::{Left, Stamped};
use crate::clock;
use crate::delivery::{FAST, Reading, connect};

/// One request, and how its client behaves with it.
#[derive(Clone, Debug)]
pub struct Ask {
    /// What the server is to do.
    pub script: String,
    /// Sends that make the request.
    pub parts: usize,
    /// Before each of them but the first.
    pub pause: Duration,
    /// How the reply is read.
    pub reading: Reading,
    /// What ends the client's wait.
    pub patience: Patience,
}

/// What ends a client's wait for a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// The reply.
    Waits,
    /// This time, after which it resets the connection.
    Leaves(Duration),
    /// Nothing. It asks on on another connection.
    Keeps,
}

impl Ask {
    /// Sent at once, read at once, waited for.
    pub fn plain(script: String) -> Self {
        Self { script, parts: 1, pause: Duration::ZERO, reading: FAST, patience: Patience::Waits }
    }
}

/// How all clients of a run behave.
#[derive(Clone, Copy, Debug)]
pub struct Crowd {
    /// How many there are, each with one request at a time.
    pub clients: usize,
    /// Mean of the exponential pause before each request.
    pub think: Duration,
    /// A new connection for each request.
    pub new_connections: bool,
    /// Receive buffer, or as the kernel makes it.
    pub receive_buffer: Option<usize>,
    /// The next request of a client.
    pub ask: fn(&mut Random) -> Ask,
}

/// What became of a request, as its client saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The last segment of the reply came.
    Answered(u64),
    /// The client left.
    Left(u64),
    /// It waits still.
    Open,
}

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When its first segment left.
    pub left: Left,
    /// What became of it.
    pub end: End,
}

/// All requests of a run.
#[derive(Debug, Default)]
pub struct Outcome {
    /// In no particular order.
    pub seen: Vec<Seen>,
    /// Requests of which the kernel did not give both stamps.
    pub unstamped: u64,
    /// Connections on which a reply is waited for still.
    pub kept: Vec<TcpStream>,
}

/// Sends so many requests in all.
pub fn run(target: SocketAddr, crowd: &Crowd, requests: u64) -> Result<Outcome> {
    let clients = crowd.clients.max(1) as u64;
    let outcomes = thread::scope(|scope| {
        let share = |index| requests / clients + u64::from(index < requests % clients);
        let spawn = |index| scope.spawn(move || Client::new(target, crowd, index).run(share(index)));
        let running: Vec<_> = (0..clients).map(spawn).collect();
        let join = |client: thread::ScopedJoinHandle<'_, Result<Outcome>>| {
            client.join().map_err(|_| anyhow!("a client panicked")).flatten()
        };
        // All of them end before an error is told.
        running.into_iter().map(join).collect::<Vec<_>>()
    });
    let mut all = Outcome::default();
    for outcome in outcomes {
        let Outcome { seen, unstamped, kept } = outcome?;
        all.seen.extend(seen);
        all.unstamped += unstamped;
        all.kept.extend(kept);
    }
    Ok(all)
}

struct Client<'a> {
    target: SocketAddr,
    crowd: &'a Crowd,
    random: Random,
    connection: Option<Stamped>,
    outcome: Outcome,
}

impl<'a> Client<'a> {
    fn new(target: SocketAddr, crowd: &'a Crowd, index: u64) -> Self {
        Self { target, crowd, random: Random::new(index + 1), connection: None, outcome: Outcome::default() }
    }

    fn run(mut self, requests: u64) -> Result<Outcome> {
        clock::no_timer_slack();
        for id in 1..=requests {
            clock::sleep((self.crowd.think.as_nanos() as f64 * self.random.exponential()) as u64);
            let ask = (self.crowd.ask)(&mut self.random);
            let connection = match self.connection.take() {
                Some(connection) => connection,
                None => self.connect()?,
            };
            self.ask(connection, id, &ask).with_context(|| format!("{}: request {id}", ask.script))?;
        }
        Ok(self.outcome)
    }

    fn connect(&self) -> Result<Stamped> {
        let stream = connect(self.target, self.crowd.receive_buffer).context("connect")?;
        stream.set_nodelay(true)?;
        Stamped::new(stream).context("ask for stamps")
    }

    /// One request; the connection is kept for the next one where it can be used again.
    fn ask(&mut self, mut connection: Stamped, id: u64, ask: &Ask) -> Result<()> {
        let request = frame::encode(id, ask.script.as_bytes());
        let mut parts = request.chunks(request.len().div_ceil(ask.parts.max(1)));
        connection.send_first(parts.next().unwrap_or_default())?;
        for part in parts {
            thread::sleep(ask.pause);
            connection.send(part)?;
        }
        let came = match ask.patience {
            Patience::Keeps => None,
            patience => {
                let limit = if let Patience::Leaves(limit) = patience { Some(limit) } else { None };
                connection.stream().set_read_timeout(limit)?;
                receive(&mut connection, id, ask.reading)?
            }
        };
        let left = connection.left()?;
        let end = match (came, ask.patience) {
            (Some(came), _) => came.map(End::Answered),
            (None, Patience::Keeps) => Some(End::Open),
            (None, _) => {
                SockRef::from(connection.stream()).set_linger(Some(Duration::ZERO))?;
                Some(End::Left(clock::realtime_now()))
            }
        };
        match (left, end) {
            (Some(left), Some(end)) => self.outcome.seen.push(Seen { left, end }),
            _ => self.outcome.unstamped += 1,
        }
        match end {
            Some(End::Open) => self.outcome.kept.push(connection.into_stream()),
            Some(End::Left(_)) => drop(connection),
            _ if self.crowd.new_connections => drop(connection),
            _ => self.connection = Some(connection),
        }
        Ok(())
    }
}

/// Reads one reply: the stamp of its last segment, if the kernel gave one; `None` where the time was up before.
fn receive(connection: &mut Stamped, id: u64, reading: Reading) -> Result<Option<Option<u64>>> {
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; reading.bytes]);
    loop {
        let stamp = match connection.receive(&mut buffer) {
            Ok((0, _)) => bail!("the server closed the connection"),
            Ok((count, stamp)) => {
                bytes.extend_from_slice(&buffer[..count]);
                stamp
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if let Some((got, _, used)) = frame::decode(&bytes)? {
            ensure!((got, used) == (id, bytes.len()), "a reply to request {got}, {used} of {} bytes", bytes.len());
            return Ok(Some(stamp));
        }
        thread::sleep(reading.pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::truth::log::Shared;
    use crate::truth::server::{BACKLOG, Mode, Options, listen, serve};

    const MS: u64 = 1_000_000;

    /// Runs so many requests, and gives for each how long its client waited.
    fn waits(crowd: Crowd, requests: u64) -> Vec<(u64, End)> {
        let listener = listen(0, BACKLOG).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || serve(&listener, Mode::Threads, 1, Options::default(), &Shared::default()));
        // The kernel begins to stamp a moment after it is asked to.
        thread::sleep(Duration::from_millis(200));
        let Outcome { seen, unstamped, kept } = run(address, &crowd, requests).unwrap();
        assert_eq!((seen.len() as u64, unstamped), (requests, 0));
        assert_eq!(kept.len(), seen.iter().filter(|seen| seen.end == End::Open).count());
        let wait = |Seen { left, end }: &Seen| match end {
            End::Answered(ns) | End::Left(ns) => (ns - left.first_ns, *end),
            End::Open => (0, *end),
        };
        seen.iter().map(wait).collect()
    }

    fn crowd(ask: fn(&mut Random) -> Ask) -> Crowd {
        Crowd { clients: 2, think: Duration::from_millis(1), new_connections: false, receive_buffer: None, ask }
    }

    #[test]
    fn a_pause_of_the_server_or_the_client_is_seen() {
        let asks: [fn(&mut Random) -> Ask; 3] = [
            |_| Ask::plain("sleep:8000".into()),
            |_| Ask::plain("spin:1;reply:3,100,4000".into()),
            |_| Ask { parts: 3, pause: Duration::from_millis(4), ..Ask::plain("spin:1".into()) },
        ];
        for ask in asks {
            for (wait, end) in waits(crowd(ask), 6) {
                assert!((8 * MS..100 * MS).contains(&wait) && matches!(end, End::Answered(_)), "{wait} {end:?}");
            }
        }
    }

    #[test]
    fn who_reads_slowly_or_with_nagle_waits() {
        let slow = crowd(|_| {
            let reading = Reading { bytes: 4 << 10, pause: Duration::from_millis(1) };
            Ask { reading, ..Ask::plain("spin:1;reply:1,100000,0".into()) }
        });
        assert!(waits(Crowd { receive_buffer: Some(8 << 10), ..slow }, 4).iter().all(|(wait, _)| *wait > 5 * MS));
        let nagle = waits(crowd(|_| Ask::plain("spin:1;reply:2,100,0,nagle".into())), 20);
        assert!(nagle.iter().any(|(wait, _)| *wait > 30 * MS), "{nagle:?}");
    }

    #[test]
    fn who_leaves_or_waits_for_ever_has_no_reply() {
        let leaves = crowd(|_| Ask {
            patience: Patience::Leaves(Duration::from_millis(20)),
            ..Ask::plain("sleep:100000".into())
        });
        for (wait, end) in waits(leaves, 4) {
            assert!((20 * MS..90 * MS).contains(&wait) && matches!(end, End::Left(_)), "{wait} {end:?}");
        }
        let keeps = crowd(|_| Ask { patience: Patience::Keeps, ..Ask::plain("sleep:100000".into()) });
        assert!(waits(keeps, 4).iter().all(|(_, end)| *end == End::Open));
    }
}
