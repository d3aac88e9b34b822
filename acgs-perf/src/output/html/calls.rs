//! What a service asks its peers for: most calls first.
//!
//! In: the table `downstream_endpoints` of a report. Out: rows; how many more there are.

use serde::Deserialize as _;
use serde_json::Value;

use super::parts::peer_name;
use crate::live::probes::called_endpoints;
use crate::output::text::{ABSENT, percentiles};
use crate::report::{Distribution, ServiceReport};
use crate::units::{grouped, percent};

/// Rows of all services of a page, and of each at least.
const ROWS: usize = 200;
const LEAST: usize = 8;

/// A row.
pub struct Call {
    /// What is asked for.
    pub name: String,
    /// Peer, calls, calls for each request, failed, p50, p99, max.
    pub figures: [String; 7],
}

/// The table.
#[derive(Default)]
pub struct Calls {
    /// The rows.
    pub rows: Vec<Call>,
    /// How many more there are.
    pub more: usize,
}

/// The calls of a service by name, one of so many on a page.
pub fn calls(service: &ServiceReport, services: usize) -> Calls {
    let rows = service.tables.get(called_endpoints::SECTION).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let room = rows.len().min((ROWS / services.max(1)).max(LEAST));
    Calls { rows: rows[..room].iter().map(|row| call(row, service)).collect(), more: rows.len() - room }
}

fn call(row: &Value, service: &ServiceReport) -> Call {
    let text = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default();
    let number = |name: &str| row.get(name).and_then(Value::as_u64).unwrap_or(0);
    let latency = row.get("latency").and_then(|of| Distribution::deserialize(of).ok()).unwrap_or_default();
    let [p50, _, p99, _, _, max] = percentiles(&latency);
    let (calls, failed) = (number("calls"), number("failed"));
    let requests = service.requests.as_ref().map_or(0, |requests| requests.count);
    let each = if requests == 0 { ABSENT.into() } else { format!("{:.2}", calls as f64 / requests as f64) };
    let failed = if failed == 0 { "0".into() } else { format!("{} ({})", grouped(failed), percent(failed, calls)) };
    let peer = if text("peer").is_empty() { ABSENT.into() } else { peer_name(text("peer"), service) };
    Call { name: text("name").to_owned(), figures: [peer, grouped(calls), each, failed, p50, p99, max] }
}
