//! What a service is asked for: by the time that it takes in all, or by how slow it is at its slowest; and what is concluded of the
//! endpoints that have an objective of their own.

use std::cmp::Reverse;

use super::Panel;
use crate::analysis::tables::{EndpointRow, rows};
use crate::output::text::few_percentiles;
use crate::output::tui::Shown;
use crate::output::tui::canvas::{labelled, left, plain, right, styled};
use crate::output::tui::rows::verdict;
use crate::output::tui::state::EndpointOrder;
use crate::output::tui::theme::Theme;
use crate::output::words::called;
use crate::report::{ServiceReport, Verdict};
use crate::units::{duration, grouped, percent};

/// Endpoints that are shown.
const SHOWN: usize = 20;
const COUNT: usize = 10;
const SHARE: usize = 8;
const TIME: usize = 9;
/// From so many columns on there is room for the largest latency too.
const WITH_MAX: usize = 90;
/// Objectives that are shown.
const OBJECTIVES: usize = 10;

/// The endpoints; `None` where they were not followed, or nobody has asked for any.
pub fn endpoints(shown: &Shown<'_>, service: &ServiceReport, width: usize) -> Option<Panel> {
    let mut all: Vec<EndpointRow> = rows(&service.tables).filter(|rows: &Vec<_>| !rows.is_empty())?;
    let whole = all.iter().map(EndpointRow::time_ns).fold(0, u64::saturating_add);
    let heading = match shown.state.endpoints {
        EndpointOrder::Time => {
            all.sort_by_key(|one| (one.waits_by_design(), Reverse(one.time_ns())));
            "endpoints, by the time of all their requests (e: by P99)"
        }
        EndpointOrder::Tail => {
            all.sort_by_key(|one| (one.waits_by_design(), Reverse(one.p99_ns())));
            "endpoints, by P99 (e: by the time of all their requests)"
        }
    };
    let theme = shown.theme;
    let times = if width < WITH_MAX { 2 } else { 3 };
    let room = width.saturating_sub(2 * COUNT + 2 * SHARE + times * TIME);
    let cells = |name: &str, counts: [String; 2], shares: [String; 2], latency: [String; 3]| {
        let counts = counts.map(|cell| right(&cell, COUNT)).concat();
        let shares = shares.map(|cell| right(&cell, SHARE)).concat();
        left(name, room)
            + &counts
            + &shares
            + &latency[..times].iter().map(|cell| right(cell, TIME)).collect::<String>()
    };
    let head = cells(
        "name",
        ["requests", "failed"].map(str::to_owned),
        ["time", "tail"].map(str::to_owned),
        ["p50", "p99", "max"].map(str::to_owned),
    );
    let mut lines = vec![vec![styled(head, theme.minor())]];
    for one in all.iter().take(SHOWN) {
        let share = if one.waits_by_design() { "waits".into() } else { percent(one.time_ns(), whole) };
        let counts = [one.requests, one.failed].map(grouped);
        let text = cells(&one.name, counts, [share, of_tail(service, one)], few_percentiles(&one.latency));
        lines.push(vec![if one.failed > 0 { styled(text, theme.doubtful()) } else { plain(text) }]);
    }
    if all.len() > SHOWN {
        lines.push(vec![styled(format!("and {} more", all.len() - SHOWN), theme.minor())]);
    }
    Some(Panel::new(theme, heading, lines))
}

/// Its share of the slowest requests, where that is known.
fn of_tail(service: &ServiceReport, row: &EndpointRow) -> String {
    let slowest = service.tail.as_ref().map_or(&[][..], |tail| &tail.endpoints);
    if slowest.is_empty() || !row.is_request() {
        return "–".into();
    }
    let found = slowest.iter().find(|of| of.protocol == row.protocol && of.name == row.name);
    percent(found.map_or(0, |of| (of.share * 1e4).round() as u64), 10_000)
}

/// The verdicts of endpoints, those first that are missed; `None` where none has an objective of its own.
pub fn objectives(theme: Theme, service: &ServiceReport, width: usize) -> Option<Panel> {
    let mut all: Vec<_> = service.endpoint_objectives.iter().collect();
    if all.is_empty() {
        return None;
    }
    all.sort_by_key(|of| of.verdict != Some(Verdict::Missed));
    let mut lines = Vec::new();
    for of in all.iter().take(OBJECTIVES) {
        let p99 = of.found_p99_ns.map_or_else(String::new, |ns| format!("P99 {} · ", duration(ns)));
        let label = styled(verdict(of.verdict), theme.verdict(of.verdict));
        lines.extend(labelled(label, &called(&of.name), width, theme.strong()));
        lines.extend(labelled(plain(""), &format!("{p99}{}", of.reason), width, theme.minor()));
    }
    if all.len() > OBJECTIVES {
        lines.push(vec![styled(format!("and {} more", all.len() - OBJECTIVES), theme.minor())]);
    }
    Some(Panel::new(theme, "objectives of endpoints", lines))
}
