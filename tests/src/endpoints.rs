//! Endpoints of a report, as a test compares them with what the server or its client counted.
//!
//! In: a report. Out: its rows, and the counts of those that are requests, by name.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::report::{Report, Spread};

/// How many requests, and how many of them failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Answered, failed ones included.
    pub requests: u64,
    /// Answered with an error.
    pub failed: u64,
}

impl Counts {
    /// Adds so many requests, of which `failed` failed.
    pub fn add(&mut self, requests: u64, failed: u64) {
        self.requests += requests;
        self.failed += failed;
    }
}

/// Counts by name.
pub type Named = BTreeMap<String, Counts>;

/// One row.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// `http`, `resp`, `postgres`; empty in the row of all that have none of their own.
    pub protocol: String,
    /// `request`, `wait_by_design`.
    pub kind: String,
    /// Route, command, statement.
    pub name: String,
    /// What was counted.
    pub counts: Counts,
    /// Failed by the client's fault.
    pub refused: u64,
    /// Latency.
    pub latency: Spread,
}

/// The rows of a service; none if the report has no such table.
pub fn endpoints(report: &Report, service: &str) -> Vec<Endpoint> {
    let rows = report.service(service)["endpoints"].as_array().cloned().unwrap_or_default();
    rows.into_iter().map(|row| endpoint(&row)).collect()
}

fn endpoint(row: &Value) -> Endpoint {
    let text = |field: &str| row[field].as_str().unwrap_or_else(|| panic!("no {field} in {row}")).to_owned();
    let count = |field: &str| row[field].as_u64().unwrap_or_else(|| panic!("no {field} in {row}"));
    Endpoint {
        protocol: text("protocol"),
        kind: text("kind"),
        name: text("name"),
        counts: Counts { requests: count("requests"), failed: count("failed") },
        refused: count("refused"),
        latency: Spread::of(&row["latency"]),
    }
}

/// One row of what a service asks its peers for.
#[derive(Clone, Debug)]
pub struct Called {
    /// Address of the peer.
    pub peer: String,
    /// What it is asked for; nobody is at fault here.
    pub endpoint: Endpoint,
    /// Calls for it behind another one, for the same request.
    pub repeated: u64,
}

/// What a service has asked its peers for.
pub fn called(report: &Report, service: &str) -> Vec<Called> {
    let rows = report.service(service)["downstream_endpoints"].as_array().cloned().unwrap_or_default();
    let one = |mut row: Value| {
        (row["requests"], row["refused"]) = (row["calls"].take(), 0.into());
        let peer = row["peer"].as_str().unwrap_or_else(|| panic!("no peer in {row}")).to_owned();
        Called { peer, repeated: row["repeated"].as_u64().unwrap_or(u64::MAX), endpoint: endpoint(&row) }
    };
    rows.into_iter().map(one).collect()
}

/// The row of that name, of any peer.
#[track_caller]
pub fn find_called(report: &Report, service: &str, name: &str) -> Called {
    let rows = called(report, service);
    let row = rows.iter().find(|row| row.endpoint.name == name).cloned();
    row.unwrap_or_else(|| {
        panic!("no call of {name} in {:?}", rows.iter().map(|row| &row.endpoint.name).collect::<Vec<_>>())
    })
}

/// The row of that name.
#[track_caller]
pub fn find(rows: &[Endpoint], name: &str) -> Endpoint {
    let row = rows.iter().find(|row| row.name == name).cloned();
    row.unwrap_or_else(|| panic!("no {name} in {:?}", rows.iter().map(|row| &row.name).collect::<Vec<_>>()))
}

/// Counts of the rows that are requests, those without a name of their own included.
pub fn requests(rows: &[Endpoint]) -> Named {
    let requests = rows.iter().filter(|row| ["request", ""].contains(&row.kind.as_str()));
    requests.map(|row| (row.name.clone(), row.counts)).collect()
}

/// The service counted each of these under its name, nothing under another, and all of them as requests.
#[track_caller]
pub fn assert_named(report: &Report, service: &str, truth: &Named) {
    let rows = endpoints(report, service);
    let seen = requests(&rows);
    let mut wrong: Vec<String> = Vec::new();
    for name in truth.keys().chain(seen.keys().filter(|name| !truth.contains_key(*name))) {
        let (wanted, counted) = (truth.get(name), seen.get(name));
        if wanted != counted {
            wrong.push(format!("{name}: counted {counted:?}, is {wanted:?}"));
        }
    }
    let all: u64 = truth.values().map(|counts| counts.requests).sum();
    println!("{service}: {all} requests of {} kinds, ledger {:?}", truth.len(), report.losses());
    let counted = report.requests(service);
    if counted != all {
        wrong.push(format!("requests.count {counted}, is {all}"));
    }
    let (named, counted) = (report.integer(service, "/coverage/named"), report.integer(service, "/coverage/counted"));
    if (named, counted) != (all, all) {
        wrong.push(format!("coverage {named} of {counted}, is {all} of {all}"));
    }
    assert!(
        wrong.is_empty(),
        "{service}: ledger {:?}, {} wrong:\n  {}",
        report.losses(),
        wrong.len(),
        wrong.join("\n  ")
    );
    report.assert_nothing_lost(all);
}
