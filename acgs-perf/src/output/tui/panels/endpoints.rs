//! What a service is asked for: by the time that it takes in all, or by how slow it is at its slowest.

use std::cmp::Reverse;

use serde::Deserialize;
use serde_json::Value;

use super::Panel;
use crate::live::probes::endpoints::SECTION;
use crate::output::text::few_percentiles;
use crate::output::tui::Shown;
use crate::output::tui::canvas::{left, plain, right, styled};
use crate::output::tui::state::EndpointOrder;
use crate::report::{Distribution, ServiceReport};
use crate::units::{grouped, percent};

/// Endpoints that are shown.
const SHOWN: usize = 20;
const COUNT: usize = 10;
const SHARE: usize = 8;
const TIME: usize = 9;

/// A row of the report's table.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Endpoint {
    name: String,
    kind: String,
    requests: u64,
    failed: u64,
    latency: Distribution,
}

impl Endpoint {
    /// The time of all its requests.
    fn time_ns(&self) -> u64 {
        let latency = &self.latency;
        latency.sum_ns.or_else(|| Some(latency.mean_ns?.saturating_mul(latency.count))).unwrap_or(0)
    }

    fn p99_ns(&self) -> u64 {
        self.latency.p99_ns.or(self.latency.p99_at_least_ns).unwrap_or(0)
    }

    /// What waits by design takes no time of anybody.
    fn is_request(&self) -> bool {
        self.kind != "wait_by_design"
    }
}

/// The endpoints; `None` where they were not followed, or nobody has asked for any.
pub fn endpoints(shown: &Shown<'_>, service: &ServiceReport, width: usize) -> Option<Panel> {
    let rows = service.tables.get(SECTION).and_then(Value::as_array)?;
    let mut all: Vec<Endpoint> = rows.iter().filter_map(|row| Endpoint::deserialize(row).ok()).collect();
    if all.is_empty() {
        return None;
    }
    let whole = all.iter().filter(|one| one.is_request()).fold(0u64, |sum, one| sum.saturating_add(one.time_ns()));
    let heading = match shown.state.endpoints {
        EndpointOrder::Time => {
            all.sort_by_key(|one| (Reverse(one.is_request()), Reverse(one.time_ns())));
            "endpoints, by the time of all their requests (e: by P99)"
        }
        EndpointOrder::Tail => {
            all.sort_by_key(|one| (Reverse(one.is_request()), Reverse(one.p99_ns())));
            "endpoints, by P99 (e: by the time of all their requests)"
        }
    };
    let theme = shown.theme;
    let room = width.saturating_sub(2 * COUNT + SHARE + 3 * TIME);
    let cells = |name: &str, requests: &str, failed: &str, share: &str, times: [String; 3]| {
        let counts = format!("{}{}{}", right(requests, COUNT), right(failed, COUNT), right(share, SHARE));
        left(name, room) + &counts + &times.map(|cell| right(&cell, TIME)).concat()
    };
    let head = cells("name", "requests", "failed", "time", ["p50", "p99", "max"].map(str::to_owned));
    let mut lines = vec![vec![styled(head, theme.minor())]];
    for one in all.iter().take(SHOWN) {
        let share = if one.is_request() { percent(one.time_ns(), whole) } else { "waits".into() };
        let text =
            cells(&one.name, &grouped(one.requests), &grouped(one.failed), &share, few_percentiles(&one.latency));
        lines.push(vec![if one.failed > 0 { styled(text, theme.doubtful()) } else { plain(text) }]);
    }
    if all.len() > SHOWN {
        lines.push(vec![styled(format!("and {} more", all.len() - SHOWN), theme.minor())]);
    }
    Some(Panel::new(theme, heading, lines))
}
