//! How many requests, how long they took, and what is said of the objective.

use super::Panel;
use crate::output::text::percentiles;
use crate::output::tui::canvas::{Line, left, plain, right, styled, wrapped};
use crate::output::tui::theme::Theme;
use crate::report::{Distribution, RequestsReport, ServiceReport};
use crate::units::{bytes, duration, grouped, rate, span};

/// Percentiles, and the reason of the verdict.
pub fn latency(theme: Theme, service: &ServiceReport, width: usize) -> Panel {
    let objective = &service.objective;
    let goal = format!("objective: P99 < {} at > {} requests/s", duration(objective.p99_ns), rate(objective.min_rps));
    let Some(requests) = &service.requests else {
        return Panel::new(theme, "requests", vec![vec![plain(format!("not measured · {goal}"))]]);
    };
    let mut lines = vec![vec![plain(counts(requests))], vec![plain(goal)]];
    let because: Vec<Line> =
        wrapped(&objective.reason, width, 0).into_iter().map(|words| vec![styled(words, theme.minor())]).collect();
    lines.extend(because);
    let all = [
        ("latency", &requests.latency),
        ("queue time", &requests.queue_time),
        ("service time", &requests.service_time),
    ];
    let head = ["p50", "p90", "p99", "p99.9", "max"].map(|name| right(name, 10)).concat();
    lines.push(vec![styled(left("", 14) + &head, theme.minor())]);
    for (name, times) in all.into_iter().chain(requests.delivery.iter().map(|held| ("delivery", held))) {
        lines.push(vec![plain(left(name, 14)), styled(cells(times), theme.strong())]);
    }
    lines.extend(interval(&requests.latency).map(|text| vec![styled(text, theme.minor())]));
    Panel::new(theme, "requests", lines)
}

fn counts(requests: &RequestsReport) -> String {
    let per_second =
        requests.rate_per_s.map_or_else(String::new, |per_second| format!(" at {} a second", rate(per_second)));
    let (bytes_in, bytes_out) = (bytes(requests.bytes_in), bytes(requests.bytes_out));
    format!("{} answered{per_second} · {bytes_in} in, {bytes_out} out", grouped(requests.count))
}

fn cells(times: &Distribution) -> String {
    let [p50, p90, p99, p999, _, max] = percentiles(times);
    [p50, p90, p99, p999, max].map(|cell| right(&cell, 10)).concat()
}

fn interval(latency: &Distribution) -> Option<String> {
    match (latency.p99_ci95_ns, latency.p99_ci95_low_ns) {
        (Some([low, high]), _) => Some(format!("95 % interval of the P99: {}", span(low, high))),
        (None, Some(low)) => Some(format!("95 % interval of the P99: {} or more", duration(low))),
        (None, None) => None,
    }
}
