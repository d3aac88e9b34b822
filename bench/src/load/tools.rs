//! Load tools that know a closed loop, and how each tells what it has measured.
//!
//! In: a URL, connections, a duration. Out: requests per second, and the same percentiles of all.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::placement::LOAD_CPU;

/// The percentiles.
pub const QUANTILES: [u32; 3] = [50, 90, 99];
/// What `wrk` says at the end, in µs.
const WRK: &str = "done = function(summary, latency, requests)
  io.write(string.format('requests=%d p50=%d p90=%d p99=%d\\n', summary.requests,
    latency:percentile(50), latency:percentile(90), latency:percentile(99)))
end";

/// What a run has measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Answered requests per second.
    pub rate: f64,
    /// At each of [`QUANTILES`], in µs.
    pub us: [f64; 3],
}

/// A load tool.
pub enum Tool {
    /// The agent's own, by its path.
    Ours(PathBuf),
    /// In one thread.
    Wrk,
    /// With kept connections.
    Ab,
    /// Prints tenths of a millisecond.
    Hey,
}

impl Tool {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ours(_) => "acgs-perf load",
            Self::Wrk => "wrk",
            Self::Ab => "ab",
            Self::Hey => "hey",
        }
    }

    /// Runs it on the CPU of loads.
    pub fn run(&self, url: &str, connections: u32, duration: Duration) -> Result<Measured> {
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("file");
        let (connections, seconds) = (connections.to_string(), duration.as_secs().to_string());
        let mut command = Command::new("taskset");
        command.args(["-c", &LOAD_CPU.to_string()]).stdin(Stdio::null());
        let command = match self {
            Self::Ours(agent) => command
                .arg(agent)
                .args(["load", url, "--closed", "--connections", &connections])
                .args(["--duration", &format!("{seconds}s"), "--format", "json"]),
            Self::Wrk => {
                fs::write(&file, WRK)?;
                command.args(["wrk", "-t", "1", "-c", &connections, "-d", &seconds, "-s"]).arg(&file).arg(url)
            }
            // `-n` stands last: `-t` sets it to 50,000.
            Self::Ab => command
                .args(["ab", "-k", "-q", "-c", &connections, "-t", &seconds, "-n", "100000000", "-e"])
                .arg(&file)
                .arg(url),
            Self::Hey => command.args(["hey", "-z", &format!("{seconds}s"), "-c", &connections, "-o", "csv", url]),
        };
        let output = command.output().with_context(|| format!("start {}", self.name()))?;
        let text = said(&output).with_context(|| self.name())?;
        let measured = match self {
            Self::Ours(_) => of_ours(&text),
            Self::Wrk => of_wrk(&text, duration),
            Self::Ab => of_ab(&text, &fs::read_to_string(&file).context("the table of ab")?),
            Self::Hey => of_hey(&text, duration),
        };
        measured.with_context(|| format!("{} said {:.300}", self.name(), text))
    }
}

fn said(output: &Output) -> Result<String> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{}: {text}{}", output.status, String::from_utf8_lossy(&output.stderr));
    Ok(text)
}

fn of_ours(text: &str) -> Result<Measured> {
    let all: Value = serde_json::from_str(text)?;
    let client = &all["client"];
    ensure!(client.get("errors").is_none(), "errors: {}", client["errors"]);
    let number = |pointer: &str| client.pointer(pointer).and_then(Value::as_f64).with_context(|| pointer.to_owned());
    let mut us = [0.0; 3];
    for (us, percent) in us.iter_mut().zip(QUANTILES) {
        *us = number(&format!("/from_sending/p{percent}_ns"))? / 1e3;
    }
    Ok(Measured { rate: number("/answered_per_s")?, us })
}

/// The number behind these words.
fn after(text: &str, words: &str) -> Result<f64> {
    let (_, rest) = text.split_once(words).with_context(|| format!("no {words:?}"))?;
    let word = rest.split_whitespace().next().unwrap_or_default();
    word.parse().with_context(|| format!("{words}{word}"))
}

fn of_wrk(text: &str, duration: Duration) -> Result<Measured> {
    ensure!(!text.contains("Socket errors") && !text.contains("Non-2xx"), "errors");
    let us = [after(text, "p50=")?, after(text, "p90=")?, after(text, "p99=")?];
    Ok(Measured { rate: after(text, "requests=")? / duration.as_secs_f64(), us })
}

/// The table has a line for each per cent: number, milliseconds.
fn of_ab(text: &str, table: &str) -> Result<Measured> {
    ensure!(after(text, "Failed requests:")? == 0.0 && !text.contains("Non-2xx"), "errors");
    let mut us = [0.0; 3];
    for (us, percent) in us.iter_mut().zip(QUANTILES) {
        *us = after(table, &format!("\n{percent},"))? * 1e3;
    }
    Ok(Measured { rate: after(text, "Requests per second:")?, us })
}

/// A line for each request, which begins with its seconds.
fn of_hey(text: &str, duration: Duration) -> Result<Measured> {
    let times = text.lines().skip(1).map(|line| line.split(',').next().unwrap_or_default().parse::<f64>());
    let mut times = times.collect::<Result<Vec<f64>, _>>()?;
    ensure!(!times.is_empty(), "no request");
    times.sort_by(f64::total_cmp);
    let at = |percent: u32| times[(times.len() * percent as usize).div_ceil(100).max(1) - 1] * 1e6;
    Ok(Measured { rate: times.len() as f64 / duration.as_secs_f64(), us: QUANTILES.map(at) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tool_is_read() {
        let ours = r#"{"client":{"answered_per_s":2.5,"from_sending":{"p50_ns":1000,"p90_ns":2000,"p99_ns":3500}}}"#;
        assert_eq!(of_ours(ours).unwrap(), Measured { rate: 2.5, us: [1.0, 2.0, 3.5] });
        let four = Duration::from_secs(4);
        let wrk = "Running 4s test\nrequests=10 p50=1 p90=2 p99=3\n";
        assert_eq!(of_wrk(wrk, four).unwrap(), Measured { rate: 2.5, us: [1.0, 2.0, 3.0] });
        let ab = "Failed requests:        0\nRequests per second:    2.50 [#/sec] (mean)\n";
        let table = "Percentage served,Time in ms\n0,0.010\n50,0.021\n90,0.030\n99,1.5\n100,9\n";
        assert_eq!(of_ab(ab, table).unwrap(), Measured { rate: 2.5, us: [21.0, 30.0, 1500.0] });
        let lines: String = (1..=10).rev().map(|at| format!("0.00{at:02},0,0\n")).collect();
        let hey = of_hey(&format!("response-time,DNS+dialup,DNS\n{lines}"), four).unwrap();
        assert_eq!((hey.rate, hey.us.map(f64::round)), (2.5, [500.0, 900.0, 1000.0]));
    }

    #[test]
    fn errors_are_no_measurement() {
        assert!(of_wrk("Socket errors: connect 0\nrequests=1 p50=1 p90=1 p99=1\n", Duration::from_secs(1)).is_err());
        assert!(of_ab("Failed requests: 3\nRequests per second: 1\n", "\n50,1\n90,1\n99,1\n").is_err());
        assert!(of_ours(r#"{"client":{"errors":{"closed":1}}}"#).is_err());
        assert!(of_hey("response-time\n", Duration::from_secs(1)).is_err());
    }
}
