//! The endpoints of a service: most requests first, and the verdicts of those that have an objective.
//!
//! In: the table `endpoints` of a report, the verdicts, who the slowest requests are of. Out: rows that can be sorted and filtered; those
//! that the page has no room for are summed, unless they are among the slowest.

use super::parts::{of_all, verdict};
use crate::analysis::tables::{EndpointRow, rows};
use crate::output::text::{ABSENT, percentiles};
use crate::output::words::called;
use crate::report::{ServiceReport, TailEndpointReport, Verdict};
use crate::units::{duration, grouped, percent};

/// Rows of all services of a page, and of each at least.
const ROWS: usize = 400;
const LEAST: usize = 10;

/// A row.
pub struct Endpoint {
    /// What is asked for.
    pub name: String,
    /// Its protocol, and what kind of request if it is no plain one.
    pub protocol: String,
    /// Requests, failed, share of the time, share of the slowest, p50, p99, max.
    pub figures: [String; 7],
    /// Whether its P99 misses the objective.
    pub slow: bool,
}

/// The table.
pub struct Endpoints {
    /// The rows.
    pub rows: Vec<Endpoint>,
    /// What is not shown, in words; empty if nothing.
    pub rest: String,
}

/// An endpoint that is held against something of its own.
pub struct Objective {
    /// Its name.
    pub name: String,
    /// Class of the verdict.
    pub class: &'static str,
    /// Sign and word of it.
    pub verdict: &'static str,
    /// Its P99, and why the verdict.
    pub why: String,
}

/// The verdicts, those first that are missed.
pub fn objectives(service: &ServiceReport, services: usize) -> Vec<Objective> {
    let mut all: Vec<_> = service.endpoint_objectives.iter().collect();
    all.sort_by_key(|of| of.verdict != Some(Verdict::Missed));
    let one = |of: &&crate::report::EndpointObjectiveReport| {
        let (class, verdict) = verdict(of.verdict);
        let p99 = of.found_p99_ns.map_or_else(String::new, |ns| format!("P99 {} · ", duration(ns)));
        Objective { name: called(&of.name), class, verdict, why: format!("{p99}{}", of.reason) }
    };
    all.iter().take((ROWS / services.max(1)).max(LEAST)).map(one).collect()
}

/// The endpoints; `None` where there are none.
pub fn endpoints(service: &ServiceReport, services: usize) -> Option<Endpoints> {
    let rows: Vec<EndpointRow> = rows(&service.tables).filter(|rows: &Vec<_>| !rows.is_empty())?;
    let room = (ROWS / services.max(1)).max(LEAST);
    let whole = rows.iter().map(EndpointRow::time_ns).fold(0, u64::saturating_add);
    let slowest = service.tail.as_ref().map_or(&[][..], |tail| &tail.endpoints);
    // A page without those that make the tail would hide what it is about.
    let is_shown = |(at, row): &(usize, &EndpointRow)| *at < room || of_tail(slowest, row).is_some();
    let (shown, others): (Vec<_>, Vec<_>) = rows.iter().enumerate().partition(is_shown);
    let rest = match others.len() {
        0 => String::new(),
        n => {
            let requests = others.iter().map(|(_, row)| row.requests).fold(0, u64::saturating_add);
            let time = others.iter().map(|(_, row)| row.time_ns()).fold(0, u64::saturating_add);
            format!(
                "{} more endpoints with {} requests and {} of the time are in the JSON report",
                grouped(n as u64),
                grouped(requests),
                percent(time, whole)
            )
        }
    };
    let objective_ns = service.objective.p99_ns;
    Some(Endpoints { rows: shown.iter().map(|(_, row)| endpoint(row, whole, slowest, objective_ns)).collect(), rest })
}

/// What is said of an endpoint among the slowest requests.
fn of_tail<'a>(slowest: &'a [TailEndpointReport], row: &EndpointRow) -> Option<&'a TailEndpointReport> {
    slowest.iter().find(|of| row.is_request() && of.protocol == row.protocol && of.name == row.name)
}

fn endpoint(row: &EndpointRow, whole: u64, slowest: &[TailEndpointReport], objective_ns: u64) -> Endpoint {
    let [p50, _, p99, _, _, max] = percentiles(&row.latency);
    // What waits by design takes no time of anybody.
    let time = if row.waits_by_design() { ABSENT.into() } else { percent(row.time_ns(), whole) };
    let tail = match of_tail(slowest, row).map(|of| of.share) {
        Some(share) => percent((share * 1e4).round() as u64, 10_000),
        None if row.is_request() && !slowest.is_empty() => "0 %".into(),
        None => ABSENT.into(),
    };
    let figures = [grouped(row.requests), of_all(row.failed, row.requests), time, tail, p50, p99, max];
    let protocol = match (row.protocol.is_empty(), row.is_request()) {
        (true, _) => ABSENT.to_owned(),
        (false, true) => row.protocol.clone(),
        (false, false) => format!("{}, {}", row.protocol, row.kind.replace('_', " ")),
    };
    let slow = row.is_request() && row.p99_ns().is_some_and(|p99| p99 >= objective_ns);
    let name = if row.name.is_empty() { "all others".into() } else { row.name.clone() };
    Endpoint { name, protocol, figures, slow }
}
