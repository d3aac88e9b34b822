//! Planted causes: services in which one request in a hundred is slow for a reason that is known, and whether the report
//! names that reason.
//!
//! In: the table of causes. Out: per run what the load generator saw, which component the report puts first, which finding, and
//! whether these are the planted ones.

pub mod fault;
pub mod finding;
pub mod inject;
pub mod measure;
pub mod run;
pub mod stack;
pub mod table;
pub mod verdict;

use acgs_perf_common::attribution::Component;

/// One planted cause in one service.
#[derive(Clone, Copy, Debug)]
pub struct Cause {
    /// What is planted.
    pub name: &'static str,
    /// Name of the service in the recording.
    pub service: &'static str,
    /// What serves the load.
    pub server: Server,
    /// What else must run.
    pub peers: &'static [Peer],
    /// Environment of the server.
    pub environment: &'static [(&'static str, &'static str)],
    /// CPU time in ms that the service may use, and the period in ms in which it may use it.
    pub quota: Option<(u32, u32)>,
    /// What is done from outside.
    pub outside: Outside,
    /// The load.
    pub load: Traffic,
    /// The slow requests take at least this long.
    pub planted_ms: u64,
    /// Any of these components is a right answer.
    pub expected: &'static [Component],
    /// The fault whose own measure decides whether the expected component is the right one: the slow requests do it, or wait
    /// in the queue until it is done. None where they wait for a lock, a pool or a peer, whatever its holder does.
    pub measured: Option<&'static str>,
    /// The downstream peer that must come first.
    pub peer: Option<Peer>,
    /// The calls of a slow request follow one another.
    pub one_call: bool,
    /// The service that is recorded, where it is not the server itself.
    pub recorded: Option<Peer>,
}

/// Programs that serve the load.
#[derive(Clone, Copy, Debug)]
pub enum Server {
    /// FastAPI on uvicorn with this event loop.
    Uvicorn(&'static str),
    /// gunicorn: class, workers, threads.
    Gunicorn(&'static str, u32, u32),
    /// The cause server of these tests.
    CauseServer,
    /// Node's `http` module.
    Node,
    /// nginx as a proxy in front of the backend.
    Nginx,
}

/// What a server calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// The cause server of these tests.
    Backend,
    /// Redis.
    Redis,
    /// PostgreSQL.
    Postgres,
}

/// What is done from outside while the load runs. All times in ms.
#[derive(Clone, Copy, Debug)]
pub enum Outside {
    /// Nothing.
    Nothing,
    /// The service stays on one CPU, which is taken away from it for `busy` after each `every`.
    Hog {
        /// Length.
        busy: u64,
        /// Pause between two.
        every: u64,
    },
    /// `count` requests of `path` at once after each `every`.
    Burst {
        /// What is asked for.
        path: &'static str,
        /// How many times.
        count: usize,
        /// Pause between two.
        every: u64,
    },
}

/// Poisson arrivals that do not wait for the service.
#[derive(Clone, Copy, Debug)]
pub struct Traffic {
    /// Requests per second.
    pub rate: u32,
    /// Seconds.
    pub seconds: u32,
    /// Connections; with a connection per request, how many at a time.
    pub connections: u32,
    /// A connection for each request.
    pub new_connections: bool,
    /// What most requests ask for.
    pub path: &'static str,
    /// What the slow ones ask for, and their share.
    pub slow: Option<(&'static str, f64)>,
}

impl Outside {
    /// What is asked for from outside.
    pub fn path(&self) -> Option<&'static str> {
        match self {
            Self::Burst { path, .. } => Some(path),
            Self::Nothing | Self::Hog { .. } => None,
        }
    }
}

impl Cause {
    /// `NAME/SERVICE`.
    pub fn title(&self) -> String {
        format!("{}/{}", self.name, self.service)
    }
}
