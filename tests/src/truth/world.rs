//! What all threads of a truth server share: options, locks by name, peers, the log.
//!
//! In: options. Out: scripts made ready to run, with their locks and peers found.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::log::{MAX_PEERS, Shared};
use super::script::{self, Item, Pieces};
use super::{Distribution, Work};

/// A pause that stops the event loop, or the thread that accepts connections, now and then.
#[derive(Clone, Copy, Debug)]
pub struct Stall {
    /// Length of a pause.
    pub length_ns: u64,
    /// From the start of one pause to the start of the next.
    pub every_ns: u64,
}

impl FromStr for Stall {
    type Err = String;

    /// `LENGTH_MS,EVERY_MS`.
    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Option<Vec<u64>> = text.split(',').map(|number| number.parse().ok()).collect();
        match numbers.as_deref() {
            Some([length, every]) if (1..60_000).contains(every) && length < every => {
                Ok(Self { length_ns: length * 1_000_000, every_ns: every * 1_000_000 })
            }
            _ => Err(format!("{text}: want LENGTH_MS,EVERY_MS")),
        }
    }
}

/// What to serve.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes of a fixed-size request and of its reply.
    pub message: usize,
    /// How drawn service times are spent.
    pub work: Work,
    /// How long they are.
    pub distribution: Distribution,
    /// Pauses of the event loop, or of the thread that accepts.
    pub stall: Option<Stall>,
    /// Script of requests that bring none.
    pub script: String,
    /// Name and address of the servers that a script can call.
    pub peers: Vec<(String, SocketAddr)>,
    /// Whether a script can say how the reply is sent.
    pub in_pieces: bool,
    /// How long a fault lasts.
    pub fault_ns: u64,
    /// Where the files are whose disk is waited for.
    pub directory: PathBuf,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            message: 64,
            work: Work::Sleep,
            distribution: Distribution::Constant(0),
            stall: None,
            script: String::new(),
            peers: Vec::new(),
            in_pieces: false,
            fault_ns: 1_000_000,
            directory: std::env::temp_dir(),
        }
    }
}

/// An item that is ready to run.
pub enum Step {
    Spin(u64),
    Sleep(u64),
    Block(u64),
    Work,
    Lock(Arc<Mutex<()>>, Steps),
    Stop(u64),
    Fsync(u64),
    Odirect(u64),
    Allocate(u64),
    Fault(u64),
    Call(usize, Arc<[u8]>),
    Parallel(Vec<Steps>),
    Reply(Pieces),
}

/// A script that is ready to run.
pub type Steps = Arc<[Step]>;

/// Shared by all threads.
pub struct World {
    pub options: Options,
    pub log: Shared,
    /// Held for writing while the world is stopped.
    pub stopped: RwLock<()>,
    locks: Mutex<HashMap<String, Arc<Mutex<()>>>>,
}

impl World {
    pub fn new(options: Options, log: Shared) -> io::Result<Arc<Self>> {
        let wrong = |what: String| io::Error::new(ErrorKind::InvalidInput, what);
        if options.peers.len() > MAX_PEERS {
            return Err(wrong(format!("{} peers, at most {MAX_PEERS}", options.peers.len())));
        }
        let world = Self { options, log, stopped: RwLock::default(), locks: Mutex::default() };
        world.compile(world.options.script.as_bytes())?;
        Ok(Arc::new(world))
    }

    /// Makes a script ready to run; an empty one is the server's own.
    pub fn compile(&self, text: &[u8]) -> io::Result<Steps> {
        let wrong = |what: String| io::Error::new(ErrorKind::InvalidInput, what);
        let text = if text.is_empty() { self.options.script.as_bytes() } else { text };
        let text = std::str::from_utf8(text).map_err(|error| wrong(error.to_string()))?;
        let items = script::parse(text).map_err(|error| wrong(error.to_string()))?;
        self.steps(&items).map_err(wrong)
    }

    fn steps(&self, items: &[Item]) -> Result<Steps, String> {
        items.iter().map(|item| self.step(item)).collect()
    }

    fn step(&self, item: &Item) -> Result<Step, String> {
        Ok(match item {
            Item::Spin(ns) => Step::Spin(*ns),
            Item::Sleep(ns) => Step::Sleep(*ns),
            Item::Block(ns) => Step::Block(*ns),
            Item::Work => Step::Work,
            Item::Lock(name, items) => Step::Lock(self.lock(name), self.steps(items)?),
            Item::Stop(ns) => Step::Stop(*ns),
            Item::Fsync(times) => Step::Fsync(*times),
            Item::Odirect(times) => Step::Odirect(*times),
            Item::Allocate(kib) => Step::Allocate(*kib),
            Item::Fault(times) => Step::Fault(*times),
            Item::Call(name, text) => {
                let index = self.options.peers.iter().position(|(peer, _)| peer == name);
                let index = index.ok_or_else(|| format!("call:{name}: no such peer; name it with --peer"))?;
                Step::Call(index, text.as_bytes().into())
            }
            Item::Parallel(branches) => {
                Step::Parallel(branches.iter().map(|items| self.steps(items)).collect::<Result<_, _>>()?)
            }
            Item::Reply(_) if !self.options.in_pieces => return Err("reply: only with --mode threads".to_owned()),
            Item::Reply(pieces) => Step::Reply(*pieces),
        })
    }

    fn lock(&self, name: &str) -> Arc<Mutex<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(locks.entry(name.to_owned()).or_default())
    }
}
