//! One run of a planted cause, and the table of all runs.
//!
//! In: a cause. Out: what the load generator saw, the report, the verdict; a Markdown table.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::Cause;
use super::finding::{self, First};
use super::measure::Decision;
use super::stack::Stack;
use super::verdict::{Expected, Verdict, judge};
use crate::harness::{program, run};
use crate::recording::Recorder;
use crate::report::Report;

/// What one run gave.
pub struct Run {
    /// The report.
    pub report: Report,
    /// What the load generator saw, as JSON.
    pub seen: Value,
    /// What to look for in the report.
    pub expected: Expected,
    /// What the plant's own measure says against the table's expectation; it decided what is looked for.
    pub contradiction: Option<String>,
}

/// Latencies from the report, for the table.
#[derive(Clone, Copy, Debug)]
pub struct Latency {
    p50_ns: u64,
    p99_ns: u64,
    max_ns: u64,
}

impl Run {
    /// What the report names; an error where it names nothing.
    pub fn verdict(&self, cause: &Cause) -> Result<Verdict> {
        judge(self.report.service(cause.service), &self.expected).map_err(|error| anyhow::anyhow!(error))
    }

    /// What the first finding names.
    pub fn first(&self, cause: &Cause) -> First {
        finding::judge(&self.report.0, cause.service, &finding::right(cause.name, &self.expected.components))
    }

    /// Whether the cause was there to be found, and the report names it; what is wrong otherwise.
    pub fn explained(&self, cause: &Cause) -> Result<(), String> {
        let latency = self.planted(cause).map_err(|error| format!("not planted: {error:#}"))?;
        let verdict = self.verdict(cause).map_err(|error| format!("{error:#}"))?;
        if let Some(contradiction) = &self.contradiction {
            println!("{}: judged by its measure: {contradiction}", cause.title());
        }
        println!("{}: {verdict:?}, {latency:?}", cause.title());
        verdict.wrong.map_or(Ok(()), Err)
    }

    /// Whether the cause was there to be found: most requests fast, and the slowest 1 % slow by what was planted, by the
    /// load generator's clock and by the report's.
    pub fn planted(&self, cause: &Cause) -> Result<Latency> {
        let planted = cause.planted_ms * 1_000_000;
        let spread = self.report.spread(cause.service, "/requests/latency");
        let latency =
            Latency { p50_ns: spread.get("p50_ns"), p99_ns: spread.get("p99_ns"), max_ns: spread.get("max_ns") };
        let outside = |pointer: &str| self.seen.pointer(pointer).and_then(Value::as_u64).context("the load's outcome");
        let (p50, max) = (outside("/from_sending/p50_ns")?, outside("/from_sending/max_ns")?);
        ensure!(p50 * 4 < planted && latency.p50_ns * 4 < planted, "the usual requests are slow too: P50 {p50} ns");
        ensure!(max >= planted && latency.max_ns >= planted, "no request took the planted {planted} ns: {latency:?}");
        let requests = spread.get("count");
        let slow = spread.between(planted * 9 / 10, 60_000_000_000);
        ensure!(slow * 200 >= requests, "only {slow} of {requests} requests were slow");
        ensure!(slow * 8 <= requests, "{slow} of {requests} requests were slow");
        Ok(latency)
    }
}

/// Plants, loads, records.
pub fn once(cause: &Cause, seed: u64) -> Result<Run> {
    kept(cause, seed, None)
}

/// The same; the capture is kept in this file.
fn kept(cause: &Cause, seed: u64, capture: Option<&Path>) -> Result<Run> {
    let mut stack = Stack::start(cause)?;
    let port = cause.recorded.map_or(Ok(stack.address().port()), |peer| stack.port(peer))?;
    let mut recorder = Recorder::new(cause.service, &format!("port:{port}"));
    if let Some(capture) = capture {
        recorder = recorder.arg("--capture").arg(&capture.to_string_lossy());
    }
    let recording = recorder.start()?;
    stack.disturb(cause)?;
    let seen = load(cause, &stack, seed)?;
    let report = recording.stop()?;
    let peer = cause.peer.map(|peer| stack.peer(peer)).transpose()?;
    let decision = match cause.measured {
        Some(fault) => stack.measure(fault)?.decide(cause.expected).map_err(|error| anyhow::anyhow!(error))?,
        None => Decision { components: cause.expected.to_vec(), contradiction: None },
    };
    let expected = Expected { components: decision.components, peer, one_call: cause.one_call };
    Ok(Run { report, seen, expected, contradiction: decision.contradiction })
}

/// The load of a cause; an error when a request fails.
pub fn load(cause: &Cause, stack: &Stack, seed: u64) -> Result<Value> {
    let load = &cause.load;
    let mut command = Command::new(program("truth-load"));
    command.args(["--target", &stack.address().to_string(), "--arrivals", "poisson", "--seed", &seed.to_string()]);
    command.args(["--rate", &load.rate.to_string(), "--requests", &(load.rate * load.seconds).to_string()]);
    command.args(["--connections", &load.connections.to_string(), "--limit", &(load.seconds * 3).to_string()]);
    if load.new_connections {
        command.arg("--new-connections");
    }
    command.args(["--http", load.path]);
    if let Some((path, share)) = load.slow {
        command.args(["--slow-http", path, "--slow-share", &share.to_string()]);
    }
    let seen: Value = serde_json::from_str(&run(&mut command)?).context("the load's outcome")?;
    let errors = seen["errors"].as_object().context("no errors in the load's outcome")?;
    if errors.values().any(|count| count.as_u64().is_some_and(|count| count > 0)) {
        bail!("requests failed: {}", seen["errors"]);
    }
    Ok(seen)
}

/// What is done with a run.
#[derive(Clone, Copy, Default)]
pub struct Options<'a> {
    /// Check only that the slow requests are there, not what the report says about them.
    pub planting_only: bool,
    /// Where the reports and captures are kept.
    pub reports: Option<&'a Path>,
}

/// The rows of the table, one per cause and service.
#[derive(Default)]
pub struct Table {
    rows: Vec<Row>,
}

/// Shares of the runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shares {
    /// In which the largest part of the tail was the planted cause; or, where only that was looked at, in which it was planted.
    pub cause: f64,
    /// In which the first finding named it.
    pub finding: f64,
}

struct Row {
    cause: &'static Cause,
    runs: u32,
    right: u32,
    /// Runs whose first finding names the cause.
    found: u32,
    tops: BTreeMap<String, Vec<f64>>,
    findings: BTreeMap<String, u32>,
    latency: Option<Latency>,
    contradictions: Vec<String>,
}

impl Table {
    /// Runs a cause, adds it, and says on stderr how it went.
    pub fn add(&mut self, cause: &'static Cause, runs: u32, options: Options) {
        let mut row = Row::new(cause, runs);
        for number in 1..=runs {
            let what = match row.one(number, options) {
                Ok(what) => what,
                Err(error) => format!("FAILED: {error:#}"),
            };
            eprintln!("{} {number}/{runs}: {what}", cause.title());
        }
        self.rows.push(row);
    }

    /// Markdown, and in how many runs the cause was named right.
    pub fn finish(&self, planting_only: bool) -> (String, Shares) {
        let mut text = String::from(
            "| cause | service | P50 | P99 | max | runs | named right | top component (share of the excess) | found right | first finding |\n",
        );
        text.push_str("|---|---|---|---|---|---|---|---|---|---|\n");
        for row in &self.rows {
            row.write(&mut text);
        }
        for Row { cause, runs, contradictions, .. } in &self.rows {
            if let Some(last) = contradictions.last() {
                let (title, times) = (cause.title(), contradictions.len());
                let _ = writeln!(text, "\n{title}: {times} of {runs} runs judged by the plant's own measure: {last}");
            }
        }
        let sum = |of: fn(&Row) -> u32| self.rows.iter().map(of).sum::<u32>();
        let (runs, right, found) = (sum(|row| row.runs), sum(|row| row.right), sum(|row| row.found));
        let share = |part: u32| if runs == 0 { 0.0 } else { f64::from(part) / f64::from(runs) };
        let shares = Shares { cause: share(right), finding: share(found) };
        let percent = |share: f64| share * 100.0;
        let _ = match planting_only {
            true => writeln!(text, "\nplanted {:.1} % ({right} of {runs})", percent(shares.cause)),
            false => writeln!(
                text,
                "\ncause {:.1} % ({right} of {runs}), first finding {:.1} % ({found} of {runs})",
                percent(shares.cause),
                percent(shares.finding)
            ),
        };
        (text, shares)
    }
}

fn top(name: &str, shares: &[f64]) -> String {
    let mean = shares.iter().sum::<f64>() / shares.len().max(1) as f64;
    format!("{name} {:.0} %{}", mean * 100.0, times(shares.len() as u32))
}

fn times(count: u32) -> String {
    if count > 1 { format!(" × {count}") } else { String::new() }
}

impl Row {
    fn new(cause: &'static Cause, runs: u32) -> Self {
        let (tops, findings) = (BTreeMap::new(), BTreeMap::new());
        Self { cause, runs, right: 0, found: 0, tops, findings, latency: None, contradictions: Vec::new() }
    }

    /// As a row of the table.
    fn write(&self, text: &mut String) {
        let ms = |value: fn(Latency) -> u64| {
            self.latency.map_or("–".to_owned(), |latency| format!("{:.1} ms", value(latency) as f64 / 1e6))
        };
        let (p50, p99, max) = (ms(|l| l.p50_ns), ms(|l| l.p99_ns), ms(|l| l.max_ns));
        let tops: Vec<String> = self.tops.iter().map(|(name, shares)| top(name, shares)).collect();
        let findings: Vec<String> = self.findings.iter().map(|(id, runs)| format!("{id}{}", times(*runs))).collect();
        let (name, service) = (self.cause.name, self.cause.service);
        let (Self { runs, right, found, .. }, tops, findings) = (self, tops.join(", "), findings.join(", "));
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| {name} | {service} | {p50} | {p99} | {max} | {runs} | {right} | {tops} | {found} | {findings} |"
        );
    }

    fn one(&mut self, number: u32, options: Options) -> Result<String> {
        let name = format!("{}-{number}", self.cause.title().replace('/', "-"));
        let kept_in = |ending: &str| options.reports.map(|directory| directory.join(format!("{name}.{ending}")));
        let run = kept(self.cause, number.into(), kept_in("capture").as_deref())?;
        if let Some(file) = kept_in("json") {
            fs::write(&file, run.report.0.to_string()).with_context(|| format!("write {}", file.display()))?;
        }
        let latency = run.planted(self.cause)?;
        self.latency = Some(latency);
        let Latency { p50_ns, p99_ns, max_ns } = latency;
        let seen = format!("P50 {p50_ns}, P99 {p99_ns}, max {max_ns} ns");
        if options.planting_only {
            self.right += 1;
            return Ok(format!("planted; {seen}"));
        }
        let judged = run.contradiction.as_ref().map_or(String::new(), |why| format!("; judged by its measure: {why}"));
        self.contradictions.extend(run.contradiction.clone());
        let verdict = run.verdict(self.cause)?;
        let peer =
            verdict.peer.filter(|_| self.cause.peer.is_some()).map_or(String::new(), |peer| format!(" of {peer}"));
        self.tops.entry(verdict.component.clone()).or_default().push(verdict.share);
        let first = run.first(self.cause);
        *self.findings.entry(first.id.clone()).or_default() += 1;
        self.found += u32::from(first.wrong.is_none());
        self.right += u32::from(verdict.wrong.is_none());
        let cause = match verdict.wrong {
            None => format!("right: {}{peer}", verdict.component),
            Some(wrong) => format!("WRONG: {wrong}"),
        };
        let found = match first.wrong {
            None => format!("found: {}", first.id),
            Some(wrong) => format!("NOT FOUND: {wrong}"),
        };
        Ok(format!("{cause}; {found}; {seen}{judged}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causes::table::CAUSES;

    #[test]
    fn the_table_counts_all_runs() {
        let latency = Some(Latency { p50_ns: 1_000_000, p99_ns: 41_000_000, max_ns: 42_500_000 });
        let said = vec!["first".to_owned(), "on_cpu is right here".to_owned()];
        let seen = Row {
            right: 2,
            found: 1,
            tops: [("lock".to_owned(), vec![0.9, 0.8]), ("idle".to_owned(), vec![0.5])].into(),
            findings: [("tail_lock".to_owned(), 2), ("objective_missed".to_owned(), 1)].into(),
            latency,
            contradictions: said,
            ..Row::new(&CAUSES[0], 3)
        };
        let table = Table { rows: vec![seen, Row::new(&CAUSES[1], 1)] };
        let (text, shares) = table.finish(false);
        assert_eq!(shares, Shares { cause: 0.5, finding: 0.25 });
        let row =
            "| 1.0 ms | 41.0 ms | 42.5 ms | 3 | 2 | idle 50 %, lock 85 % × 2 | 1 | objective_missed, tail_lock × 2 |";
        assert!(text.contains(row), "{text}");
        assert!(text.contains("| – | – | – | 1 | 0 |  | 0 |  |"), "{text}");
        let judged = "2 of 3 runs judged by the plant's own measure: on_cpu is right here";
        assert!(text.contains(judged) && text.matches("judged").count() == 1, "{text}");
        assert!(text.contains("cause 50.0 % (2 of 4), first finding 25.0 % (1 of 4)"), "{text}");
        assert_eq!(Table::default().finish(false).1, Shares { cause: 0.0, finding: 0.0 });
    }
}
