//! The agent's side of exporting: reads the ring for the process that exports, and connects for it.
//!
//! In: the ring, questions of that process. Out: pieces of what was recorded, connections, and a file that says how far the collector has
//! got, so that an agent that is started anew goes on there. All of it is on a thread of its own, which holds the recording up in
//! nothing: it reads what others have written.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

use super::super::progress::Progress;
use super::super::wire::{self, News};
use super::endpoint::Endpoint;
use super::handed;
use super::talk::{Ask, Feed, MAX_ASK};
use crate::engine::host::unix_ns;
use crate::output;
use crate::snapshot::Context;
use crate::store::{Follower, Next, Piece, Position};

/// A piece is at least so long, unless it is the last.
const PIECE_NS: u64 = 10_000_000_000;
const CONNECTS_WITHIN: Duration = Duration::from_secs(5);
/// Of the addresses that a name stands for, so many are tried.
const MAX_ADDRESSES: usize = 4;
/// How far the collector has got is in this file of the ring's directory.
const POSITION: &str = "otlp.position";
/// Lines that are said for the other process in such a time.
const MAX_NOTES: u32 = 10;
const NOTES_WITHIN: Duration = Duration::from_secs(60);
/// Who looks into the ring after an error looks again after this.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// What the recording tells the thread.
#[derive(Clone, Debug, Default)]
pub struct Kept(Arc<(Mutex<State>, Condvar)>);

#[derive(Debug, Default)]
struct State {
    /// Recorded time that went into the ring.
    kept_ns: u64,
    is_ending: bool,
    /// Whether all was passed on, or nobody is left to pass it on.
    is_done: bool,
}

impl Kept {
    /// An interval is in the ring.
    pub fn add(&self, len_ns: u64) {
        self.change(|state| state.kept_ns += len_ns);
    }

    /// Nothing more comes. Waits a little for the collector to take the rest; what it does not take it gets from the next agent.
    pub fn end(&self, within: Duration) {
        self.change(|state| state.is_ending = true);
        let (state, changed) = &*self.0;
        let state = state.lock().unwrap_or_else(PoisonError::into_inner);
        drop(changed.wait_timeout_while(state, within, |state| !state.is_done));
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.0.1.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until so much has been kept, or it ends, or a while is over.
    fn wait(&self, kept_ns: u64, at_most: Duration) {
        let state = self.state();
        drop(self.0.1.wait_timeout_while(state, at_most, |state| state.kept_ns < kept_ns && !state.is_ending));
    }
}

/// Answers the process that exports.
pub struct Feeder {
    stream: UnixStream,
    endpoint: Endpoint,
    follower: Follower,
    position: Position,
    /// The position behind what was given last.
    given: Option<Position>,
    file: PathBuf,
    context: Option<Context>,
    /// Since when so many lines were said for the other process.
    notes: Option<(Instant, u32)>,
    kept: Kept,
    progress: Progress,
    teller: Option<SyncSender<News>>,
}

impl Feeder {
    /// Goes on where the collector has got to, or begins with what is recorded from now on.
    ///
    /// # Errors
    /// When the ring cannot be read.
    pub fn new(stream: UnixStream, endpoint: Endpoint, ring: &Path) -> io::Result<Self> {
        let file = ring.join(POSITION);
        let known = fs::read(&file).ok().and_then(|bytes| serde_json::from_slice::<Position>(&bytes).ok());
        let (follower, mut position) = Follower::new(ring, known)?;
        if position.unix_end_ns == 0 {
            position.unix_end_ns = unix_ns();
        }
        // An agent that is started anew before the collector has taken anything begins there too.
        drop(save(&file, &position));
        let (kept, progress) = (Kept::default(), Progress::default());
        Ok(Self {
            stream,
            endpoint,
            follower,
            position,
            given: None,
            file,
            context: None,
            notes: None,
            kept,
            progress,
            teller: None,
        })
    }

    /// Starts the thread. Who shows metrics is told how far the collector has got.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(mut self, teller: Option<SyncSender<News>>) -> io::Result<Kept> {
        self.teller = teller;
        self.tell();
        let kept = self.kept.clone();
        Builder::new().name("acgs-export".into()).stack_size(512 << 10).spawn(move || {
            let kept = self.kept.clone();
            // The other process is gone, as at the end of the agent.
            if self.answer().is_err() && !kept.state().is_ending {
                output::note(
                    "the process that exports is gone: nothing is exported any more, and the recording goes on",
                );
            }
            kept.change(|state| state.is_done = true);
        })?;
        Ok(kept)
    }

    fn answer(&mut self) -> io::Result<()> {
        loop {
            match wire::receive::<Ask>(&self.stream, MAX_ASK)? {
                Ask::Connection(counts) => {
                    self.progress.counts = counts;
                    self.progress.behind_ns = unix_ns().saturating_sub(self.position.unix_end_ns);
                    self.tell();
                    self.connect()?;
                }
                Ask::Note(text) => self.note(&text),
                Ask::Next(counts) => {
                    self.progress.counts = counts;
                    if let Some(given) = self.given.take() {
                        self.position = given;
                        // If it cannot be written, an agent that is started anew sends some of it again.
                        drop(save(&self.file, &self.position));
                    }
                    let piece = self.next();
                    self.give(piece)?;
                }
            }
        }
    }

    /// Says what the other process would say, but not without end.
    fn note(&mut self, text: &str) {
        let (since, count) = self.notes.get_or_insert_with(|| (Instant::now(), 0));
        if since.elapsed() > NOTES_WITHIN {
            (*since, *count) = (Instant::now(), 0);
        }
        *count += 1;
        if *count <= MAX_NOTES {
            output::note(&format!("--otlp {}: {text}", self.endpoint.authority()));
        }
    }

    fn connect(&mut self) -> io::Result<()> {
        match connection(&self.endpoint) {
            Ok(connection) => {
                self.progress.connections += 1;
                handed::hand_over(&self.stream, &connection)
            }
            Err(error) => {
                handed::hand_nothing(&self.stream)?;
                let why = error.to_string();
                let mut bytes = (why.len() as u32).to_le_bytes().to_vec();
                bytes.extend(why.as_bytes());
                (&self.stream).write_all(&bytes)
            }
        }
    }

    /// Waits for the next piece.
    fn next(&mut self) -> Piece {
        loop {
            let (kept_ns, is_ending) = {
                let state = self.kept.state();
                (state.kept_ns, state.is_ending)
            };
            let missing_ns = match self.follower.next(&self.position, PIECE_NS, is_ending) {
                Ok(Next::Piece(piece)) if piece.interval.len_ns == 0 => {
                    // It was removed while we looked.
                    self.progress.lost_ns += piece.lost_ns;
                    self.position = piece.behind;
                    continue;
                }
                Ok(Next::Piece(piece)) => return *piece,
                Ok(Next::Missing(missing_ns)) => missing_ns,
                // A disk that gives nothing now.
                Err(_) => PIECE_NS,
            };
            self.progress.behind_ns = PIECE_NS.saturating_sub(missing_ns);
            self.tell();
            if is_ending {
                self.kept.change(|state| state.is_done = true);
                // The end of the agent ends this thread.
                std::thread::sleep(AGAIN_AFTER);
                continue;
            }
            self.kept.wait(kept_ns + missing_ns, AGAIN_AFTER.max(Duration::from_nanos(missing_ns)));
        }
    }

    fn give(&mut self, piece: Piece) -> io::Result<()> {
        let Piece { interval, run, context, behind, lost_ns, repeated_ns } = piece;
        self.progress.lost_ns += lost_ns;
        self.progress.repeated_ns += repeated_ns;
        self.progress.behind_ns = unix_ns().saturating_sub(behind.unix_end_ns).saturating_add(interval.len_ns);
        self.tell();
        let is_known = self.context.as_ref() == Some(&context);
        let told = (!is_known).then(|| Box::new(context.clone()));
        self.context = Some(context);
        let feed = Feed { run, context: told, interval: Box::new(interval), unix_end_ns: behind.unix_end_ns };
        self.given = Some(behind);
        wire::send(&self.stream, &feed)
    }

    fn tell(&self) {
        if let Some(teller) = &self.teller {
            // If there is no room, what comes next says it too.
            drop(teller.try_send(News::Export(Box::new(self.progress))));
        }
    }
}

/// A connection to the collector. Its name is looked up each time, because it may have moved.
fn connection(endpoint: &Endpoint) -> io::Result<TcpStream> {
    let addresses: Vec<SocketAddr> =
        (endpoint.host.as_str(), endpoint.port).to_socket_addrs()?.take(MAX_ADDRESSES).collect();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name stands for no address");
    let until = Instant::now() + CONNECTS_WITHIN;
    for address in addresses {
        let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(500));
        match TcpStream::connect_timeout(&address, left) {
            Ok(connection) => {
                connection.set_nodelay(true)?;
                connection.set_nonblocking(true)?;
                return Ok(connection);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Writes a position, all or nothing.
fn save(path: &Path, position: &Position) -> io::Result<()> {
    let new = path.with_extension("position.new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&new)?;
    file.write_all(&serde_json::to_vec(position)?)?;
    fs::rename(new, path)
}
