//! What the page says of the recording as a whole: findings, the loss ledger, cost, probes, host.
//!
//! In: a report. Out: words, for the template.

use crate::output::text::ABSENT;
use crate::report::{Confidence, Finding, Report, Severity};
use crate::units::{bytes, duration, grouped, percent, timestamp};

/// Findings that are shown.
const MOST: usize = 60;
const PROGRAMS: usize = 12;

/// A finding.
pub struct FindingView {
    /// Its class.
    pub class: &'static str,
    /// Its severity, with a sign for who does not see the colour.
    pub severity: &'static str,
    /// Which kind.
    pub id: String,
    /// Of which service.
    pub service: String,
    /// Of which endpoint; empty where it is of all.
    pub endpoint: String,
    /// How sure it is; empty where that is not said.
    pub confidence: &'static str,
    /// What is the case.
    pub title: String,
    /// What shows it.
    pub evidence: String,
    /// What to do.
    pub recommendation: String,
    /// What that would bring; empty where it cannot be told.
    pub gain: String,
}

/// The findings, and how many there are besides.
pub fn findings(report: &Report) -> (Vec<FindingView>, usize) {
    let shown = report.findings.iter().take(MOST).map(finding).collect();
    (shown, report.findings.len().saturating_sub(MOST))
}

fn finding(of: &Finding) -> FindingView {
    let (class, severity) = match of.severity {
        Severity::Critical => ("critical", "✗ critical"),
        Severity::Warning => ("warning", "! warning"),
        Severity::Info => ("info", "i info"),
    };
    FindingView {
        class,
        severity,
        id: of.id.clone(),
        service: of.service.clone().unwrap_or_default(),
        endpoint: of.endpoint.clone().unwrap_or_default(),
        confidence: match of.confidence {
            Some(Confidence::High) => "sure",
            Some(Confidence::Medium) => "likely",
            Some(Confidence::Low) => "a hint",
            None => "",
        },
        title: of.title.clone(),
        evidence: of.evidence.clone(),
        recommendation: of.recommendation.clone(),
        gain: of.gain.clone(),
    }
}

/// Host and window.
pub fn window(report: &Report) -> Vec<(&'static str, String)> {
    let host = &report.host;
    let mut machine = vec![format!("Linux {} {}", host.kernel, host.arch).trim_end().to_owned()];
    machine.extend(host.cpus.map(|cpus| format!("{cpus} CPU{}", if cpus == 1 { "" } else { "s" })));
    machine.extend(host.memory_bytes.map(bytes));
    let mut facts = vec![
        ("Host", host.name.clone()),
        ("Machine", machine.join(" · ")),
        ("Begin", timestamp(report.window.start_unix_ns)),
        ("Length", format!("{}, ended by: {}", duration(report.window.duration_ns), report.window.ended_by)),
    ];
    if !report.hosts.is_empty() {
        facts.push(("Merged of", format!("{} hosts", report.hosts.len())));
    }
    facts.retain(|(_, value)| !value.is_empty());
    facts
}

/// Whether all is counted, in words, and the counters: (name, count).
pub fn ledger(report: &Report) -> (&'static str, String, Vec<(String, String)>) {
    let lost = report.ledger.values().fold(0u64, |sum, count| sum.saturating_add(*count));
    let counters = report.ledger.len();
    let (class, words) = match lost {
        _ if counters == 0 => ("few", "Not known: the report holds no loss counter.".to_owned()),
        0 => ("met", format!("Nothing was lost: all {counters} loss counters are 0.")),
        _ => ("missed", format!("{} events were lost.", grouped(lost))),
    };
    let mut all: Vec<_> = report.ledger.iter().collect();
    all.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    (class, words, all.into_iter().map(|(name, count)| (name.clone(), grouped(*count))).collect())
}

/// What measuring has cost.
pub fn cost(report: &Report) -> Vec<(&'static str, String)> {
    let cost = &report.cost;
    let or_not = |value: Option<String>| value.unwrap_or_else(|| ABSENT.into());
    let share = |ns| format!("{} ({} of one CPU)", duration(ns), percent(ns, report.window.duration_ns));
    let mut all = vec![
        ("Agent CPU", or_not(cost.agent_cpu_ns.map(share))),
        ("Agent memory", or_not(cost.agent_max_rss_bytes.map(bytes))),
        ("Kernel maps", or_not(cost.map_bytes.map(bytes))),
        ("Attach time", or_not(cost.attach_ns.map(duration))),
    ];
    match &cost.programs {
        None => all.push((
            "Kernel programs",
            format!("not measured: {}", cost.programs_unmeasured.as_deref().unwrap_or("no reason given")),
        )),
        Some(programs) => {
            let mut longest: Vec<_> = programs.iter().filter(|of| of.runs > 0).collect();
            longest.sort_by(|a, b| b.run_time_ns.cmp(&a.run_time_ns).then(a.name.cmp(&b.name)));
            let (runs, time) = longest.iter().fold((0u64, 0u64), |(runs, time), of| {
                (runs.saturating_add(of.runs), time.saturating_add(of.run_time_ns))
            });
            let each = longest.iter().take(PROGRAMS);
            let each =
                each.map(|of| format!("{} {} × {}", of.name, duration(of.run_time_ns / of.runs), grouped(of.runs)));
            let each = each.collect::<Vec<_>>().join(" · ");
            all.push(("Kernel programs", format!("{} in {} runs: {each}", duration(time), grouped(runs))));
        }
    }
    if let Some(overhead) = &cost.overhead {
        let highest = overhead.highest_ppm.map_or_else(|| ABSENT.into(), |ppm| percent(ppm, 1_000_000));
        let limit = percent(overhead.limit_ppm, 1_000_000);
        all.push(("Dearest second", format!("{highest} of the host's CPU time, limit {limit}")));
    }
    all
}

/// The probes: (name, state, why).
pub fn probes(report: &Report) -> Vec<(String, &'static str, String)> {
    let all = report.probes.iter();
    all.map(|of| (of.name.clone(), of.state.name(), of.reason.clone().unwrap_or_default())).collect()
}
