//! What was measured, as it is kept between runs: one JSON file per victim under `target/bench-cost/`.
//!
//! In: results. Out: the same, read again: a long bench can be run in pieces, and the document is made from the files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::speed::Slice;

/// Others may use so much of all CPU time during a run.
pub const OTHERS_PERCENT: f64 = 2.0;

/// What the agent said of itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentCost {
    /// CPU time over the window.
    pub cpu_ns: u64,
    /// The window.
    pub window_ns: u64,
    /// Largest resident set.
    pub rss_bytes: u64,
    /// From the first program loaded to the last hook attached.
    pub attach_ns: u64,
    /// Requests that it counted, if it counts them.
    pub requests: Option<u64>,
}

/// One arm in one round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Rounds count from 1.
    pub round: usize,
    /// Requests or iterations per second in the closed loop.
    pub rate: f64,
    /// The same by slices, with the speed of the machine.
    #[serde(default)]
    pub slices: Vec<Slice>,
    /// CPU time of the victim per request in the closed loop.
    pub cpu_ns: Option<f64>,
    /// P99 of the open loop.
    pub p99_ns: Option<f64>,
    /// The rate that the open loop reached.
    pub steady_rate: Option<f64>,
    /// Of the agent's arms.
    pub agent: Option<AgentCost>,
    /// Percent of all CPU time that others used meanwhile.
    pub others_percent: f64,
}

impl Run {
    /// Whether nobody else took part.
    pub fn is_quiet(&self) -> bool {
        self.others_percent <= OTHERS_PERCENT
    }
}

/// All runs of an arm.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ArmRuns {
    /// In the order of the rounds.
    pub runs: Vec<Run>,
    /// What failed, in the tool's own words.
    pub errors: Vec<String>,
}

/// Kernel programs in one extra run with `--measure-cost`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Programs {
    /// Arm.
    pub arm: String,
    /// Requests that were answered meanwhile.
    pub requests: u64,
    /// Name, runs, run time in ns.
    pub programs: Vec<(String, u64, u64)>,
    /// The agent in that run.
    pub agent: AgentCost,
}

/// The agent at a rate.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AtRate {
    /// Requests per second that were wanted.
    pub wanted: f64,
    /// That the load reached.
    pub reached: f64,
    /// The agent.
    pub agent: AgentCost,
}

/// Everything of one victim.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Results {
    /// Name.
    pub victim: String,
    /// When the last run ended.
    pub date: String,
    /// Command lines that measured this, in order.
    pub commands: Vec<String>,
    /// Rounds that are complete.
    pub rounds: usize,
    /// The rate of the open loop.
    pub steady_rate: Option<f64>,
    /// By name of the arm.
    pub arms: BTreeMap<String, ArmRuns>,
    /// Extra runs.
    pub programs: Vec<Programs>,
    /// Redis only.
    pub at_rates: Vec<AtRate>,
    /// What the bench has to say of this victim.
    pub notes: Vec<String>,
}

fn file(directory: &Path, victim: &str) -> PathBuf {
    directory.join(format!("{victim}.json"))
}

impl Results {
    /// What is stored; `None` when there is nothing.
    pub fn load(directory: &Path, victim: &str) -> Result<Option<Self>> {
        let path = file(directory, victim);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| format!("read {}", path.display())).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
        }
    }

    /// Stores it; a run that is ended meanwhile leaves the file before or after, never half of it.
    pub fn save(&self, directory: &Path) -> Result<()> {
        let path = file(directory, &self.victim);
        let fresh = path.with_extension("json.new");
        fs::write(&fresh, serde_json::to_vec_pretty(self)?).with_context(|| format!("write {}", fresh.display()))?;
        fs::rename(&fresh, &path).with_context(|| format!("write {}", path.display()))
    }

    /// All runs of an arm.
    pub fn runs(&self, arm: &str) -> &[Run] {
        self.arms.get(arm).map(|arm| arm.runs.as_slice()).unwrap_or_default()
    }

    /// Those in which nobody else took part; the others say nothing about cost, and no figure is made of them.
    pub fn quiet_runs(&self, arm: &str) -> impl Iterator<Item = &Run> {
        self.runs(arm).iter().filter(|run| run.is_quiet())
    }

    /// A note that is made once.
    pub fn note(&mut self, text: String) {
        if !self.notes.contains(&text) {
            self.notes.push(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        assert!(Results::load(directory.path(), "redis").unwrap().is_none());
        let mut results = Results { victim: "redis".into(), rounds: 2, ..Results::default() };
        let run = Run {
            round: 2,
            rate: 5.0,
            slices: vec![(5.0, 8000.0)],
            cpu_ns: Some(7.5),
            p99_ns: None,
            steady_rate: None,
            agent: None,
            others_percent: 0.0,
        };
        results.arms.entry("bare".into()).or_default().runs.push(run.clone());
        results.note("once".into());
        results.note("once".into());
        results.save(directory.path()).unwrap();
        let again = Results::load(directory.path(), "redis").unwrap().unwrap();
        assert_eq!((again.rounds, again.runs("bare"), again.notes.len()), (2, std::slice::from_ref(&run), 1));
        assert!(again.runs("floor").is_empty());
        let loud = Run { others_percent: 2.5, ..run };
        results.arms.entry("bare".into()).or_default().runs.push(loud);
        assert_eq!((results.runs("bare").len(), results.quiet_runs("bare").count()), (2, 1));
        fs::write(directory.path().join("redis.json"), "{").unwrap();
        assert!(Results::load(directory.path(), "redis").is_err());
    }
}
