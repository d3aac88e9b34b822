//! Causes that are taken away: what a finding says the P99 would be without it, against what it is without it.
//!
//! In: a cause from the table. Out: the prediction from a recording with the cause, and the P99 of a recording without it.

pub mod table;

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::causes::inject::{self, Injection};
use crate::harness::{Service, program, run, target};
use crate::recording::Recorder;
use crate::report::Report;
use table::drawn_flags;

const NAME: &str = "truth";
/// Seconds of each recording.
const SECONDS: u32 = 15;

/// What requests do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Script {
    /// Most of them.
    pub usual: &'static str,
    /// A few.
    pub slow: &'static str,
}

/// What is done from outside while the cause is there; times in ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    /// Nothing.
    Nothing,
    /// The CPU of the service is taken away from it for `busy` after each `every`.
    Hog {
        /// Length.
        busy: u64,
        /// Pause between two.
        every: u64,
    },
    /// So much CPU time in each period.
    Quota(u32, u32),
}

/// A cause, and the service without it.
#[derive(Clone, Copy, Debug)]
pub struct Fix {
    /// What is taken away.
    pub name: &'static str,
    /// The findings that name it, the one that is wanted first.
    pub findings: &'static [&'static str],
    /// Flags of the server, before and after.
    pub server: [&'static str; 2],
    /// What requests do, before and after.
    pub script: [Script; 2],
    /// The share of the slow ones.
    pub slow_share: f64,
    /// Requests per second.
    pub rate: u32,
    /// More flags of the load.
    pub load: &'static str,
    /// What goes on outside before.
    pub outside: Outside,
}

/// What a pair of recordings says.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The finding that named the cause.
    pub finding: String,
    /// The P99 with the cause.
    pub before_ns: u64,
    /// What it would fall to without it.
    pub predicted_ns: u64,
    /// What it is without it.
    pub after_ns: u64,
}

impl Pair {
    /// By how much the prediction is off, as a part of what is the case.
    pub fn error(&self) -> f64 {
        (self.predicted_ns as f64 - self.after_ns as f64) / self.after_ns.max(1) as f64
    }
}

/// Records with the cause and without it; `keep` is given both reports.
pub fn pair(fix: &Fix, seed: u64, keep: impl Fn(&str, &Report) -> Result<()>) -> Result<Pair> {
    let before = recorded(fix, false, seed)?;
    keep("before", &before)?;
    let after = recorded(fix, true, seed)?;
    keep("after", &after)?;
    let (finding, predicted_ns) = predicted(&before.0, fix.findings)?;
    let p99 = |report: &Report| {
        report.service(NAME).pointer("/requests/latency/p99_ns").and_then(Value::as_u64).context("no P99")
    };
    Ok(Pair { finding, before_ns: p99(&before)?, predicted_ns, after_ns: p99(&after)? })
}

/// The first of these findings that is in the report, and what it says the P99 would fall to.
fn predicted(report: &Value, wanted: &[&str]) -> Result<(String, u64)> {
    let all = report["findings"].as_array().context("no findings in the report")?;
    let of = |id: &&str| all.iter().find(|finding| finding["id"] == **id);
    let ids = || all.iter().filter_map(|finding| finding["id"].as_str()).collect::<Vec<_>>().join(", ");
    let (id, found) = wanted
        .iter()
        .find_map(|id| Some((*id, of(id)?)))
        .with_context(|| format!("none of {} among {}", wanted.join(", "), ids()))?;
    let then =
        found["would_fall_to_ns"].as_u64().with_context(|| format!("{id} does not say what the P99 would be"))?;
    Ok((id.to_owned(), then))
}

fn recorded(fix: &Fix, after: bool, seed: u64) -> Result<Report> {
    let (server_program, drawn) = (program("truth-server"), drawn_flags().collect::<Vec<_>>());
    let drawn = Service::truth(&server_program, &drawn)?;
    let db = Service::truth(&server_program, &["--mode", "threads"])?;
    let (drawn_peer, db_peer) = (format!("drawn={}", drawn.address()), format!("db={}", db.address()));
    // A disk is to be waited for: not in /tmp, which may be in memory.
    let files = tempfile::tempdir_in(target())?;
    let directory = files.path().to_string_lossy().into_owned();
    let peers = ["--peer", &drawn_peer, "--peer", &db_peer, "--files", &directory];
    let flags: Vec<&str> = fix.server_flags(after).into_iter().chain(peers).collect();
    let server = Service::truth(&server_program, &flags)?;
    let recording = Recorder::new(NAME, &format!("port:{}", server.port)).start()?;
    let outside = if after { None } else { disturb(fix, &server)? };
    let script = fix.script[usize::from(after)];
    let requests = u64::from(fix.rate * SECONDS);
    let mut load = Command::new(program("truth-load"));
    load.args(["--target", &server.address().to_string(), "--arrivals", "poisson", "--limit", "60"]);
    load.args(["--rate", &fix.rate.to_string(), "--requests", &requests.to_string()]).args(fix.load.split(' '));
    load.args(["--script", script.usual, "--slow-script", script.slow]);
    load.args(["--slow-share", &fix.slow_share.to_string(), "--seed", &seed.to_string()]);
    run(&mut load)?;
    drop(outside);
    let report = recording.stop()?;
    let counted = report.requests(NAME);
    ensure!(counted * 100 >= requests * 98, "only {counted} of {requests} requests were counted");
    Ok(report)
}

fn disturb(fix: &Fix, server: &Service) -> Result<Option<Injection>> {
    Ok(match fix.outside {
        Outside::Nothing => None,
        Outside::Hog { busy, every } => {
            Some(inject::hog(0, Duration::from_millis(busy), Duration::from_millis(every))?)
        }
        Outside::Quota(quota, period) => Some(inject::quota(server.pid(), quota * 1000, period * 1000)?),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_prediction_is_that_of_the_finding_that_is_wanted_first() {
        let report = json!({"findings": [
            {"id": "tail_disk", "would_fall_to_ns": 7},
            {"id": "fsync_bound", "would_fall_to_ns": 9},
            {"id": "slow_endpoint"},
        ]});
        assert_eq!(predicted(&report, &["fsync_bound", "tail_disk"]).unwrap(), ("fsync_bound".to_owned(), 9));
        assert_eq!(predicted(&report, &["tail_lock", "tail_disk"]).unwrap().1, 7);
        assert!(predicted(&report, &["slow_endpoint"]).unwrap_err().to_string().contains("does not say"));
        assert!(predicted(&report, &["tail_lock"]).unwrap_err().to_string().contains("among tail_disk, fsync_bound"));
        let pair = Pair { finding: "x".into(), before_ns: 50, predicted_ns: 9, after_ns: 10 };
        assert!((pair.error() + 0.1).abs() < 1e-9);
    }
}
