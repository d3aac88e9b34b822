//! What a load run saw.
//!
//! In: latencies in ns, errors. Out: counts and percentiles, as JSON.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::error::LoadError;
use crate::log::Entry;

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
    /// Both of the slow requests alone.
    pub slow: (Histogram<u64>, Histogram<u64>),
    /// Replies by HTTP status, where that is not 200.
    pub statuses: BTreeMap<u16, u64>,
    /// Connections that could not be made; each costs one request where each request has its own.
    pub connect_errors: u64,
    /// Requests whose connection ended before the reply did.
    pub closed: u64,
    /// Requests whose reply could not be understood.
    pub malformed: u64,
    /// What the first error said.
    pub first_error: Option<String>,
    /// Connections made again after the server closed them.
    pub reconnects: u64,
    /// Length of the run.
    pub elapsed_ns: u64,
    /// One entry per reply, where asked for.
    pub log: Vec<Entry>,
}

impl Outcome {
    /// Nothing yet.
    pub fn new() -> Result<Self, LoadError> {
        Ok(Self {
            sent: 0,
            completed: 0,
            latency: histogram()?,
            from_sending: histogram()?,
            slow: (histogram()?, histogram()?),
            statuses: BTreeMap::new(),
            connect_errors: 0,
            closed: 0,
            malformed: 0,
            first_error: None,
            reconnects: 0,
            elapsed_ns: 0,
            log: Vec::new(),
        })
    }

    /// A reply came.
    pub fn record(&mut self, entry: Entry, status: u16) {
        self.completed += 1;
        if !matches!(status, 0 | 200) {
            *self.statuses.entry(status).or_default() += 1;
        }
        let latency = entry.done_ns.saturating_sub(entry.intended_ns);
        let from_sending = entry.done_ns.saturating_sub(entry.sent_ns);
        self.latency.saturating_record(latency);
        self.from_sending.saturating_record(from_sending);
        if entry.slow {
            self.slow.0.saturating_record(latency);
            self.slow.1.saturating_record(from_sending);
        }
    }

    /// Requests that ended without a reply.
    pub fn errors(&self) -> u64 {
        self.connect_errors + self.closed + self.malformed
    }

    /// Requests that were sent and neither answered nor failed when the time was up.
    pub fn unanswered(&self) -> u64 {
        self.sent.saturating_sub(self.completed + self.errors())
    }

    /// As JSON.
    pub fn to_json(&self) -> Value {
        let rate = self.completed as f64 * 1e9 / self.elapsed_ns.max(1) as f64;
        let statuses: BTreeMap<String, u64> = self.statuses.iter().map(|(code, n)| (code.to_string(), *n)).collect();
        let mut value = json!({
            "sent": self.sent,
            "completed": self.completed,
            "elapsed_ns": self.elapsed_ns,
            "rate_per_s": (rate * 10.0).round() / 10.0,
            "latency": percentiles(&self.latency),
            "from_sending": percentiles(&self.from_sending),
            "errors": {
                "not_200": self.statuses.values().sum::<u64>(),
                "statuses": statuses,
                "connect": self.connect_errors,
                "closed": self.closed,
                "malformed": self.malformed,
                "unanswered": self.unanswered(),
            },
            "reconnects": self.reconnects,
        });
        if !self.slow.0.is_empty() {
            let (latency, from_sending) = (percentiles(&self.slow.0), percentiles(&self.slow.1));
            value["slow"] = json!({ "latency": latency, "from_sending": from_sending });
        }
        if let Some(error) = &self.first_error {
            value["errors"]["first"] = json!(error);
        }
        value
    }
}

fn histogram() -> Result<Histogram<u64>, LoadError> {
    Ok(Histogram::new_with_bounds(1, 100_000_000_000, 3)?)
}

fn percentiles(histogram: &Histogram<u64>) -> Value {
    json!({
        "count": histogram.len(),
        "min_ns": histogram.min(),
        "mean_ns": histogram.mean().round() as u64,
        "p50_ns": histogram.value_at_quantile(0.5),
        "p90_ns": histogram.value_at_quantile(0.9),
        "p99_ns": histogram.value_at_quantile(0.99),
        "p999_ns": histogram.value_at_quantile(0.999),
        "p9999_ns": histogram.value_at_quantile(0.9999),
        "max_ns": histogram.max(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_requests_and_errors_are_told_apart() {
        let mut outcome = Outcome::new().unwrap();
        outcome.sent = 5;
        let entry = Entry { intended_ns: 1_000_000, sent_ns: 2_000_000, done_ns: 3_000_000, ..Entry::default() };
        outcome.record(entry, 200);
        outcome.record(Entry { slow: true, done_ns: 12_000_000, ..entry }, 500);
        outcome.closed = 1;
        outcome.elapsed_ns = 1_000_000_000;
        let json = outcome.to_json();
        assert_eq!(json["latency"]["count"], 2);
        assert_eq!(json["slow"]["latency"]["count"], 1);
        // Three digits: 11 ms, at most 0.1 % high.
        let slow = json["slow"]["latency"]["p50_ns"].as_u64().unwrap();
        assert!((11_000_000..11_012_000).contains(&slow), "{slow}");
        assert_eq!((&json["errors"]["not_200"], &json["errors"]["statuses"]["500"]), (&json!(1), &json!(1)));
        assert_eq!((&json["errors"]["closed"], &json["errors"]["unanswered"]), (&json!(1), &json!(2)));
        assert_eq!(json["rate_per_s"], 2.0);
    }
}
