//! Where the time of the slowest requests went, in the terminal summary.
//!
//! In: a service with an attribution. Out: components of the tail against the rest, downstream peers, slowest exemplars.
//! The sentence that sums it up stands under the verdict.

use crate::analysis::tail::main_cut;
use crate::output::words::slowest;
use crate::report::{CallsOutstandingReport, CutReport, DownstreamReport, ExemplarReport, ServiceReport};

use super::layout::{ABSENT, Lines, TOP, few_percentiles, more, row};
use crate::units::{duration, grouped, percent};

/// Exemplars shown, and components of each.
const EXEMPLARS: usize = 3;
/// Who held the CPU is shown if requests waited for it for at least one part in this many of their time.
const CPU_WAIT_WORTH: u128 = 20;
/// Components below this share on both sides are summed up.
const MINOR: f64 = 0.005;

/// Renders the sections of the attribution.
pub fn render(service: &ServiceReport, lines: &mut Lines) {
    if let Some(cut) = service.tail.as_ref().and_then(|tail| main_cut(&tail.cuts)) {
        components(cut, lines);
        peers(cut, lines);
    }
    let outstanding = service.attribution.as_ref().and_then(|attribution| attribution.calls_outstanding.as_ref());
    if let Some(all) = &service.downstream {
        downstream(all, outstanding, lines);
    }
    if let Some(all) = &service.exemplars {
        let dropped = service.attribution.as_ref().map_or(0, |attribution| attribution.exemplars_dropped);
        exemplars(all, dropped, lines);
    }
}

/// A component in words: `run queue`, `queue: run queue`.
pub fn label(name: &str) -> String {
    let words = |name: &str| match name {
        "on_cpu" => "on-CPU".to_owned(),
        other => other.replace('_', " "),
    };
    match name.strip_prefix("queue_") {
        Some(name) => format!("queue: {}", words(name)),
        None => words(name),
    }
}

fn signed(ns: i64) -> String {
    let sign = match ns.signum() {
        -1 => "−",
        0 => "",
        _ => "+",
    };
    format!("{sign}{}", duration(ns.unsigned_abs()))
}

fn components(cut: &CutReport, lines: &mut Lines) {
    let mut rows = vec![row(&[&slowest(&cut.quantile), "mean", "share", "rest", "share", "excess"])];
    let major = |mean_ns: u64, whole: u64| mean_ns as f64 >= whole as f64 * MINOR;
    let (shown, minor): (Vec<_>, Vec<_>) =
        cut.components.iter().partition(|c| major(c.mean_ns, cut.mean_ns) || major(c.body_mean_ns, cut.body_mean_ns));
    let mut line = |name: String, mean_ns: u64, body_mean_ns: u64| {
        rows.push(vec![
            name,
            duration(mean_ns),
            percent(mean_ns, cut.mean_ns),
            duration(body_mean_ns),
            percent(body_mean_ns, cut.body_mean_ns),
            signed(i64::try_from(i128::from(mean_ns) - i128::from(body_mean_ns)).unwrap_or(i64::MAX)),
        ]);
    };
    for component in &shown {
        line(label(&component.name), component.mean_ns, component.body_mean_ns);
    }
    if !minor.is_empty() {
        let sum = |field: fn(&crate::report::CutComponentReport) -> u64| {
            minor.iter().fold(0u64, |sum, component| sum.saturating_add(field(component)))
        };
        line(format!("{} more", minor.len()), sum(|c| c.mean_ns), sum(|c| c.body_mean_ns));
    }
    line("latency".into(), cut.mean_ns, cut.body_mean_ns);
    lines.table(&rows);
    let threshold = match cut.threshold_ns {
        Some(threshold) => format!("above {}", duration(threshold)),
        None => "above 68.7 s".into(),
    };
    let mut items = vec![format!("means of {} requests {threshold} and of the rest", grouped(cut.count))];
    if cut.calls_per_request > 0.0 || cut.body_calls_per_request > 0.0 {
        items.push(format!("{:.1} calls a request, rest {:.1}", cut.calls_per_request, cut.body_calls_per_request));
    }
    if cut.shared_share > 0.0 {
        let share = percent((cut.shared_share * 10_000.0).round() as u64, 10_000);
        items.push(format!("{share} shared between requests"));
    }
    lines.items("", &items);
}

fn peers(cut: &CutReport, lines: &mut Lines) {
    let shown = cut.downstream.iter().take(TOP);
    let mut items: Vec<_> = shown
        .map(|peer| {
            format!(
                "{}: {} ({})",
                called(peer.service.as_deref(), &peer.peer),
                duration(peer.mean_ns),
                signed(peer.excess_ns)
            )
        })
        .collect();
    more(&mut items, cut.downstream.len(), "peers");
    if !items.is_empty() {
        lines.items("waited for", &items);
    }
    let waits = cut.components.iter().filter(|c| c.name.ends_with("run_queue"));
    let for_cpu = waits.fold(0u64, |sum, component| sum.saturating_add(component.mean_ns));
    if !cut.preemptors.is_empty() && u128::from(for_cpu) * CPU_WAIT_WORTH >= u128::from(cut.mean_ns) {
        let shown = cut.preemptors.iter().take(TOP);
        let mut items: Vec<_> = shown.map(|p| format!("{} {}: {}", p.comm, p.pid, duration(p.wait_ns))).collect();
        more(&mut items, cut.preemptors.len(), "commands");
        items.push("in the exemplars".into());
        lines.items("CPU held by", &items);
    }
    let waits = cut.components.iter().filter(|c| c.name == "lock" || c.name == "queue_lock");
    let for_lock = waits.fold(0u64, |sum, component| sum.saturating_add(component.mean_ns));
    if !cut.lock_ended_by.is_empty() && u128::from(for_lock) * CPU_WAIT_WORTH >= u128::from(cut.mean_ns) {
        let shown = cut.lock_ended_by.iter().take(TOP);
        let mut items: Vec<_> = shown.map(|p| format!("{} {}: {}", p.comm, p.pid, duration(p.wait_ns))).collect();
        more(&mut items, cut.lock_ended_by.len(), "threads");
        items.push("in the exemplars".into());
        lines.items("lock until", &items);
    }
}

fn called(service: Option<&str>, address: &str) -> String {
    match service {
        Some(service) => format!("{service} ({address})"),
        None => address.into(),
    }
}

fn downstream(all: &[DownstreamReport], outstanding: Option<&CallsOutstandingReport>, lines: &mut Lines) {
    if all.is_empty() {
        lines.items("downstream", &["no call seen".into()]);
        return;
    }
    let ratio = |value: Option<f64>| match value {
        Some(value) if value == 0.0 || value >= 0.01 => format!("{value:.2}"),
        Some(_) => "<0.01".into(),
        None => ABSENT.into(),
    };
    let mut rows = vec![row(&["downstream", "calls", "a request", "connects", "a call", "p50", "p99", "max"])];
    for peer in all.iter().take(TOP) {
        let d = &peer.latency;
        let mut cells = vec![
            called(peer.service.as_deref(), &peer.address),
            grouped(peer.calls),
            ratio(peer.calls_per_request),
            grouped(peer.connects),
            ratio(peer.connects_per_call),
        ];
        cells.extend(few_percentiles(d));
        rows.push(cells);
    }
    lines.table(&rows);
    if all.len() > TOP {
        lines.labelled("", &format!("and {} more, all in the JSON report", all.len() - TOP));
    }
    all.iter().take(TOP).for_each(|peer| coverage(peer, lines));
    let sum = |field: fn(&DownstreamReport) -> u64| all.iter().fold(0u64, |sum, peer| sum.saturating_add(field(peer)));
    let mut items = vec![format!("{} unanswered", grouped(sum(|peer| peer.unanswered)))];
    if let Some(shares) = outstanding {
        let of_life = |share: f64| percent((share * 10_000.0).round() as u64, 10_000);
        let (one, several) = (of_life(shares.one_share), of_life(shares.many_share));
        items.push(format!("one call outstanding {one} of the time, several {several}"));
    }
    let multiplexed = sum(|peer| peer.multiplexed);
    if multiplexed > 0 {
        items.push(format!("{} calls on a connection that was waiting for another answer", grouped(multiplexed)));
    }
    lines.items("", &items);
}

/// What was called without a name.
fn coverage(peer: &DownstreamReport, lines: &mut Lines) {
    let Some(of) = peer.coverage.as_ref().filter(|of| of.named < of.counted) else { return };
    let (named, counted, share) = (grouped(of.named), grouped(of.counted), percent(of.named, of.counted));
    let peer = called(peer.service.as_deref(), &peer.address);
    lines.labelled("", &format!("{peer}: {named} of {counted} calls have a name ({share})"));
}

fn exemplars(all: &[ExemplarReport], dropped: u64, lines: &mut Lines) {
    for (at, exemplar) in all.iter().take(EXEMPLARS).enumerate() {
        let mut components: Vec<_> = exemplar.components.iter().collect();
        components.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        let parts: Vec<_> =
            components.iter().take(2).map(|(name, ns)| format!("{} {}", label(name), duration(**ns))).collect();
        let when = match exemplar.arrived_offset_ns {
            early if early < 0 => format!("{} before the start", duration(early.unsigned_abs())),
            offset => format!("at {}", duration(offset.unsigned_abs())),
        };
        let mut items = vec![duration(exemplar.latency_ns)];
        items.extend((!parts.is_empty()).then(|| parts.join(", ")));
        items.extend([format!("from {}", exemplar.client), when]);
        lines.items(if at == 0 { "exemplars" } else { "" }, &items);
    }
    if !all.is_empty() {
        let mut items = vec![format!("every step of all {}: acgs-perf report FILE --format perfetto", all.len())];
        if dropped > 0 {
            items.push(format!("{} more not kept", grouped(dropped)));
        }
        lines.items("", &items);
    }
}
