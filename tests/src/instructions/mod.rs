//! What `cost-instructions` does in a virtual machine that counts instructions: a fixed number of requests, in eight shapes and a
//! loop of system calls, with what an arm attaches and without.
//!
//! In: the arms. Out: lines of figures on the console, which `cargo xtask bench instructions` reads. In that machine a nanosecond
//! of the monotonic clock is an instruction, so that every figure here is a count, and the same in every run.

pub mod attach;
pub mod drive;
pub mod load;
pub mod many;
pub mod postgres;
pub mod programs;
pub mod serve;

use std::io;

/// What a slow request takes, far more than any other does.
pub const SLOW_NS: u64 = 2_000_000;
/// Between the words of a tool's command line, which have all other marks in them.
pub const UNIT: char = '\u{1f}';

/// What is served, and by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One thread that waits for many connections, as Redis does.
    Redis,
    /// Two workers behind one listener, HTTP with keep-alive, as nginx does.
    Nginx,
    /// The same with the header and the body of each reply sent behind a cork, as nginx does with Debian's configuration.
    Corked,
    /// The same with requests of 1 KiB, as browsers send them to who has given them cookies.
    Large,
    /// One connection; each end sleeps until the other has sent.
    Switch,
    /// The same with a query of PostgreSQL's simple protocol.
    Postgres,
    /// The same by a service that asks another one before it answers.
    Downstream,
    /// The same by a service that nobody records.
    BystanderSwitch,
    /// A cheap system call of a process that nobody records.
    BystanderCalls,
    /// Whom the service asks that asks another one; nobody records it, and no load is its own.
    Peer,
}

/// All that have a load, in the order in which they run.
pub const SHAPES: [Shape; 9] = [
    Shape::Redis,
    Shape::Nginx,
    Shape::Corked,
    Shape::Large,
    Shape::Switch,
    Shape::Postgres,
    Shape::Downstream,
    Shape::BystanderSwitch,
    Shape::BystanderCalls,
];

impl Shape {
    /// Its name in the output; for a service also its name in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Nginx => "nginx",
            Self::Corked => "nginx-corked",
            Self::Large => "nginx-1k",
            Self::Switch => "switch",
            Self::Postgres => "postgres",
            Self::Downstream => "downstream",
            Self::BystanderSwitch => "bystander-switch",
            Self::BystanderCalls => "bystander-calls",
            Self::Peer => "peer",
        }
    }

    /// The shape of this name.
    pub fn named(name: &str) -> Option<Self> {
        SHAPES.into_iter().chain([Self::Peer]).find(|shape| shape.name() == name)
    }

    /// Where its service listens; the loop of system calls has none.
    pub fn port(self) -> Option<u16> {
        match self {
            Self::Redis => Some(5000),
            Self::Nginx => Some(5001),
            Self::Switch => Some(5002),
            Self::BystanderSwitch => Some(5003),
            Self::Corked => Some(5004),
            Self::Large => Some(5005),
            Self::Postgres => Some(5006),
            Self::Downstream => Some(5007),
            Self::Peer => Some(5008),
            Self::BystanderCalls => None,
        }
    }

    /// Whether the agent is told to record it.
    pub fn is_recorded(self) -> bool {
        !matches!(self, Self::BystanderSwitch | Self::BystanderCalls | Self::Peer)
    }
}

/// Takes turns with others of its kind only where one of them sleeps, or its time slice is over: who is woken does not take the
/// CPU away. Otherwise the scheduler's finest sums would decide how many requests a server finds when it looks, and these
/// change with every build. What this process starts does as it always would.
pub fn take_turns() -> io::Result<()> {
    let priority = libc::sched_param { sched_priority: 0 };
    // SAFETY: `priority` is valid; 0 is the calling thread.
    match unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH | libc::SCHED_RESET_ON_FORK, &priority) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
