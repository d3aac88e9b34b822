//! What a load run saw.
//!
//! In: latencies in ns, errors. Out: counts and percentiles, as JSON.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::error::LoadError;
use crate::failure::Failure;
use crate::log::Entry;
use crate::protocol::{Code, Reply};

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
    /// From the moment in which a request was due and a connection was idle to its sending: how late the generator itself was; of all
    /// that were sent.
    pub lateness: Histogram<u64>,
    /// Sums of the answered requests, in ns.
    pub sums: Sums,
    /// Requests that were due and waited for a connection.
    pub waited: u64,
    /// Requests that were due before the time was up, and for which no connection was idle.
    pub not_sent: u64,
    /// How long those without a reply had waited when nobody waited for them any more, from the intended moment: not sent, not answered
    /// in time, not answered at the end.
    pub without_end: Histogram<u64>,
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
    /// Requests that took longer than they may.
    pub timeouts: u64,
    /// All of these by their kind.
    pub failures: BTreeMap<Failure, u64>,
    /// Replies that are errors, by what the server calls them; HTTP has `statuses`.
    pub error_codes: BTreeMap<Code, u64>,
    /// What the first error said.
    pub first_error: Option<String>,
    /// Connections made again after the server closed them.
    pub reconnects: u64,
    /// Length of the run.
    pub elapsed_ns: u64,
    /// For how long requests were due: what rates are per.
    pub sending_ns: u64,
    /// Time in which the generator had nothing to do, of the whole run; in its first slice.
    pub free_ns: u64,
    /// One entry per reply, where asked for.
    pub log: Vec<Entry>,
}

/// Where the time of the answered requests went, in ns; the four add up to the latency from the intended moment, but for the sending
/// itself, which is in the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// From the intended moment until a connection was idle.
    pub waited_ns: u64,
    /// From then until the generator sent it.
    pub late_ns: u64,
    /// From sending to the last byte of the reply.
    pub from_sending_ns: u64,
    /// All of it.
    pub latency_ns: u64,
}

impl Outcome {
    /// Nothing yet.
    pub fn new() -> Result<Self, LoadError> {
        Ok(Self {
            sent: 0,
            completed: 0,
            latency: histogram()?,
            from_sending: histogram()?,
            lateness: histogram()?,
            sums: Sums::default(),
            waited: 0,
            not_sent: 0,
            without_end: histogram()?,
            slow: (histogram()?, histogram()?),
            statuses: BTreeMap::new(),
            connect_errors: 0,
            closed: 0,
            malformed: 0,
            timeouts: 0,
            failures: BTreeMap::new(),
            error_codes: BTreeMap::new(),
            first_error: None,
            reconnects: 0,
            elapsed_ns: 0,
            sending_ns: 0,
            free_ns: 0,
            log: Vec::new(),
        })
    }

    /// A reply came to a request that was sent so much later than it could have been.
    pub fn record(&mut self, entry: Entry, late_ns: u64, reply: Reply) {
        self.completed += 1;
        if !matches!(reply.status, 0 | 200) {
            *self.statuses.entry(reply.status).or_default() += 1;
        }
        if let Some(code) = reply.error {
            *self.error_codes.entry(code).or_default() += 1;
        }
        let latency = entry.done_ns.saturating_sub(entry.intended_ns);
        let from_sending = entry.done_ns.saturating_sub(entry.sent_ns);
        self.latency.saturating_record(latency);
        self.from_sending.saturating_record(from_sending);
        self.sums.latency_ns += latency;
        self.sums.from_sending_ns += from_sending;
        self.sums.late_ns += late_ns;
        self.sums.waited_ns += latency.saturating_sub(from_sending + late_ns);
        if entry.slow {
            self.slow.0.saturating_record(latency);
            self.slow.1.saturating_record(from_sending);
        }
    }

    /// A request failed.
    pub fn fail(&mut self, failure: Failure, text: String) {
        *self.failures.entry(failure).or_default() += 1;
        match failure {
            Failure::ConnectRefused | Failure::ConnectFailed | Failure::NotWelcome => self.connect_errors += 1,
            Failure::Reset | Failure::Closed => self.closed += 1,
            Failure::Malformed => self.malformed += 1,
            Failure::Timeout => self.timeouts += 1,
        }
        self.first_error.get_or_insert(text);
    }

    /// Adds what another slice of the same run saw; their times follow each other.
    pub fn merge(&mut self, other: &Self) -> Result<(), LoadError> {
        self.sent += other.sent;
        self.completed += other.completed;
        for (to, from) in [
            (&mut self.latency, &other.latency),
            (&mut self.from_sending, &other.from_sending),
            (&mut self.lateness, &other.lateness),
            (&mut self.without_end, &other.without_end),
            (&mut self.slow.0, &other.slow.0),
            (&mut self.slow.1, &other.slow.1),
        ] {
            to.add(from)?;
        }
        self.sums.waited_ns += other.sums.waited_ns;
        self.sums.late_ns += other.sums.late_ns;
        self.sums.from_sending_ns += other.sums.from_sending_ns;
        self.sums.latency_ns += other.sums.latency_ns;
        self.waited += other.waited;
        self.not_sent += other.not_sent;
        other.statuses.iter().for_each(|(key, count)| *self.statuses.entry(*key).or_default() += count);
        other.failures.iter().for_each(|(key, count)| *self.failures.entry(*key).or_default() += count);
        other.error_codes.iter().for_each(|(key, count)| *self.error_codes.entry(*key).or_default() += count);
        self.connect_errors += other.connect_errors;
        self.closed += other.closed;
        self.malformed += other.malformed;
        self.timeouts += other.timeouts;
        if self.first_error.is_none() {
            self.first_error.clone_from(&other.first_error);
        }
        self.reconnects += other.reconnects;
        self.elapsed_ns += other.elapsed_ns;
        self.sending_ns += other.sending_ns;
        self.free_ns += other.free_ns;
        self.log.extend(&other.log);
        Ok(())
    }

    /// Requests that ended without a reply.
    pub fn errors(&self) -> u64 {
        self.connect_errors + self.closed + self.malformed + self.timeouts
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
                "timeouts": self.timeouts,
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

    const OK: Reply = Reply { status: 200, ..Reply::PLAIN };

    #[test]
    fn slow_requests_and_errors_are_told_apart() {
        let mut outcome = Outcome::new().unwrap();
        outcome.sent = 5;
        let entry = Entry { intended_ns: 1_000_000, sent_ns: 2_000_000, done_ns: 3_000_000, ..Entry::default() };
        outcome.record(entry, 400_000, OK);
        outcome.record(
            Entry { slow: true, done_ns: 12_000_000, ..entry },
            0,
            Reply { status: 500, error: Some(Code::of(b"X")), ..OK },
        );
        outcome.fail(Failure::Reset, "reset".into());
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

    #[test]
    fn slices_add_up() {
        let mut slice = Outcome::new().unwrap();
        let entry = Entry { intended_ns: 1_000_000, sent_ns: 2_000_000, done_ns: 3_000_000, ..Entry::default() };
        slice.record(entry, 400_000, Reply { error: Some(Code::of(b"ERR")), ..Reply::PLAIN });
        slice.fail(Failure::Timeout, "no reply".into());
        (slice.sent, slice.not_sent, slice.elapsed_ns) = (2, 3, 7);
        let sums = Sums { waited_ns: 600_000, late_ns: 400_000, from_sending_ns: 1_000_000, latency_ns: 2_000_000 };
        assert_eq!(slice.sums, sums);
        let mut all = slice.clone();
        all.merge(&slice).unwrap();
        assert_eq!((all.sent, all.completed, all.not_sent, all.elapsed_ns), (4, 2, 6, 14));
        assert_eq!((all.latency.len(), all.timeouts, all.errors()), (2, 2, 2));
        assert_eq!((all.error_codes.values().sum::<u64>(), all.failures[&Failure::Timeout]), (2, 2));
        assert_eq!(all.sums.latency_ns, 4_000_000);
    }
}
