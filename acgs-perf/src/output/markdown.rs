//! The report in Markdown, as GitHub shows it, for a pull request.
//!
//! In: a report. Out: the verdicts and findings, and for each service percentiles, the parts of its tail and its endpoints, folded. Texts
//! of others are escaped, so that they end no cell and mention nobody.

use super::page::Page;
use super::text::compare::cell;
use super::text::{ABSENT, component_label, figure, percentiles};
use super::words::slowest;
use crate::analysis::tables::{EndpointRow, rows};
use crate::analysis::tail::main_cut;
use crate::report::{Distribution, Report, ServiceReport, Severity, Verdict};
use crate::units::{duration, grouped, percent, rate, span, timestamp};

/// Services and findings that are shown; a comment has 65,536 characters.
const SERVICES: usize = 20;
const FINDINGS: usize = 20;
const ENDPOINTS: usize = 10;
const PARTS: usize = 6;
/// Beyond so many services only those that miss their objective are shown in full.
const ALL_IN_FULL: usize = 5;

/// Renders the report.
#[must_use]
pub fn render(report: &Report) -> Page {
    let mut page = Page::default();
    verdicts(report, &mut page);
    findings(report, &mut page);
    let is_missed = |of: &&ServiceReport| of.objective.verdict == Some(Verdict::Missed);
    let in_full = report.services.iter().filter(|of| report.services.len() <= ALL_IN_FULL || is_missed(of));
    in_full.take(SERVICES).for_each(|of| service(of, &mut page));
    let lost = report.ledger.values().fold(0u64, |sum, count| sum.saturating_add(*count));
    let lost = match lost {
        _ if report.ledger.is_empty() => "losses not known".to_owned(),
        0 => "nothing lost".to_owned(),
        _ => format!("**{} events lost**", grouped(lost)),
    };
    let facts = [
        cell(&format!("{} {}", report.tool.name, report.tool.version)),
        cell(&report.host.name),
        timestamp(report.window.start_unix_ns),
        duration(report.window.duration_ns),
        lost,
        format!("constitutional hash {}", cell(&report.constitutional_hash)),
        cell(&report.digest),
    ];
    let facts: Vec<String> = facts.into_iter().filter(|fact| !fact.is_empty()).collect();
    page.lines(["", &format!("<sub>{}</sub>", facts.join(" · "))]);
    page
}

fn row(page: &mut Page, cells: &[String]) {
    page.line(&format!("| {} |", cells.join(" | ")));
}

/// A head, whose first columns are to the left and whose others to the right.
fn head(page: &mut Page, left: usize, names: &[&str]) {
    page.line(&format!("| {} |", names.join(" | ")));
    page.line(&format!("|{}{}", "---|".repeat(left), "---:|".repeat(names.len() - left)));
}

fn verdicts(report: &Report, page: &mut Page) {
    if report.services.is_empty() {
        page.line("No service was profiled.");
        return;
    }
    head(page, 2, &["service", "verdict", "P99", "95 % interval", "objective", "req/s"]);
    for of in report.services.iter().take(SERVICES) {
        let latency = of.requests.as_ref().map(|requests| &requests.latency).filter(|latency| latency.count > 0);
        let verdict = match of.objective.verdict {
            Some(Verdict::Met) => "✅ met",
            Some(Verdict::Missed) => "❌ **missed**",
            Some(Verdict::TooFew) => "❔ too few requests",
            Some(Verdict::NotTested) => "⚪ not tested",
            None => "⚪ not measured",
        };
        let interval = |of: &Distribution| match (of.p99_ci95_ns, of.p99_ci95_low_ns) {
            (Some([low, high]), _) => span(low, high),
            (None, Some(low)) => format!("{} or more", duration(low)),
            (None, None) => ABSENT.into(),
        };
        let per_second = of.requests.as_ref().and_then(|requests| requests.rate_per_s);
        let cells = [
            cell(&of.name),
            verdict.to_owned(),
            latency.map_or_else(|| ABSENT.into(), |of| figure((of.p99_ns, of.p99_at_least_ns), of)),
            latency.map_or_else(|| ABSENT.into(), interval),
            format!("\\< {} at \\> {}/s", duration(of.objective.p99_ns), rate(of.objective.min_rps)),
            per_second.map_or_else(|| ABSENT.into(), rate),
        ];
        row(page, &cells);
    }
    if report.services.len() > SERVICES {
        page.lines(["", &format!("{} more services are in the report.", report.services.len() - SERVICES)]);
    }
}

fn findings(report: &Report, page: &mut Page) {
    page.lines(["", "**Findings**", ""]);
    if report.findings.is_empty() {
        page.line("Nothing found.");
    }
    for of in report.findings.iter().take(FINDINGS) {
        let severity = match of.severity {
            Severity::Critical => "🔴 **critical**",
            Severity::Warning => "🟠 **warning**",
            Severity::Info => "🔵 info",
        };
        page.line(&format!("- {severity}: {}  ", cell(&of.title)));
        page.line(&format!("  {}", cell(&of.evidence)));
        if !of.recommendation.is_empty() {
            page.line(&format!("  → {}", cell(&of.recommendation)));
        }
        if !of.gain.is_empty() {
            page.line(&format!("  **{}**", cell(&of.gain)));
        }
    }
    if report.findings.len() > FINDINGS {
        page.line(&format!("- {} more are in the report.", report.findings.len() - FINDINGS));
    }
}

fn service(of: &ServiceReport, page: &mut Page) {
    page.lines(["", &format!("#### {}", cell(&of.name))]);
    if let Some(tail) = of.tail.as_ref().filter(|tail| !tail.sentence.is_empty()) {
        page.lines(["", &cell(&tail.sentence)]);
    }
    page.lines(["", "<details><summary>Percentiles, parts of the tail, endpoints</summary>", ""]);
    if let Some(requests) = &of.requests {
        head(page, 1, &["", "count", "p50", "p90", "p99", "p99.9", "p99.99", "max"]);
        for (name, d) in [
            ("latency", &requests.latency),
            ("queue time", &requests.queue_time),
            ("service time", &requests.service_time),
        ] {
            let mut cells = vec![name.to_owned(), grouped(d.count)];
            cells.extend(percentiles(d));
            row(page, &cells);
        }
    }
    tail(of, page);
    endpoints(of, page);
    page.lines(["", "</details>"]);
}

fn tail(of: &ServiceReport, page: &mut Page) {
    let Some(cut) = of.tail.as_ref().and_then(|tail| main_cut(&tail.cuts)) else { return };
    page.line("");
    head(page, 1, &[&slowest(&cut.quantile), "mean", "share", "rest"]);
    for part in cut.components.iter().take(PARTS) {
        let cells = [
            cell(&component_label(&part.name)),
            duration(part.mean_ns),
            percent(part.mean_ns, cut.mean_ns),
            duration(part.body_mean_ns),
        ];
        row(page, &cells);
    }
    row(page, &["latency".into(), duration(cut.mean_ns), "100 %".into(), duration(cut.body_mean_ns)]);
}

fn endpoints(of: &ServiceReport, page: &mut Page) {
    let Some(rows) = rows::<EndpointRow>(&of.tables).filter(|rows| !rows.is_empty()) else { return };
    page.line("");
    head(page, 1, &["endpoint", "requests", "failed", "p50", "p99"]);
    for of in rows.iter().take(ENDPOINTS) {
        let time = |ns: Option<u64>| ns.map_or_else(|| ABSENT.into(), duration);
        let name = cell(if of.name.is_empty() { "all others" } else { &of.name });
        row(page, &[name, grouped(of.requests), grouped(of.failed), time(of.latency.p50_ns), time(of.latency.p99_ns)]);
    }
    if rows.len() > ENDPOINTS {
        page.lines(["", &format!("{} more endpoints are in the report.", rows.len() - ENDPOINTS)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::sample::{self, assessed};
    use crate::output::words::said;

    #[test]
    fn verdicts_findings_and_tails_are_there_and_tables_are_whole() {
        let text = render(&said(assessed(sample::whole()))).as_str().to_owned();
        for wanted in
            ["| api | ❌ **missed** | 50.6 ms |", "🔴 **critical**", "#### redis", "| downstream |", "<sub>acgs-perf"]
        {
            assert!(text.contains(wanted), "{wanted}: {text}");
        }
        let mut width = None;
        for line in text.lines() {
            let columns = line.starts_with('|').then(|| line.replace("\\|", "").matches('|').count());
            if let (Some(before), Some(now)) = (width, columns) {
                assert_eq!(before, now, "{line}");
            }
            width = columns;
        }
        assert!(text.len() < 20_000);
    }

    #[test]
    fn names_end_no_cell_and_mention_nobody() {
        let mut report = sample::whole();
        report.services[0].name = "a|b @everyone <img src=x> `c`\n# d".into();
        let text = render(&said(assessed(report))).as_str().to_owned();
        assert!(text.contains("a\\|b \\@everyone \\<img src=x\\> \\`c\\`?\\# d"), "{text}");
    }
}
