//! What a service is held against.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What to hold a service against.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Objective {
    /// The P99 of the latency must be below this.
    pub p99: Duration,
    /// The service must handle more than this many requests per second.
    pub min_rps: f64,
    /// The share of the requests that must do without a read which is the same each time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_hit_rate: Option<f64>,
}

impl Default for Objective {
    fn default() -> Self {
        Self { p99: Duration::from_millis(5), min_rps: 100.0, cache_hit_rate: None }
    }
}
