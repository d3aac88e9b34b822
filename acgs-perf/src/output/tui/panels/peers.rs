//! Whom a service calls, and how long they take.

use super::Panel;
use crate::output::text::layout::few_percentiles;
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
