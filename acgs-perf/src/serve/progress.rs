//! How far a collector has got: what the export tells, and who shows metrics shows.
//!
//! In: counts of the process that exports, and of the agent. Out: counters by name.

use serde::{Deserialize, Serialize};

/// What the process that exports has counted so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Pieces that are done with.
    pub pieces: u64,
    /// Messages that the collector has taken.
    pub messages: u64,
    /// Data points in them.
    pub points: u64,
    /// Spans in them.
    pub spans: u64,
    /// Data points and spans that it has refused: they are not sent again.
    pub rejected: u64,
    /// Tries that failed, after which the same message was sent again.
    pub retries: u64,
}

/// How far the collector has got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What the exporting process has counted.
    pub counts: Counts,
    /// Connections that the agent made for it.
    pub connections: u64,
    /// Recorded time that was sent twice.
    pub repeated_ns: u64,
    /// Recorded time that the ring had no more.
    pub lost_ns: u64,
    /// Age of the end of what the collector has taken; at the moment at which something was told.
    pub behind_ns: u64,
}

impl Progress {
    /// Its counters: name, what it says, count.
    #[must_use]
    pub fn counters(&self) -> [(&'static str, &'static str, u64); 6] {
        let counts = &self.counts;
        [
            ("acgs_perf_otlp_messages", "Messages that the collector has taken.", counts.messages),
            ("acgs_perf_otlp_data_points", "Data points in them.", counts.points),
            ("acgs_perf_otlp_spans", "Spans in them.", counts.spans),
            ("acgs_perf_otlp_rejected", "Data points and spans that the collector has refused.", counts.rejected),
            ("acgs_perf_otlp_retries", "Tries that failed, after which the same was sent again.", counts.retries),
            ("acgs_perf_otlp_connections", "Connections made to the collector.", self.connections),
        ]
    }
}
