//! What is told: types only, and the line for people.
//!
//! In: made by `pages`. Out: JSON for commands and webhooks, a line for standard error.

use serde::{Deserialize, Serialize};

use super::burn::{Severity, window};
use super::history::Counts;
use super::machine::{Because, Due};
use crate::analysis::model::Finding;

/// Version of the shape of an event.
pub const SCHEMA: u32 = 1;
/// An event is at most so long, so that a pipe takes it at once.
pub const MAX_BYTES: usize = 48 << 10;

/// Whether it begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It has become due.
    Firing,
    /// It is over.
    Resolved,
}

/// A window and what was counted in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// As Prometheus writes it.
    pub length: String,
    /// All requests.
    pub requests: i64,
    /// Those that missed the objective.
    pub slow: i64,
}

/// Why it is due.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// So many times as fast as it may the budget burns, at least.
    pub burn: f64,
    /// The share of slow requests above which it is due.
    pub limit: f64,
    /// The longer window.
    pub long: Window,
    /// The shorter one.
    pub short: Window,
}

/// What takes the time of the slow requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cause {
    /// Name of the component.
    pub component: String,
    /// Of the time of the slow requests, how much this is.
    pub share: f64,
    /// The downstream peer, where that is what they wait for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// In words.
    pub sentence: String,
}

/// What is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The constitutional hash.
    pub constitutional_hash: String,
    /// The same when it begins and when it ends.
    pub id: String,
    /// Which of these it is.
    pub status: Status,
    /// How much it matters.
    pub severity: Severity,
    /// The host's name.
    pub host: String,
    /// The service that began; at the end all that had the same cause.
    pub services: Vec<String>,
    /// When it became due.
    pub since_unix_s: u64,
    /// When this was told first.
    pub at_unix_s: u64,
    /// The whole of it in one line.
    pub summary: String,
    /// The P99 of the latency must be below this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective_p99_ns: Option<u64>,
    /// Why it is due; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// What takes the time, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// What a report of the shorter window finds about the service.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// Why it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<Because>,
}

impl Event {
    /// As JSON, without what makes it too long.
    #[must_use]
    pub fn json(&self) -> String {
        let mut event = self.clone();
        loop {
            match serde_json::to_string(&event) {
                Ok(text) if text.len() <= MAX_BYTES || event.findings.is_empty() => return text,
                Ok(_) => drop(event.findings.pop()),
                // Only a map whose keys are no strings cannot be written.
                Err(_) => return String::from("{}"),
            }
        }
    }
}

impl Evidence {
    /// Of what has become due.
    #[must_use]
    pub fn of(due: &Due) -> Self {
        let of =
            |minutes, counts: Counts| Window { length: window(minutes), requests: counts.requests, slow: counts.slow };
        Self {
            burn: due.burn.factor,
            limit: due.burn.limit(),
            long: of(due.burn.long, due.long),
            short: of(due.burn.short, due.short),
        }
    }

    /// In words.
    #[must_use]
    pub fn sentence(&self) -> String {
        let of = |window: &Window| {
            let share = 100.0 * window.slow as f64 / window.requests.max(1) as f64;
            format!("{share:.1} % of {} requests in {}", window.requests, window.length)
        };
        format!("{} and {} missed its objective, of which 1 % may", of(&self.long), of(&self.short))
    }
}
