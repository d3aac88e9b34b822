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
    let mut stack = Stack::start(cause)?;
    let port = cause.recorded.map_or(Ok(stack.address().port()), |peer| stack.port(peer))?;
    let recording = Recorder::new(cause.service, &format!("port:{port}")).start()?;
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
    /// Where the reports are kept.
    pub reports: Option<&'a Path>,
}

/// The rows of the table, one per cause and service.
#[derive(Default)]
pub struct Table {
    rows: Vec<Row>,
}

struct Row {
    cause: &'static Cause,
    runs: u32,
    right: u32,
    tops: BTreeMap<String, Vec<f64>>,
    latency: Option<Latency>,
    contradictions: Vec<String>,
}

impl Table {
    /// Runs a cause, adds it, and says on stderr how it went.
    pub fn add(&mut self, cause: &'static Cause, runs: u32, options: Options) {
        let mut row = Row { cause, runs, right: 0, tops: BTreeMap::new(), latency: None, contradictions: Vec::new() };
        for number in 1..=runs {
            let what = match row.one(number, options) {
                Ok(what) => what,
                Err(error) => format!("FAILED: {error:#}"),
            };
            eprintln!("{} {number}/{runs}: {what}", cause.title());
        }
        self.rows.push(row);
    }

    /// Markdown, and the share of the runs in which the cause was named right.
    pub fn finish(&self, planting_only: bool) -> (String, f64) {
        let mut text = String::from(
            "| cause | service | P50 | P99 | max | runs | named right | top component (share of the excess) |\n",
        );
        text.push_str("|---|---|---|---|---|---|---|---|\n");
        for row in &self.rows {
            let ms = |value: fn(Latency) -> u64| {
                row.latency.map_or("–".to_owned(), |latency| format!("{:.1} ms", value(latency) as f64 / 1e6))
            };
            let (p50, p99, max) = (ms(|l| l.p50_ns), ms(|l| l.p99_ns), ms(|l| l.max_ns));
            let tops: Vec<String> = row.tops.iter().map(|(name, shares)| top(name, shares)).collect();
            let (name, service) = (row.cause.name, row.cause.service);
            let (runs, right, tops) = (row.runs, row.right, tops.join(", "));
            // Writing to a string cannot fail.
            let _ = writeln!(text, "| {name} | {service} | {p50} | {p99} | {max} | {runs} | {right} | {tops} |");
        }
        for Row { cause, runs, contradictions, .. } in &self.rows {
            if let Some(last) = contradictions.last() {
                let (title, times) = (cause.title(), contradictions.len());
                let _ = writeln!(text, "\n{title}: {times} of {runs} runs judged by the plant's own measure: {last}");
            }
        }
        let (right, runs) = self.rows.iter().fold((0, 0), |sum, row| (sum.0 + row.right, sum.1 + row.runs));
        let share = if runs == 0 { 0.0 } else { f64::from(right) / f64::from(runs) };
        let what = if planting_only { "had" } else { "named" };
        let _ = writeln!(text, "\n{right} of {runs} runs {what} the planted cause: {:.1} %", share * 100.0);
        (text, share)
    }
}

fn top(name: &str, shares: &[f64]) -> String {
    let mean = shares.iter().sum::<f64>() / shares.len().max(1) as f64;
    let times = if shares.len() > 1 { format!(" × {}", shares.len()) } else { String::new() };
    format!("{name} {:.0} %{times}", mean * 100.0)
}

impl Row {
    fn one(&mut self, number: u32, options: Options) -> Result<String> {
        let run = once(self.cause, number.into())?;
        if let Some(directory) = options.reports {
            let file = directory.join(format!("{}-{number}.json", self.cause.title().replace('/', "-")));
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
        Ok(match verdict.wrong {
            None => {
                self.right += 1;
                format!("right: {}{peer}; {seen}{judged}", verdict.component)
            }
            Some(wrong) => format!("WRONG: {wrong}; {seen}{judged}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causes::table::CAUSES;

    #[test]
    fn the_table_counts_all_runs() {
        let latency = Some(Latency { p50_ns: 1_000_000, p99_ns: 41_000_000, max_ns: 42_500_000 });
        let tops = [("lock".to_owned(), vec![0.9, 0.8]), ("idle".to_owned(), vec![0.5])].into();
        let (none, said) = (Vec::new(), vec!["first".to_owned(), "on_cpu is right here".to_owned()]);
        let lost =
            Row { cause: &CAUSES[1], runs: 1, right: 0, tops: BTreeMap::new(), latency: None, contradictions: none };
        let table = Table {
            rows: vec![Row { cause: &CAUSES[0], runs: 3, right: 2, tops, latency, contradictions: said }, lost],
        };
        let (text, share) = table.finish(false);
        assert_eq!(share, 0.5);
        assert!(text.contains("| 1.0 ms | 41.0 ms | 42.5 ms | 3 | 2 | idle 50 %, lock 85 % × 2 |"), "{text}");
        assert!(text.contains("| – | – | – | 1 | 0 |  |"), "{text}");
        let judged = "2 of 3 runs judged by the plant's own measure: on_cpu is right here";
        assert!(text.contains(judged) && text.matches("judged").count() == 1, "{text}");
        assert!(text.contains("2 of 4 runs named the planted cause: 50.0 %"), "{text}");
        assert_eq!(Table::default().finish(false).1, 0.0);
    }
}
