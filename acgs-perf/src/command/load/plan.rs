//! Everything that can be wrong about a load, checked before anything is sent; and the load itself.
//!
//! In: the arguments. Out: a [`Plan`] that can be carried out, or one line that says what, where and what to do; then a run.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use acgs_perf_load::{Arrivals, Bounds, Client, LoadError, Outcome, Schedule, Segment, Spacing, Target, limits};
use anyhow::{Context as _, bail};

use super::shape::{self, Range};
use super::threshold::Threshold;
use super::url::{Scheme, Url};
use super::{Args, result, signals, target};
use crate::command::record::parse_time;
use crate::snapshot::client::{ClientRun, ClientSlice};

/// Without `--rate`: more than an objective asks for, less than hurts.
const DEFAULT_RATE: &str = "200";
/// Without `--duration` and `--requests`.
const DEFAULT_DURATION: Duration = Duration::from_secs(10);
/// A closed loop that ends by its count may take this long.
const MAX_CLOSED: Duration = Duration::from_secs(600);
const MAX_DURATION: Duration = Duration::from_secs(24 * 3600);
const MIN_DURATION: Duration = Duration::from_millis(10);
const MAX_REQUESTS: u64 = 10_000_000_000;
const MAX_CONNECTIONS: usize = 10_000;
/// Descriptors beside those of connections.
const OTHER_FILES: u64 = 64;

/// A load that can be carried out.
pub struct Plan {
    url: Url,
    target: Target,
    client: Client,
    schedule: Schedule,
    segments: Vec<Segment>,
    arrivals: &'static str,
    connections: usize,
    seed: u64,
    requests: u64,
    duration: Duration,
    /// Whether it ends by its time, and not by its count alone.
    ends_by_time: bool,
    timeout: Duration,
    /// What makes it a failed check.
    pub thresholds: Vec<Threshold>,
}

impl Plan {
    /// Checks the arguments, and connects.
    ///
    /// # Errors
    /// If something is wrong, or nobody answers.
    pub fn new(args: &Args) -> anyhow::Result<Self> {
        let url = Url::parse(&args.url)?;
        let thresholds = args.fail_on.iter().map(|list| Threshold::parse_list(list));
        let thresholds = thresholds.collect::<anyhow::Result<Vec<_>>>()?.concat();
        let requests = args.requests.unwrap_or(MAX_REQUESTS);
        if requests == 0 || requests > MAX_REQUESTS {
            bail!("--requests {requests}: want 1 to {MAX_REQUESTS}");
        }
        if args.connections == 0 || args.connections > MAX_CONNECTIONS {
            bail!("--connections {}: want 1 to {MAX_CONNECTIONS}", args.connections);
        }
        let timeout = bounded("--timeout", &args.timeout)?;
        let given = args.duration.as_deref().map(|text| bounded("--duration", text)).transpose()?;
        let (arrivals, segments, duration) = shape(args, given)?;
        let spacing = match arrivals {
            "replay" => Spacing::Counted,
            "poisson" => Spacing::Poisson,
            _ => Spacing::Even,
        };
        let schedule = match arrivals {
            "closed" => Schedule::new(Arrivals::Closed, args.seed),
            _ => Schedule::shaped(spacing, segments.clone(), args.seed),
        };
        let messages = target::messages(&url, args)?;
        let target = target::target(&url, args.unix.as_deref(), args.allow_remote)?;
        let files = limits::raise_open_files().unwrap_or(1024);
        if files < args.connections as u64 + OTHER_FILES {
            bail!("--connections {}: this process may open {files} files; raise `ulimit -n`", args.connections);
        }
        let mut client = Client::to(target.clone(), args.connections, messages)?;
        client.open().map_err(|error| explained(error, &url))?;
        let (connections, seed) = (args.connections, args.seed);
        Ok(Self {
            url,
            target,
            client,
            schedule,
            segments,
            arrivals,
            connections,
            seed,
            requests,
            duration,
            ends_by_time: given.is_some() || args.requests.is_none(),
            timeout,
            thresholds,
        })
    }

    /// Sends, and waits for the replies.
    ///
    /// # Errors
    /// Only if the kernel refuses to wait for connections.
    pub fn carry_out(&mut self) -> anyhow::Result<ClientRun> {
        let stop = signals::catch().context("cannot catch signals")?;
        let bounds = Bounds {
            requests: self.requests,
            // A number that was asked for is sent, also if the last ones are late.
            duration: self.ends_by_time.then_some(self.duration),
            limit: self.duration + self.timeout,
            timeout: Some(self.timeout),
            log: false,
            stop: Some(stop),
        };
        let start_unix_ns = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
        let outcomes = self.client.drive(self.schedule.clone(), &bounds)?;
        let interrupted = signals::ended_by().is_some();
        let first = outcomes.first();
        let [sent_for, elapsed_ns, free_ns] =
            first.map_or([0; 3], |first| [first.sending_ns, first.elapsed_ns, first.free_ns]);
        let slices = self.slices(&outcomes, sent_for);
        Ok(ClientRun {
            url: self.url.to_string(),
            address: self.target.to_string(),
            protocol: self.url.scheme.name().to_owned(),
            arrivals: self.arrivals.to_owned(),
            connections: self.connections as u32,
            seed: self.seed,
            timeout_ns: self.timeout.as_nanos() as u64,
            start_unix_ns,
            duration_ns: slices.iter().map(|slice| slice.duration_ns).sum(),
            elapsed_ns,
            free_ns,
            interrupted,
            first_error: outcomes.iter().find_map(|outcome| first_error(outcome, self.url.scheme)),
            slices,
            service: None,
        })
    }

    /// The slices that were reached before the end, the last one as far as it went.
    fn slices(&self, outcomes: &[Outcome], sent_for_ns: u64) -> Vec<ClientSlice> {
        let mut left = sent_for_ns;
        let mut slices = Vec::new();
        for (at, outcome) in outcomes.iter().enumerate() {
            let segments: Vec<Segment> = self.segments.iter().copied().filter(|segment| segment.slice == at).collect();
            let planned = segments.iter().map(|segment| segment.duration_ns).sum();
            // What came after the last one was due belongs to it.
            let is_last = at + 1 == outcomes.len();
            let duration_ns = if is_last { left } else { left.min(planned) };
            left -= duration_ns;
            if at == 0 || duration_ns > 0 {
                slices.push(result::slice(outcome, &segments, duration_ns, self.url.scheme));
            }
        }
        slices
    }
}

fn first_error(outcome: &Outcome, scheme: Scheme) -> Option<String> {
    outcome.first_error.clone().or_else(|| {
        let status = outcome.statuses.keys().find(|status| **status >= 400)?;
        (scheme == Scheme::Http).then(|| format!("status {status}"))
    })
}

/// The name of the arrivals, the segments, and how long it takes.
fn shape(args: &Args, given: Option<Duration>) -> anyhow::Result<(&'static str, Vec<Segment>, Duration)> {
    if args.closed {
        let default = if args.requests.is_some() { MAX_CLOSED } else { DEFAULT_DURATION };
        return Ok(("closed", Vec::new(), given.unwrap_or(default)));
    }
    let arrivals = match args.arrivals.split_once(':').unwrap_or((&args.arrivals, "")) {
        ("constant", "") => "constant",
        ("poisson", "") => "poisson",
        ("replay", path) if !path.is_empty() => {
            if args.rate.is_some() || args.steps.is_some() {
                bail!("--rate and --steps have no place beside --arrivals replay: the capture has the rates");
            }
            let mut segments = shape::of_capture(Path::new(path), args.service.as_deref())?;
            let whole = Duration::from_nanos(segments.iter().map(|segment| segment.duration_ns).sum());
            let duration = given.unwrap_or(whole).min(whole).min(MAX_DURATION);
            cut(&mut segments, duration);
            return Ok(("replay", segments, duration));
        }
        _ => bail!("--arrivals {}: want constant, poisson or replay:CAPTURE", args.arrivals),
    };
    if let Some(service) = &args.service {
        bail!("--service {service}: only with --arrivals replay:CAPTURE");
    }
    let range = Range::parse(args.rate.as_deref().unwrap_or(DEFAULT_RATE))?;
    let duration = match (given, args.requests) {
        (Some(given), _) => given,
        (None, Some(requests)) => range.time_of(requests),
        (None, None) => DEFAULT_DURATION,
    };
    if duration > MAX_DURATION {
        bail!("--requests: at this rate they take over a day; raise --rate, or give a --duration");
    }
    let duration = duration.max(MIN_DURATION);
    Ok((arrivals, range.segments(args.steps, duration)?, duration))
}

/// Takes away what would come later.
fn cut(segments: &mut Vec<Segment>, duration: Duration) {
    let mut left = duration.as_nanos() as u64;
    for segment in segments.iter_mut() {
        segment.duration_ns = segment.duration_ns.min(left);
        left -= segment.duration_ns;
    }
    segments.retain(|segment| segment.duration_ns > 0);
}

fn bounded(option: &str, text: &str) -> anyhow::Result<Duration> {
    let time = parse_time(option, text)?;
    if !(MIN_DURATION..=MAX_DURATION).contains(&time) {
        bail!("{option} {text}: want 10ms to 24h");
    }
    Ok(time)
}

/// Why nobody answers, with the next step.
fn explained(error: LoadError, url: &Url) -> anyhow::Error {
    let next = match &error {
        LoadError::Connect { source, .. } if source.kind() == std::io::ErrorKind::ConnectionRefused => {
            "; does the server run, and on this port? `acgs-perf services` lists what listens"
        }
        LoadError::Greeting { .. } if url.scheme != Scheme::Http => {
            "; the URL names user, database and password as the server knows them"
        }
        _ => "",
    };
    anyhow::anyhow!("{url}: {error}{next}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_can_be_cut_short() {
        let segment = |duration_ns| Segment { duration_ns, from: 1.0, to: 1.0, slice: 0 };
        let mut segments = vec![segment(5), segment(7), segment(9)];
        cut(&mut segments, Duration::from_nanos(8));
        assert_eq!(segments.iter().map(|segment| segment.duration_ns).collect::<Vec<_>>(), [5, 3]);
    }

    #[test]
    fn times_are_bounded() {
        for text in ["1ms", "25h", "x", "", "0.001"] {
            assert!(bounded("--duration", text).is_err_and(|error| error.to_string().contains("--duration")), "{text}");
        }
        assert_eq!(bounded("--timeout", "250ms").unwrap(), Duration::from_millis(250));
        assert_eq!(bounded("--duration", "10").unwrap(), Duration::from_secs(10), "a number alone is seconds");
    }
}
