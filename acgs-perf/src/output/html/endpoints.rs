//! The endpoints of a service: most requests first.
//!
//! In: the table `endpoints` of a report. Out: rows that can be sorted and filtered, those that
//! the page has no room for are summed.

use serde::Deserialize as _;
use serde_json::Value;

use crate::live::probes::endpoints;
use crate::output::text::{ABSENT, percentiles};
use crate::report::{Distribution, ServiceReport};
use crate::units::{grouped, percent};

/// Rows of all services of a page, and of each at least.
const ROWS: usize = 400;
const LEAST: usize = 10;

/// A row.
pub struct Endpoint {
    /// What is asked for.
    pub name: String,
    /// Its protocol, and what kind of request if it is no plain one.
    pub protocol: String,
    /// Requests, failed, share of the time, p50, p99, max.
    pub figures: [String; 6],
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

/// The endpoints; `None` where there are none.
pub fn endpoints(service: &ServiceReport, services: usize) -> Option<Endpoints> {
    let rows = service.tables.get(endpoints::SECTION)?.as_array().filter(|rows| !rows.is_empty())?;
    let room = (ROWS / services.max(1)).max(LEAST);
    let whole = rows.iter().filter_map(time).fold(0u64, u64::saturating_add);
    let (shown, others) = rows.split_at(rows.len().min(room));
    let count = |row: &Value| row.get("requests").and_then(Value::as_u64).unwrap_or(0);
    let rest = match others.len() {
        0 => String::new(),
        n => {
            let sum = others.iter().map(count).fold(0u64, u64::saturating_add);
            let time = others.iter().filter_map(time).fold(0u64, u64::saturating_add);
            let share = percent(time, whole);
            format!(
                "{} more endpoints with {} requests and {share} of the time are in the JSON report",
                grouped(n as u64),
                grouped(sum)
            )
        }
    };
    Some(Endpoints { rows: shown.iter().map(|row| endpoint(row, whole, service.objective.p99_ns)).collect(), rest })
}

fn latency(row: &Value) -> Option<Distribution> {
    Distribution::deserialize(row.get("latency")?).ok()
}

/// Time of all its requests together.
fn time(row: &Value) -> Option<u64> {
    let latency = row.get("latency")?;
    let number = |name: &str| latency.get(name).and_then(Value::as_u64);
    number("sum_ns").or_else(|| Some(number("mean_ns")?.saturating_mul(number("count")?)))
}

fn endpoint(row: &Value, whole: u64, objective_ns: u64) -> Endpoint {
    let text = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let number = |name: &str| row.get(name).and_then(Value::as_u64).unwrap_or(0);
    let (protocol, name) = (text("protocol"), text("name"));
    let is_plain = text("kind") == "request";
    let latency = latency(row).unwrap_or_default();
    let [p50, _, p99, _, _, max] = percentiles(&latency);
    let failed = match (number("failed"), number("requests")) {
        (0, _) => "0".to_owned(),
        (failed, requests) => format!("{} ({})", grouped(failed), percent(failed, requests)),
    };
    let time = percent(time(row).unwrap_or(0), whole);
    let figures = [grouped(number("requests")), failed, time, p50, p99, max];
    let protocol = match (protocol.is_empty(), is_plain) {
        (true, _) => ABSENT.to_owned(),
        (false, true) => protocol,
        (false, false) => format!("{protocol}, {}", text("kind").replace('_', " ")),
    };
    let slow = is_plain && latency.p99_ns.or(latency.p99_at_least_ns).is_some_and(|p99| p99 >= objective_ns);
    Endpoint { name: if name.is_empty() { "all others".into() } else { name }, protocol, figures, slow }
}
