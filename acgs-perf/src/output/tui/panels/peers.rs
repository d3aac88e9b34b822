//! Whom a service calls, what for, and how long they take.

use super::Panel;
use crate::analysis::tables::{CallRow, rows};
use crate::output::text::few_percentiles;
use crate::output::tui::canvas::{left, plain, right, styled};
use crate::output::tui::theme::Theme;
use crate::report::{DownstreamReport, ServiceReport};
use crate::units::grouped;

/// Peers that are shown.
const SHOWN: usize = 10;
const CALLS: usize = 10;
const RATIO: usize = 11;
const TIME: usize = 9;

/// The peers with most calls first, as the report has them; those whose name alone is known have no line.
pub fn downstream(theme: Theme, service: &ServiceReport, width: usize) -> Option<Panel> {
    let called = service.downstream.as_ref()?.iter().filter(|peer| peer.calls + peer.unanswered > 0);
    let peers: Vec<&DownstreamReport> = called.collect();
    if peers.is_empty() {
        return None;
    }
    let room = width.saturating_sub(CALLS + RATIO + 3 * TIME);
    let times = ["p50", "p99", "max"].map(|name| right(name, TIME)).concat();
    let head = format!("{}{}{}{times}", left("peer", room), right("calls", CALLS), right("a request", RATIO));
    let mut lines = vec![vec![styled(head, theme.minor())]];
    for peer in peers.iter().take(SHOWN) {
        let name = match &peer.service {
            Some(service) => format!("{service} ({})", peer.address),
            None => peer.address.clone(),
        };
        let ratio = peer.calls_per_request.map_or_else(|| "–".into(), |ratio| format!("{ratio:.2}"));
        let times = few_percentiles(&peer.latency).map(|cell| right(&cell, TIME)).concat();
        let text =
            format!("{}{}{}{times}", left(&name, room), right(&grouped(peer.calls), CALLS), right(&ratio, RATIO));
        lines.push(vec![plain(text)]);
    }
    if peers.len() > SHOWN {
        lines.push(vec![styled(format!("and {} more", peers.len() - SHOWN), theme.minor())]);
    }
    Some(Panel::new(theme, "downstream", lines))
}

/// What the peers are asked for, most calls first, as the report has it.
pub fn calls(theme: Theme, service: &ServiceReport, width: usize) -> Option<Panel> {
    let all: Vec<CallRow> = rows(&service.tables).filter(|rows: &Vec<_>| !rows.is_empty())?;
    let room = width.saturating_sub(3 * CALLS + 2 * TIME);
    let cells = |name: &str, counts: [String; 3], times: [String; 2]| {
        let counts = counts.map(|cell| right(&cell, CALLS)).concat();
        left(name, room) + &counts + &times.map(|cell| right(&cell, TIME)).concat()
    };
    let head = cells("call", ["calls", "failed", "repeated"].map(str::to_owned), ["p50", "p99"].map(str::to_owned));
    let mut lines = vec![vec![styled(head, theme.minor())]];
    for call in all.iter().take(SHOWN) {
        let [p50, p99, _] = few_percentiles(&call.latency);
        let name = if call.peer.is_empty() { call.name.clone() } else { format!("{} · {}", call.name, call.peer) };
        let text = cells(&name, [call.calls, call.failed, call.repeated].map(grouped), [p50, p99]);
        lines.push(vec![if call.failed > 0 { styled(text, theme.doubtful()) } else { plain(text) }]);
    }
    if all.len() > SHOWN {
        lines.push(vec![styled(format!("and {} more", all.len() - SHOWN), theme.minor())]);
    }
    Some(Panel::new(theme, "downstream calls", lines))
}
