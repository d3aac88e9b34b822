//! What is said of one service, panel by panel.
//!
//! In: the service, the findings about it, a width. Out: lines. What was not measured has no panel, or says so; it is never 0.

mod endpoints;
mod peers;
mod requests;

use super::Shown;
use super::bar::{composition, kind, sequence, sparkline};
use super::canvas::{Line, labelled, left, plain, right, styled, wrapped};
use super::rows::{fates, has_left, p99_over_time, tail_parts};
use super::theme::Theme;
use crate::analysis::tail::main_cut;
use crate::output::text::component_label;
use crate::output::words::slowest;
use crate::report::{CutReport, ExemplarReport, Report, ServiceReport, Severity};
use crate::units::{duration, percent, span};

/// Exemplars that are shown.
const EXEMPLARS: usize = 8;
/// Components below this share of the time are summed up.
const MINOR: f64 = 0.005;

/// A heading and what is below it.
pub struct Panel {
    /// The heading.
    pub heading: Line,
    /// The lines below.
    pub lines: Vec<Line>,
}

impl Panel {
    fn new(theme: Theme, heading: &str, lines: Vec<Line>) -> Self {
        Self { heading: vec![styled(heading, theme.heading())], lines }
    }
}

/// All panels, those first that say whether something is wrong, and why.
pub fn all(shown: &Shown<'_>, report: &Report, service: &ServiceReport, width: usize) -> Vec<Panel> {
    let theme = shown.theme;
    let mut panels = vec![requests::latency(theme, service, width)];
    panels.extend(over_time(theme, service, width));
    panels.extend(findings(theme, report, service, width));
    panels.extend(tail(theme, service, width));
    panels.extend(without_reply(theme, service, width));
    panels.extend(endpoints::objectives(theme, service, width));
    panels.extend(endpoints::endpoints(shown, service, width));
    panels.extend(peers::downstream(theme, service, width));
    panels.extend(peers::calls(theme, service, width));
    panels.extend(exemplars(theme, service, width));
    panels
}

fn over_time(theme: Theme, service: &ServiceReport, width: usize) -> Option<Panel> {
    let points = p99_over_time(service);
    let known = || points.iter().flatten().copied();
    let (low, high) = (known().min()?, known().max()?);
    let rates = service.series.iter().filter_map(|point| point.rate_per_s).map(|rate| Some(rate.round() as u64));
    let rates: Vec<Option<u64>> = rates.collect();
    let most = rates.iter().flatten().max().copied().unwrap_or(0);
    let row = |label: &str, points: &[Option<u64>], range: String| {
        let room = width.saturating_sub(6 + 20);
        vec![styled(left(label, 6), theme.minor()), plain(sparkline(points, room)), plain(format!(" {range}"))]
    };
    let lines = vec![
        row("P99", &points, span(low, high)),
        row("req/s", &rates, format!("up to {}", crate::units::grouped(most))),
    ];
    Some(Panel::new(theme, "over time", lines))
}

fn findings(theme: Theme, report: &Report, service: &ServiceReport, width: usize) -> Option<Panel> {
    let of_service = report.findings.iter().filter(|finding| finding.service.as_deref() == Some(service.name.as_str()));
    let mut lines = Vec::new();
    for finding in of_service {
        let severity = match finding.severity {
            Severity::Critical => "critical",
            Severity::Warning => "warning",
            Severity::Info => "info",
        };
        let label = styled(severity, theme.severity(finding.severity));
        lines.extend(labelled(label, &finding.title, width, theme.strong()));
        lines.extend(labelled(plain(""), &finding.evidence, width, theme.minor()));
        lines.extend(labelled(plain("do"), &finding.recommendation, width, plain("").style));
        lines.extend(labelled(plain("gain"), &finding.gain, width, theme.good()));
    }
    (!lines.is_empty()).then(|| Panel::new(theme, "findings", lines))
}

fn tail(theme: Theme, service: &ServiceReport, width: usize) -> Option<Panel> {
    let tail = service.tail.as_ref()?;
    let mut lines: Vec<Line> =
        wrapped(&tail.sentence, width, 0).into_iter().map(|words| vec![styled(words, theme.strong())]).collect();
    if let Some(cut) = main_cut(&tail.cuts) {
        lines.push(composition(&tail_parts(service), width, theme));
        lines.extend(parts(theme, cut));
    }
    Some(Panel::new(theme, "where the slowest spend their time", lines))
}

/// Components of the slowest requests beside those of the rest.
fn parts(theme: Theme, cut: &CutReport) -> Vec<Line> {
    let cells = |name: &str, cells: [String; 4]| {
        let [mean, share, rest, of_rest] = cells;
        let mut line = left(name, 26);
        line += &format!("{}{}{}{}", right(&mean, 10), right(&share, 8), right(&rest, 12), right(&of_rest, 8));
        line
    };
    let head = ["mean", "share", "the rest", "share"].map(str::to_owned);
    let mut lines = vec![vec![plain("  "), styled(cells(&slowest(&cut.quantile), head), theme.minor())]];
    let mut minor = (0, 0u64, 0u64);
    for part in &cut.components {
        let is_major = |ns: u64, whole: u64| ns as f64 >= whole as f64 * MINOR;
        if !is_major(part.mean_ns, cut.mean_ns) && !is_major(part.body_mean_ns, cut.body_mean_ns) {
            minor = (minor.0 + 1, minor.1.saturating_add(part.mean_ns), minor.2.saturating_add(part.body_mean_ns));
            continue;
        }
        let at = kind(&part.name);
        let letter = styled(format!("{} ", super::bar::KINDS[at].0), theme.part(at));
        lines.push(vec![
            letter,
            plain(cells(&component_label(&part.name), means(cut, part.mean_ns, part.body_mean_ns))),
        ]);
    }
    if minor.0 > 0 {
        lines.push(vec![plain("  "), plain(cells(&format!("{} more", minor.0), means(cut, minor.1, minor.2)))]);
    }
    let whole = cells("latency", means(cut, cut.mean_ns, cut.body_mean_ns));
    lines.push(vec![plain("  "), styled(whole, theme.strong())]);
    lines
}

fn means(cut: &CutReport, mean_ns: u64, body_mean_ns: u64) -> [String; 4] {
    [duration(mean_ns), percent(mean_ns, cut.mean_ns), duration(body_mean_ns), percent(body_mean_ns, cut.body_mean_ns)]
}

fn without_reply(theme: Theme, service: &ServiceReport, width: usize) -> Option<Panel> {
    const NAMED: usize = 3;
    let items = fates(service);
    if items.is_empty() {
        return None;
    }
    let style = if has_left(service) { theme.bad() } else { plain("").style };
    let mut lines: Vec<Line> =
        wrapped(&items.join(" · "), width, 0).into_iter().map(|words| vec![styled(words, style)]).collect();
    if let Some(fates) = &service.fates {
        for (what, open) in [("unread", &fates.unread), ("in service", &fates.in_service)] {
            lines.extend(open.oldest.iter().take(NAMED).map(|oldest| {
                let by = oldest.pid.map_or_else(String::new, |pid| format!(" · {} {pid}", oldest.comm));
                vec![plain(format!("  {what} for {} · from {}{by}", duration(oldest.age_ns), oldest.client))]
            }));
        }
    }
    Some(Panel::new(theme, "requests without a reply", lines))
}

/// Single slow requests, step by step.
fn exemplars(theme: Theme, service: &ServiceReport, width: usize) -> Option<Panel> {
    let all = service.exemplars.as_ref().filter(|all| !all.is_empty())?;
    let slowest = all.iter().map(|exemplar| exemplar.latency_ns).max().unwrap_or(1).max(1);
    // As long as the latency, so that they can be compared.
    let room = |exemplar: &ExemplarReport| {
        let most = width.saturating_sub(10 + 24);
        ((u128::from(exemplar.latency_ns) * most as u128).div_ceil(u128::from(slowest)) as usize).min(most)
    };
    let lines = all.iter().take(EXEMPLARS).map(|exemplar| {
        let steps = exemplar.segments.iter().map(|step| (kind(&step.component), step.duration_ns));
        let mut steps: Vec<(usize, u64)> = steps.collect();
        if steps.is_empty() {
            steps = exemplar.components.iter().map(|(name, ns)| (kind(name), *ns)).collect();
        }
        let mut line = vec![styled(right(&duration(exemplar.latency_ns), 9), theme.strong()), plain(" ")];
        line.extend(sequence(&steps, room(exemplar), theme));
        let whose = exemplar.endpoint.as_ref().unwrap_or(&exemplar.client);
        line.push(styled(format!(" {whose}"), theme.minor()));
        line
    });
    Some(Panel::new(theme, "the slowest requests, step by step", lines.collect()))
}
