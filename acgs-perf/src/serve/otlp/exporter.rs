//! The process that exports: forked before the agent attaches anything, and confined before it reads a byte of the collector's.
//!
//! In: pieces of what was recorded, one at a time, which it asks the agent for. Out: messages at the collector, each sent until it is taken
//! or refused. It holds one piece; the others wait in the ring.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use hyper::body::Bytes;
use hyper::header::HeaderValue;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream as Stream;
use tokio::runtime::Builder;
use tokio::time::sleep;

use super::super::child::{self, READY};
use super::super::confine::{self, Way};
use super::super::http::block_on;
use super::super::progress::Counts;
use super::super::{tls, wire};
use super::deliver::{Line, Manner, Outcome, Signal};
use super::delta::Owed;
use super::endpoint::Endpoint;
use super::handed;
use super::metrics::{self, Time};
use super::spans;
use super::talk::{Ask, Feed, MAX_FEED};
use crate::snapshot::Context;

/// The pause after the first try that failed; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A message on which the collector fails so often is refused.
const FAILS: u32 = 6;
const MAX_WHY: usize = 1 << 10;
/// Characters of a note; the agent takes a little more.
const MAX_NOTE: usize = 500;

/// What it is to know.
#[derive(Clone)]
pub struct Config {
    /// Where the collector is.
    pub endpoint: Endpoint,
    /// Whom to believe, in PEM, if it speaks TLS.
    pub authorities: Vec<u8>,
    /// What it is to be told of who we are.
    pub token: Option<String>,
}

impl Config {
    fn manner(&self) -> anyhow::Result<Manner> {
        let endpoint = self.endpoint.clone();
        let tls = endpoint.is_tls.then(|| tls::client(&self.authorities, Manner::protocol(&endpoint))).transpose()?;
        let authorization =
            self.token.as_ref().map(|token| HeaderValue::from_str(&format!("Bearer {token}"))).transpose()?;
        Ok(Manner { endpoint, tls, authorization })
    }
}

/// Forks the process; gives the way to it. It is ready when this returns.
///
/// # Errors
/// When it cannot be started or confined, or what it is to know is wrong.
pub fn fork(config: &Config) -> anyhow::Result<UnixStream> {
    let manner = config.manner()?;
    Ok(child::fork("--otlp", move |agent| run(agent, manner))?)
}

fn run(agent: UnixStream, manner: Manner) -> io::Result<()> {
    confine::drop_privileges(&[agent.as_raw_fd()])?;
    agent.set_nonblocking(true)?;
    let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
    let agent = {
        let _inside = runtime.enter();
        Stream::from_std(agent)?
    };
    confine::confine(Way::IsHanded)?;
    let mut result = Ok(());
    block_on(&runtime, async { result = Exporter::new(agent, manner).export().await });
    result
}

struct Exporter {
    agent: Stream,
    manner: Manner,
    line: Option<Line>,
    counts: Counts,
    owed: Owed,
    context: Context,
    /// Run, end on its clock and by the time of day, of the piece before.
    before: (String, u64, u64),
    /// Whether the collector takes nothing now, which was said.
    is_away: bool,
    /// Whether it was said that it refuses something.
    has_refused: bool,
}

impl Exporter {
    fn new(agent: Stream, manner: Manner) -> Self {
        Self {
            agent,
            manner,
            line: None,
            counts: Counts::default(),
            owed: Owed::default(),
            context: Context::default(),
            before: <(String, u64, u64)>::default(),
            is_away: false,
            has_refused: false,
        }
    }

    /// Exports for ever, or until the agent is gone.
    async fn export(mut self) -> io::Result<()> {
        self.agent.write_all(&[READY]).await?;
        loop {
            self.ask(Ask::Next(self.counts)).await?;
            let feed: Feed = wire::decode(&self.answer(MAX_FEED).await?)?;
            self.pass_on(feed).await?;
            self.counts.pieces += 1;
        }
    }

    async fn ask(&mut self, ask: Ask) -> io::Result<()> {
        self.agent.write_all(&wire::encode(&ask)?).await
    }

    async fn answer(&mut self, max: usize) -> io::Result<Vec<u8>> {
        let mut len = [0; 4];
        self.agent.read_exact(&mut len).await?;
        let mut bytes = vec![0; wire::length(len, max)?];
        self.agent.read_exact(&mut bytes).await?;
        Ok(bytes)
    }

    async fn pass_on(&mut self, feed: Feed) -> io::Result<()> {
        let Feed { run, context, interval, unix_end_ns } = feed;
        if let Some(context) = context {
            self.context = *context;
        }
        // Where one ends the next begins, also if the time of day was set a little meanwhile.
        let (before, end_ns, before_unix_ns) = &self.before;
        let follows = *before == run && *end_ns == interval.start_ns && *before_unix_ns < unix_end_ns;
        let start_ns = if follows { *before_unix_ns } else { unix_end_ns.saturating_sub(interval.len_ns) };
        self.before = (run.clone(), interval.end_ns(), unix_end_ns);
        let spans = spans::of(&run, &self.context, &interval, unix_end_ns);
        let time = Time { start_ns, end_ns: unix_end_ns };
        let (message, points) = metrics::message(&self.context, &interval, time, &mut self.owed, &spans);
        self.deliver(Signal::Metrics, message.0.into(), points).await?;
        let (message, count) = spans::message(&self.context, &spans);
        if count > 0 {
            self.deliver(Signal::Traces, message.0.into(), count).await?;
        }
        Ok(())
    }

    /// Sends a message until it is taken or refused.
    async fn deliver(&mut self, signal: Signal, message: Bytes, parts: u64) -> io::Result<()> {
        let (mut pause, mut fails, mut tries) = (FIRST_PAUSE, 0, 0);
        loop {
            let outcome = match self.line().await? {
                Ok(mut line) => {
                    let outcome = self.manner.deliver(&mut line, signal, &message).await;
                    // A line on which no answer came may still bring it.
                    self.line = Some(line).filter(|_| !matches!(outcome, Outcome::NotNow(..) | Outcome::Fails(_)));
                    outcome
                }
                Err(why) => Outcome::NotNow(why, None),
            };
            let (why, patience) = match outcome {
                Outcome::Taken { rejected, why } => {
                    let taken = parts.saturating_sub(rejected);
                    self.counts.messages += 1;
                    *(if signal == Signal::Metrics { &mut self.counts.points } else { &mut self.counts.spans }) +=
                        taken;
                    self.is_back().await?;
                    if rejected > 0 {
                        self.refuse(parts - taken, &why).await?;
                    }
                    return Ok(());
                }
                Outcome::Refused(why) => {
                    self.refuse(parts, &why).await?;
                    return Ok(());
                }
                Outcome::Fails(why) => {
                    fails += 1;
                    if fails >= FAILS {
                        self.refuse(parts, &why).await?;
                        return Ok(());
                    }
                    (why, None)
                }
                Outcome::NotNow(why, patience) => (why, patience),
            };
            self.counts.retries += 1;
            tries += 1;
            // The first may be a line that was closed because it was idle.
            if tries > 1 {
                self.is_gone(&why).await?;
            }
            sleep(patience.unwrap_or_else(|| about(pause))).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// The line that stands, or a new one on a connection of the agent's.
    async fn line(&mut self) -> io::Result<Result<Line, String>> {
        if let Some(line) = self.line.take().filter(|line| !line.is_closed()) {
            return Ok(Ok(line));
        }
        self.ask(Ask::Connection(self.counts)).await?;
        Ok(match handed::take(&self.agent).await? {
            Some(connection) => self.manner.open(connection).await,
            None => Err(String::from_utf8_lossy(&self.answer(MAX_WHY).await?).into_owned()),
        })
    }

    async fn is_gone(&mut self, why: &str) -> io::Result<()> {
        if self.is_away {
            return Ok(());
        }
        self.is_away = true;
        self.note(format!("{why}; what was recorded stays in the ring, and is sent when it can be")).await
    }

    async fn is_back(&mut self) -> io::Result<()> {
        if !self.is_away {
            return Ok(());
        }
        self.is_away = false;
        self.note("takes what was recorded again".to_owned()).await
    }

    async fn refuse(&mut self, parts: u64, why: &str) -> io::Result<()> {
        self.counts.rejected += parts;
        if self.has_refused {
            return Ok(());
        }
        self.has_refused = true;
        let later = "later ones are counted in acgs_perf_otlp_rejected_total";
        self.note(format!("has refused {parts} points or spans: {why}; {later}")).await
    }

    /// Has the agent say it: standard error may be a file, which is not to be written here.
    async fn note(&mut self, text: String) -> io::Result<()> {
        self.ask(Ask::Note(text.chars().take(MAX_NOTE).collect())).await
    }
}

/// About so long: agents of many hosts should not all come back at once.
fn about(pause: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish();
    pause.mul_f64(0.75 + (random % 1_000) as f64 / 2_000.0)
}
