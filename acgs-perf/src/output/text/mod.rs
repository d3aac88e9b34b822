//! The summary for the terminal: plain text, aligned, no colour.
//!
//! In: a report and a width. Out: lines. What was not measured shows as `–` or with its reason, never as 0; a figure that
//! is over range shows as `≥68.7 s`.

pub mod client;
pub mod compare;
mod endpoints;
pub(super) mod layout;
mod probe;
mod service;
mod summary;
mod tables;
mod tail;

use crate::live::table::Scope;
use crate::report::{Finding, Report, Severity};

use super::page::Page;
use crate::units::{bytes, duration, grouped, percent, timestamp};
pub(super) use layout::{ABSENT, few_percentiles, figure, percentiles, shortened};
use layout::{Lines, NOT_MEASURED};
pub(super) use tail::label as component_label;

pub use summary::render as summary;

/// Renders the whole report in lines of at most `width` characters where words allow it.
#[must_use]
pub fn render(report: &Report, width: usize) -> Page {
    let mut lines = Lines::new(width);
    header(report, &mut lines);
    if report.services.is_empty() {
        lines.blank();
        lines.words("no service was profiled", "");
    }
    for service in &report.services {
        lines.blank();
        service::render(service, &report.probes, &mut lines);
    }
    for client in &report.client {
        lines.blank();
        client::render(client, &report.services, &mut lines);
    }
    if tables::has_rows(&report.recording, Scope::Recording) {
        lines.blank();
        lines.words("of no service", "");
        tables::render(&report.recording, Scope::Recording, &report.probes, &mut lines);
    }
    all_findings(report, &mut lines);
    lines.blank();
    lines.words("measurement", "");
    ledger(report, &mut lines);
    cost(report, &mut lines);
    probes(report, &mut lines);
    report.notes.iter().for_each(|note| lines.labelled("note", note));
    if !report.digest.is_empty() {
        lines.items("digest", std::slice::from_ref(&report.digest));
    }
    lines.finish()
}

fn header(report: &Report, lines: &mut Lines) {
    let host = &report.host;
    let mut facts = vec![
        format!("{} {}", report.tool.name, report.tool.version),
        host.name.clone(),
        format!("Linux {} {}", host.kernel, host.arch).trim_end().into(),
    ];
    facts.extend(host.cpus.map(|cpus| format!("{cpus} CPU{}", if cpus == 1 { "" } else { "s" })));
    facts.extend(host.memory_bytes.map(bytes));
    facts.retain(|fact| !fact.is_empty());
    lines.plain_items(&facts);
    let window = &report.window;
    lines.plain_items(&[
        timestamp(window.start_unix_ns),
        format!("{} (ended by: {})", duration(window.duration_ns), window.ended_by),
        format!("constitutional hash {}", report.constitutional_hash),
    ]);
}

fn all_findings(report: &Report, lines: &mut Lines) {
    if report.findings.is_empty() {
        return;
    }
    lines.blank();
    lines.words("findings", "");
    report.findings.iter().for_each(|found| finding(found, lines));
}

/// Some findings alone.
#[must_use]
pub fn findings(some: &[Finding], width: usize) -> Page {
    let mut lines = Lines::new(width);
    some.iter().for_each(|found| finding(found, &mut lines));
    lines.finish()
}

fn finding(finding: &Finding, lines: &mut Lines) {
    lines.labelled(severity(finding), &finding.title);
    lines.labelled("", &finding.evidence);
    lines.labelled("", &format!("→ {}", advice(finding)));
}

fn severity(finding: &Finding) -> &'static str {
    match finding.severity {
        Severity::Critical => "critical",
        Severity::Warning => "warning",
        Severity::Info => "info",
    }
}

/// What to do, and what it would bring.
fn advice(finding: &Finding) -> String {
    match finding.gain.is_empty() {
        true => finding.recommendation.clone(),
        false => format!("{}; {}", finding.recommendation, finding.gain),
    }
}

fn ledger(report: &Report, lines: &mut Lines) {
    let lost: Vec<_> = report.ledger.iter().filter(|(_, count)| **count > 0).collect();
    let counters = report.ledger.len();
    let text = match lost.len() {
        _ if counters == 0 => vec!["not known: the report holds no loss counter".into()],
        0 => vec![format!("nothing (loss counters: {counters}, all 0)")],
        _ => {
            let mut text: Vec<_> = lost.iter().map(|(name, count)| format!("{name} {}", grouped(**count))).collect();
            text.push(format!("all others 0 (loss counters: {counters})"));
            text
        }
    };
    lines.items("lost", &text);
}

fn cost(report: &Report, lines: &mut Lines) {
    let cost = &report.cost;
    let or_not = |value: Option<String>| value.unwrap_or_else(|| NOT_MEASURED.into());
    let share = |cpu| format!("{} ({} of one CPU)", duration(cpu), percent(cpu, report.window.duration_ns));
    lines.items(
        "cost",
        &[
            format!("agent CPU {}", or_not(cost.agent_cpu_ns.map(share))),
            format!("memory {}", or_not(cost.agent_max_rss_bytes.map(bytes))),
            format!("kernel maps {}", or_not(cost.map_bytes.map(bytes))),
            format!("attach time {}", or_not(cost.attach_ns.map(duration))),
        ],
    );
    if let Some(overhead) = &cost.overhead {
        let highest = overhead.highest_ppm.map_or_else(|| NOT_MEASURED.into(), |highest| percent(highest, 1_000_000));
        lines.items(
            "",
            &[
                format!("in the dearest second {highest} of the host's CPU time"),
                format!("limit {}", percent(overhead.limit_ppm, 1_000_000)),
            ],
        );
    }
    let Some(programs) = &cost.programs else {
        let reason = cost.programs_unmeasured.as_deref().unwrap_or("no reason given");
        lines.items("", &[format!("kernel programs not measured: {reason}")]);
        return;
    };
    let mut items = Vec::new();
    let (runs, time) = programs.iter().fold((0u64, 0u64), |(runs, time), program| {
        (runs.saturating_add(program.runs), time.saturating_add(program.run_time_ns))
    });
    items.push(format!("kernel programs {} in {} runs", duration(time), grouped(runs)));
    let mut longest: Vec<_> = programs.iter().filter(|program| program.runs > 0).collect();
    longest.sort_by(|a, b| b.run_time_ns.cmp(&a.run_time_ns).then(a.name.cmp(&b.name)));
    items.extend(
        longest.iter().map(|p| format!("{} {} × {}", p.name, duration(p.run_time_ns / p.runs), grouped(p.runs))),
    );
    lines.items("", &items);
}

fn probes(report: &Report, lines: &mut Lines) {
    let active: Vec<_> = report.probes.iter().filter(|p| p.is_active()).map(|p| p.name.as_str()).collect();
    let active = if active.is_empty() { "none active".into() } else { format!("{} active", active.join(", ")) };
    lines.items("probes", &[active]);
    for probe in report.probes.iter().filter(|probe| !probe.is_active()) {
        let reason = probe.reason.as_deref().unwrap_or("no reason given");
        lines.labelled("", &format!("{} {}: {reason}", probe.name, probe.state.name()));
    }
}

#[cfg(test)]
mod tests;
