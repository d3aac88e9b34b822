//! Reading the agent's JSON report as a test needs it.
//!
//! In: the file. Out: counts, distributions, the loss ledger; a panic with the whole value where a field is missing,
//! because a missing field is a failed test.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use serde_json::Value;

use crate::hostile::PROVOKED;
use crate::kernel;

/// The report.
#[derive(Clone, Debug)]
pub struct Report(pub Value);

/// One distribution of the report.
#[derive(Clone, Debug)]
pub struct Spread(Value);

impl Report {
    /// Reads the file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        Ok(Self(serde_json::from_str(&text).context("the report is not JSON")?))
    }

    /// The service of that name.
    pub fn service(&self, name: &str) -> &Value {
        let services = self.0["services"].as_array().unwrap_or_else(|| panic!("no services in {}", self.0));
        services
            .iter()
            .find(|service| service["name"] == name)
            .unwrap_or_else(|| panic!("no service {name} in {}", self.0))
    }

    /// Requests counted.
    pub fn requests(&self, name: &str) -> u64 {
        integer(&self.service(name)["requests"]["count"], "requests.count")
    }

    /// A distribution, by JSON pointer below the service: `/requests/latency`.
    pub fn spread(&self, name: &str, pointer: &str) -> Spread {
        let service = self.service(name);
        Spread(service.pointer(pointer).unwrap_or_else(|| panic!("no {pointer} in {service}")).clone())
    }

    /// One number, by JSON pointer below the service: `/scheduler/run_queue_ns`.
    pub fn integer(&self, name: &str, pointer: &str) -> u64 {
        let service = self.service(name);
        integer(service.pointer(pointer).unwrap_or(&Value::Null), pointer)
    }

    /// The counters of the ledger that are not 0.
    pub fn losses(&self) -> Vec<(String, u64)> {
        let ledger = self.0["ledger"].as_object().unwrap_or_else(|| panic!("no ledger in {}", self.0));
        assert!(!ledger.is_empty(), "the ledger is empty");
        let counts = ledger.iter().map(|(name, count)| (name.clone(), integer(count, name)));
        counts.filter(|(_, count)| *count != 0).collect()
    }

    /// Whether there is a finding with this id.
    pub fn found(&self, id: &str) -> bool {
        let findings = self.0["findings"].as_array().unwrap_or_else(|| panic!("no findings in {}", self.0));
        findings.iter().any(|finding| finding["id"] == id)
    }

    /// How many events were missed at most because their program was under way.
    pub fn misses(&self) -> u64 {
        self.losses().iter().find(|(name, _)| name == "recursion_misses").map_or(0, |(_, count)| *count)
    }

    /// The ledger has this counter above 0, and no other but it and those `beside` it; gives the count.
    #[track_caller]
    pub fn lost(&self, counter: &str, beside: &[&str]) -> u64 {
        assert!(PROVOKED.contains(&counter), "{counter} is missing in the list");
        let losses = self.losses();
        let others = losses.iter().filter(|(name, _)| name != counter && !beside.contains(&name.as_str()));
        assert_eq!(others.count(), 0, "more than {counter}: {losses:?}");
        let count = losses.iter().find(|(name, _)| name == counter).map(|(_, count)| *count);
        count.unwrap_or_else(|| panic!("{counter} is 0: {losses:?}"))
    }

    /// Every request is in the count, and in a row of the attribution histogram whose components add up.
    #[track_caller]
    pub fn assert_requests(&self, name: &str, requests: u64) {
        assert_eq!(self.requests(name), requests);
        let rows = self.service(name).pointer("/attribution/rows").and_then(Value::as_array);
        let mut in_rows = 0;
        for row in rows.unwrap_or_else(|| panic!("no rows in {}", self.service(name))) {
            let parts = row["component_ns"].as_object().into_iter().flatten().map(|(name, ns)| integer(ns, name));
            assert_eq!(parts.sum::<u64>(), integer(&row["latency_ns"], "latency_ns"), "{row}");
            in_rows += integer(&row["count"], "count");
        }
        assert_eq!(in_rows, requests, "requests in rows");
    }

    /// The service counted exactly these requests, and the ledger has nothing but what [`kernel::unavoidable`] allows.
    #[track_caller]
    pub fn assert_exact(&self, name: &str, requests: u64) {
        self.assert_counted(name, requests, &[]);
    }

    /// The same of requests on UNIX sockets: a reader that does not sleep can take what was queued before the kernel tells, so
    /// that one arrival in a thousand may be unseen.
    #[track_caller]
    pub fn assert_exact_on_unix(&self, name: &str, requests: u64) {
        self.assert_counted(name, requests, &[("arrival_unseen", requests / 1000 + 1)]);
    }

    /// The same of a service that calls others: on loopback an answer can arrive while the send that asked for it still returns,
    /// and has no latency then; that may be so of one call in two hundred.
    #[track_caller]
    pub fn assert_exact_with_calls(&self, name: &str, requests: u64) {
        self.assert_counted(name, requests, &[("negative_difference", requests / 200 + 1)]);
    }

    /// The same, but for so many of these losses.
    #[track_caller]
    pub fn assert_counted(&self, name: &str, requests: u64, beside: &[(&str, u64)]) {
        let (counted, losses) = (self.requests(name), self.losses());
        println!("{name}: counted {counted} of {requests}, ledger {losses:?}");
        let mut beyond = self.losses_beyond(requests);
        beyond.retain(|(loss, count)| !beside.iter().any(|(name, most)| loss == name && count <= most));
        assert!(
            counted == requests && beyond.is_empty(),
            "{name}: counted {counted}, sent {requests}, difference {}; losses {losses:?}",
            counted as i128 - i128::from(requests)
        );
    }

    /// Nothing was lost of so many requests or waits, but what [`kernel::unavoidable`] allows.
    #[track_caller]
    pub fn assert_nothing_lost(&self, events: u64) {
        assert!(self.losses_beyond(events).is_empty(), "{:?}", self.losses());
    }

    /// What was lost of so many requests or waits beyond what [`kernel::unavoidable`] allows.
    pub fn losses_beyond(&self, events: u64) -> Vec<(String, u64)> {
        let mut losses = self.losses();
        losses.retain(|(loss, count)| *count > kernel::unavoidable(loss, events));
        losses
    }
}

impl Spread {
    /// That of any row of the report.
    #[must_use]
    pub fn of(distribution: &Value) -> Self {
        Self(distribution.clone())
    }

    /// A field such as `p99_ns` or `count`.
    pub fn get(&self, field: &str) -> u64 {
        integer(&self.0[field], field)
    }

    /// The whole histogram.
    pub fn histogram(&self) -> Histogram<u64> {
        let text = self.0["histogram"].as_str().unwrap_or_else(|| panic!("no histogram in {}", self.0));
        let bytes = STANDARD.decode(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap_or_else(|error| panic!("{text}: {error:?}"))
    }

    /// How many values lie between these two, both buckets included.
    pub fn between(&self, low_ns: u64, high_ns: u64) -> u64 {
        self.histogram().count_between(low_ns, high_ns)
    }
}

fn integer(value: &Value, what: &str) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{what} is {value}, not an integer"))
}
