//! An open loop in the background, and afterwards when each of its requests was to be sent and how long it took.
//!
//! In: the command line of a load tool. Out: an [`Answer`] for each request; an error when one failed.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use acgs_perf_load::{clock, log};
use acgs_perf_tests::harness::{end, wait};
use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::load;
use crate::placement::LOAD_CPU;

/// A request that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// When it was to be sent, on the monotonic clock.
    pub intended_ns: u64,
    /// From then until its reply was whole.
    pub latency_ns: u64,
}

/// What an open loop saw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Steady {
    /// Requests.
    pub count: u64,
    /// Per second.
    pub rate: f64,
    /// From the intended moment.
    pub p99_ns: f64,
}

/// How a tool's log is read, and what it printed.
type Read = fn(&Path) -> Result<Vec<Answer>>;

/// Where a tool's standard output goes, and what it complains of, and the log of our own generator.
const OUTPUT: &str = "output";
const ERRORS: &str = "errors";
const LOG: &str = "log";

/// A load under way; ended when dropped.
pub struct OpenLoop {
    child: Child,
    directory: TempDir,
    read: Read,
    limit: Duration,
}

impl OpenLoop {
    /// Begins one with the tests' own generator; `message` is its flags for what is sent.
    pub fn begin(program: &Path, target: &str, message: &[&str], rate: f64, seconds: f64) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let mut command = Command::new(program);
        command.args(["--target", target, "--connections", "32", "--cpu", &LOAD_CPU.to_string()]).args(message);
        command.args(["--rate", &format!("{rate:.0}"), "--duration", &seconds.to_string()]);
        command.args(["--limit", &(seconds + 10.0).to_string(), "--log"]).arg(directory.path().join(LOG));
        Self::start(command, directory, seconds, own_log)
    }

    /// Begins one with pgbench, `command` as far as its server.
    pub fn begin_pgbench(mut command: Command, rate: f64, seconds: f64) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let (rate, length) = (format!("{rate:.0}"), (seconds.ceil() as u32).to_string());
        command.args(["-S", "-n", "-c", "4", "-T", &length, "--rate", &rate, "--log", "--log-prefix"]);
        command.arg(directory.path().join(LOG)).arg("postgres");
        Self::start(command, directory, seconds, pgbench_log)
    }

    fn start(mut command: Command, directory: TempDir, seconds: f64, read: Read) -> Result<Self> {
        let file = |name| File::create(directory.path().join(name));
        command.stdin(Stdio::null()).stdout(file(OUTPUT)?).stderr(file(ERRORS)?);
        let child = command.spawn().with_context(|| format!("start {:?}", command.get_program()))?;
        // To write the log of a long one takes a while.
        Ok(Self { child, directory, read, limit: Duration::from_secs_f64(1.5 * seconds + 30.0) })
    }

    /// Waits for its end.
    pub fn finish(mut self) -> Result<Vec<Answer>> {
        let said = || fs::read_to_string(self.directory.path().join(ERRORS)).unwrap_or_default();
        match wait(&mut self.child, self.limit)? {
            Some(status) if status.success() => (self.read)(self.directory.path()),
            Some(status) => bail!("the load: {status}: {}", said().trim()),
            None => bail!("the load does not end: {}", said().trim()),
        }
    }
}

impl Drop for OpenLoop {
    fn drop(&mut self) {
        end(&mut self.child, libc::SIGKILL);
    }
}

fn own_log(directory: &Path) -> Result<Vec<Answer>> {
    load::check(&fs::read_to_string(directory.join(OUTPUT))?)?;
    let entries = log::read(&directory.join(LOG)).context("the load generator's log")?;
    let answer = |entry: &log::Entry| Answer {
        intended_ns: entry.intended_ns,
        latency_ns: entry.done_ns.saturating_sub(entry.intended_ns),
    };
    Ok(entries.iter().map(answer).collect())
}

fn pgbench_log(directory: &Path) -> Result<Vec<Answer>> {
    load::parse_pgbench(&fs::read_to_string(directory.join(OUTPUT))?)?;
    let wall = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64;
    // What is to be taken from a time of day for the same on the monotonic clock.
    let ahead = wall.saturating_sub(clock::now());
    let mut answers = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&format!("{LOG}."))) {
            let text = fs::read_to_string(&path)?;
            answers.extend(text.lines().map(|line| transaction(line, ahead)).collect::<Result<Vec<_>>>()?);
        }
    }
    Ok(answers)
}

/// A line of pgbench's log: client, number, µs from the scheduled moment, script, and the time of day at the end in s and µs.
fn transaction(line: &str, ahead_ns: u64) -> Result<Answer> {
    let words: Vec<u64> = line.split(' ').map_while(|word| word.parse().ok()).collect();
    let [_, _, latency_us, _, seconds, micros, ..] = words[..] else { bail!("a line of pgbench's log: {line:?}") };
    let latency_ns = latency_us * 1_000;
    let end_ns = seconds * 1_000_000_000 + micros * 1_000;
    Ok(Answer { intended_ns: end_ns.saturating_sub(ahead_ns + latency_ns), latency_ns })
}

/// Count, rate up to the last reply, and P99 of these.
pub fn steady(answers: &[Answer]) -> Result<Steady> {
    let first = answers.iter().map(|answer| answer.intended_ns).min().context("nothing was answered")?;
    let last = answers.iter().map(|answer| answer.intended_ns + answer.latency_ns).max().unwrap_or(first);
    let mut latencies: Vec<u64> = answers.iter().map(|answer| answer.latency_ns).collect();
    let count = latencies.len();
    let rank = (count as f64 * 0.99).ceil() as usize;
    let (_, p99, _) = latencies.select_nth_unstable(rank.saturating_sub(1));
    let seconds = (last - first).max(1) as f64 / 1e9;
    Ok(Steady { count: count as u64, rate: count as f64 / seconds, p99_ns: *p99 as f64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_pgbench_is_a_scheduled_moment_and_a_latency() {
        let answer = transaction("0 17 250 0 1700000000 500 3", 1_699_999_000_000_000_000).unwrap();
        assert_eq!(answer, Answer { intended_ns: 1_000_000_250_000, latency_ns: 250_000 });
        assert!(transaction("0 17 skipped 0 1700000000 500", 0).is_err());
    }

    #[test]
    fn rate_and_p99_are_of_all_answers() {
        let answer = |at: u64| Answer { intended_ns: at * 1_000_000, latency_ns: at };
        let mut answers: Vec<_> = (1..=200).rev().map(answer).collect();
        answers.push(Answer { intended_ns: 100_000_000, latency_ns: 102_000_000 });
        let Steady { count, rate, p99_ns } = steady(&answers).unwrap();
        assert_eq!((count, rate.round(), p99_ns), (201, 1000.0, 199.0));
        assert!(steady(&[]).is_err());
    }
}
