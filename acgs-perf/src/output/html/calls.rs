//! What a service asks its peers for: most calls first.
//!
//! In: the table `downstream_endpoints` of a report. Out: rows; how many more there are.

use super::parts::{of_all, peer_name};
use crate::analysis::tables::{CallRow, rows};
use crate::output::text::{ABSENT, percentiles};
use crate::report::ServiceReport;
use crate::units::grouped;

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
    let rows: Vec<CallRow> = rows(&service.tables).unwrap_or_default();
    let room = rows.len().min((ROWS / services.max(1)).max(LEAST));
    Calls { rows: rows[..room].iter().map(|row| call(row, service)).collect(), more: rows.len() - room }
}

fn call(row: &CallRow, service: &ServiceReport) -> Call {
    let [p50, _, p99, _, _, max] = percentiles(&row.latency);
    let requests = service.requests.as_ref().map_or(0, |requests| requests.count);
    let each = if requests == 0 { ABSENT.into() } else { format!("{:.2}", row.calls as f64 / requests as f64) };
    let peer = if row.peer.is_empty() { ABSENT.into() } else { peer_name(&row.peer, service) };
    let figures = [peer, grouped(row.calls), each, of_all(row.failed, row.calls), p50, p99, max];
    Call { name: row.name.clone(), figures }
}
