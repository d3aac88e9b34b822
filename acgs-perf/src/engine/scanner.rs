//! Looks at /proc on a thread of its own.
//!
//! In: what to look at. Out: what was found, later: a scan of a large host takes longer than the engine may stand still.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::discover::{self, Joined, ServiceSpec, Target};
use crate::live::rights;

/// How long the engine waits for an answer that is nearly there.
const PATIENCE: Duration = Duration::from_millis(20);

enum Look {
    Host,
    Processes(Vec<u32>),
}

/// What a look has found.
pub enum Found {
    /// The processes of all services.
    Host(Vec<Target>),
    /// To which services some processes belong.
    Processes(Joined),
}

/// A thread that reads /proc.
pub struct Scanner {
    looks: Sender<Look>,
    found: Receiver<Found>,
    /// Looks without an answer.
    open: usize,
    /// How many of them are at the whole host.
    searches: usize,
}

impl Scanner {
    /// Starts the thread; it ends with this value.
    pub fn new(specs: Vec<ServiceSpec>) -> Self {
        let (looks, to_do) = channel();
        let (answers, found) = channel();
        let started = thread::Builder::new().name("acgs-scan".into()).stack_size(512 << 10).spawn(move || {
            if let Err(error) = rights::keep(rights::LOOK) {
                tracing::warn!("cannot give up capabilities: {error}");
            }
            let root = Path::new("/proc");
            while let Ok(look) = to_do.recv() {
                let answer = match look {
                    Look::Processes(pids) => Found::Processes(discover::resolve_pids(root, &specs, &pids)),
                    Look::Host => Found::Host(discover::resolve(root, &specs).unwrap_or_else(|error| {
                        // A `pid:` that has died is no longer there to be found; the others were entered before.
                        tracing::debug!("search for processes: {error}");
                        Vec::new()
                    })),
                };
                if answers.send(answer).is_err() {
                    break;
                }
            }
        });
        if let Err(error) = started {
            tracing::warn!("processes that start from now on are not found by name: {error}");
        }
        Self { looks, found, open: 0, searches: 0 }
    }

    /// Has all processes of the host looked at. One look that is under way is not enough, because it may have passed whom this one
    /// is for; one more behind it is.
    pub fn look_at_host(&mut self) {
        if self.searches < 2 && self.looks.send(Look::Host).is_ok() {
            self.open += 1;
            self.searches += 1;
        }
    }

    /// Has some processes looked at.
    pub fn look_at(&mut self, pids: Vec<u32>) {
        if !pids.is_empty() && self.looks.send(Look::Processes(pids)).is_ok() {
            self.open += 1;
        }
    }

    /// What was found since the last call, and within a moment.
    pub fn found(&mut self) -> Vec<Found> {
        let until = Instant::now() + PATIENCE;
        let mut all = Vec::new();
        while self.open > 0 {
            let Ok(found) = self.found.recv_timeout(until.saturating_duration_since(Instant::now())) else { break };
            self.open -= 1;
            self.searches -= usize::from(matches!(found, Found::Host(_)));
            all.push(found);
        }
        all
    }
}
