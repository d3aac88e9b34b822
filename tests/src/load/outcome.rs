//! What a load run saw.
//!
//! In: latencies in ns. Out: counts and percentiles, as JSON.

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// Result of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Requests sent.
    pub sent: u64,
    /// Requests whose reply came whole.
    pub completed: u64,
    /// From the intended moment to the last byte of the reply; 3 significant digits.
    pub latency: Histogram<u64>,
    /// From the moment of sending to the last byte of the reply.
    pub from_sending: Histogram<u64>,
    /// Length of the run.
    pub elapsed_ns: u64,
}

impl Outcome {
    /// As JSON.
    pub fn to_json(&self) -> Value {
        json!({
            "sent": self.sent,
            "completed": self.completed,
            "elapsed_ns": self.elapsed_ns,
            "latency": percentiles(&self.latency),
            "from_sending": percentiles(&self.from_sending),
        })
    }
}

fn percentiles(histogram: &Histogram<u64>) -> Value {
    json!({
        "min_ns": histogram.min(),
        "p50_ns": histogram.value_at_quantile(0.5),
        "p90_ns": histogram.value_at_quantile(0.9),
        "p99_ns": histogram.value_at_quantile(0.99),
        "p999_ns": histogram.value_at_quantile(0.999),
        "max_ns": histogram.max(),
    })
}
