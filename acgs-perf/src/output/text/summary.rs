//! The first screen: what a reader has to know, in 24 lines of 80 columns for one service.
//!
//! In: a report and a width. Out: of each service the verdict, the reason, its slowest endpoints, what went wrong, and the finding that matters most with what
//! to do; then what was lost. All the rest is in the details.

use super::layout::{Lines, figure, row, shortened};
use super::service::verdict_line;
use super::{advice, severity};
use crate::analysis::findings::{CALLS_ITSELF, UDP_NOT_MEASURED};
use crate::analysis::tables::{EndpointRow, rows};
use crate::output::page::Page;
use crate::report::{Because, FatesReport, Finding, Report, ServiceReport, Verdict};
use crate::units::{duration, grouped, percent, timestamp};

/// Endpoints shown of a service.
const ENDPOINTS: usize = 3;
/// Lines of a reason, of what a finding is, and of what to do.
const REASON: usize = 3;
const TITLE: usize = 2;
const ADVICE: usize = 5;
/// Findings that say what the figures of a service are of: to be known whatever else is found.
const OF_THE_FIGURES: [&str; 2] = [CALLS_ITSELF, UDP_NOT_MEASURED];
/// Loss counters named.
const COUNTERS: usize = 2;

/// Renders the first screen.
#[must_use]
pub fn render(report: &Report, width: usize) -> Page {
    let mut lines = Lines::new(width);
    lines.plain_items(&[
        format!("{} {}", report.tool.name, report.tool.version),
        report.host.name.clone(),
        format!("{} from {}", duration(report.window.duration_ns), timestamp(report.window.start_unix_ns)),
        report.constitutional_hash.clone(),
    ]);
    if report.services.is_empty() {
        lines.blank();
        lines.words("no service was profiled", "");
    }
    for of in &report.services {
        lines.blank();
        service(of, report, &mut lines);
    }
    lines.blank();
    let of_recording: Vec<_> = report.findings.iter().filter(|found| found.service.is_none()).collect();
    of_recording.iter().for_each(|found| lines.at_most(severity(found), &found.title, TITLE));
    lost(report, &mut lines);
    lines.words("all figures: --details, or acgs-perf report FILE --details", "  ");
    lines.finish()
}

fn service(service: &ServiceReport, report: &Report, lines: &mut Lines) {
    lines.words(&verdict_line(service), "");
    let objective = &service.objective;
    match (&service.tail, objective.because) {
        (_, because) if objective.verdict != Some(Verdict::Met) && because != Some(Because::P99AtLeast) => {
            lines.at_most("because", &objective.reason, REASON);
        }
        (Some(tail), _) => lines.at_most("why", &tail.sentence, REASON),
        (None, _) => {}
    }
    requests(service, lines);
    client(service, report, lines);
    endpoints(service, lines);
    let mut findings = report.findings.iter().filter(|found| found.service.as_ref() == Some(&service.name));
    // That the objective is missed stands above.
    let Some(first) = findings.clone().find(|found| found.id != "objective_missed").or_else(|| findings.next()) else {
        return lines.at_most("findings", "nothing found", 1);
    };
    findings
        .clone()
        .filter(|found| found.id != first.id && OF_THE_FIGURES.contains(&found.id.as_str()))
        .for_each(|found| lines.at_most(severity(found), &found.title, TITLE));
    lines.at_most(severity(first), &first.title, TITLE);
    lines.at_most("", &format!("→ {}", advice(first)), ADVICE);
    lines.at_most("", &explained(first, findings.count()), 1);
}

/// Where more is said.
fn explained(first: &Finding, others: usize) -> String {
    let others = match others {
        0 | 1 => String::new(),
        2 => " · 1 more finding".to_owned(),
        n => format!(" · {} more findings", n - 1),
    };
    format!("acgs-perf explain {}{others}", first.id)
}

/// How many, and what became of those that got no reply.
fn requests(service: &ServiceReport, lines: &mut Lines) {
    let Some(requests) = &service.requests else {
        return lines.at_most("requests", "not measured", 1);
    };
    let latency = &requests.latency;
    let of = |name: &str, value: (Option<u64>, Option<u64>)| format!("{name} {}", figure(value, latency));
    lines.items(
        "requests",
        &[
            format!("{} answered", grouped(requests.count)),
            of("p50", (latency.p50_ns, latency.p50_at_least_ns)),
            of("p99.9", (latency.p999_ns, latency.p999_at_least_ns)),
            of("max", (latency.max_ns, latency.max_at_least_ns)),
        ],
    );
    let mut left = service.fates.as_ref().map(without_reply).unwrap_or_default();
    let refused = service.refused.as_ref().map_or(0, |refused| refused.drops);
    if refused > 0 {
        left.push(format!("{} connections refused", grouped(refused)));
    }
    if !left.is_empty() {
        lines.labelled("no reply", &left.join(" · "));
    }
}

/// Those that are not zero. A healthy service has some requests in service at every moment: only old ones are told.
fn without_reply(fates: &FatesReport) -> Vec<String> {
    let open = [
        (fates.unread.count, fates.unread.oldest_ns, "unread"),
        (fates.in_service.beyond_objective, fates.in_service.oldest_ns, "unanswered"),
        (fates.undelivered.beyond_objective, fates.undelivered.oldest_ns, "not delivered"),
    ];
    let open = open.into_iter().filter(|(count, ..)| *count > 0).map(|(count, oldest, what)| {
        let oldest = oldest.map(|ns| format!(", the oldest for {}", duration(ns)));
        format!("{} {what}{}", grouped(count), oldest.unwrap_or_default())
    });
    let left =
        [(fates.abandoned.count, "given up by their clients"), (fates.cut_off.unwrap_or(0), "cut off by the service")];
    let left = left.into_iter().filter(|(count, _)| *count > 0);
    open.chain(left.map(|(count, what)| format!("{} {what}", grouped(count)))).collect()
}

/// What a load saw that ran meanwhile.
fn client(service: &ServiceReport, report: &Report, lines: &mut Lines) {
    let is_its = |server: &crate::report::ServerSideReport| server.service == service.name;
    for client in report.client.iter().filter(|client| client.server.as_ref().is_some_and(is_its)) {
        let errors: u64 = client.errors.values().sum();
        let p99 = figure((client.latency.p99_ns, client.latency.p99_at_least_ns), &client.latency);
        lines.items(
            "client saw",
            &[
                format!("p99 {p99} from when it was due"),
                format!("{} sent", grouped(client.sent)),
                format!("{} errors", grouped(errors)),
            ],
        );
    }
}

/// The slowest endpoints, by the time above all that they take.
fn endpoints(service: &ServiceReport, lines: &mut Lines) {
    let mut all: Vec<EndpointRow> = rows(&service.tables).unwrap_or_default();
    all.retain(|of| of.is_request() && of.latency.count > 0);
    if all.len() < 2 {
        return;
    }
    all.sort_by_key(|of| std::cmp::Reverse(of.p99_ns().unwrap_or(u64::MAX)));
    let mut table = vec![row(&["slowest", "requests", "p50", "p99", "failed"])];
    for of in all.iter().take(ENDPOINTS) {
        let latency = &of.latency;
        table.push(vec![
            shortened(&of.name, lines.width().saturating_sub(46).max(13)),
            grouped(of.requests),
            figure((latency.p50_ns, latency.p50_at_least_ns), latency),
            figure((latency.p99_ns, latency.p99_at_least_ns), latency),
            if of.failed == 0 { "0".to_owned() } else { percent(of.failed, of.requests) },
        ]);
    }
    if all.len() > ENDPOINTS {
        table[0][0] = format!("slowest of {}", all.len());
    }
    lines.table(&table);
}

fn lost(report: &Report, lines: &mut Lines) {
    let lost: Vec<_> = report.ledger.iter().filter(|(_, count)| **count > 0).collect();
    let mut items: Vec<_> =
        lost.iter().take(COUNTERS).map(|(name, count)| format!("{name} {}", grouped(**count))).collect();
    if lost.len() > COUNTERS {
        items.push(format!("{} more counters", lost.len() - COUNTERS));
    }
    if items.is_empty() {
        items.push(if report.ledger.is_empty() { "not known" } else { "nothing" }.to_owned());
    }
    let off: Vec<_> =
        report.probes.iter().filter(|probe| !probe.is_active()).map(|probe| probe.name.as_str()).collect();
    if !off.is_empty() {
        items.push(format!("not measured: {}", off.join(", ")));
    }
    match report.notes.len() {
        0 => {}
        1 => items.push("1 note".to_owned()),
        n => items.push(format!("{n} notes")),
    }
    lines.items("lost", &items);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::findings::ids;
    use crate::analysis::sample::{assessed, examples::example};
    use crate::output::words::said;

    fn screen(id: &str, width: usize) -> String {
        render(&said(assessed(example(id))), width).as_str().to_owned()
    }

    #[test]
    fn one_service_fits_the_first_screen_whatever_is_found() {
        for id in ids() {
            let text = screen(id, 80);
            assert!(text.lines().count() <= 24, "{id}: {} lines\n{text}", text.lines().count());
            let widest = text.lines().map(|line| line.chars().count()).max();
            assert!(widest <= Some(80), "{id}: {widest:?}\n{text}");
        }
    }

    #[test]
    fn what_the_figures_are_of_is_said_beside_what_matters_most() {
        let mut report = example("tail_downstream");
        report.services[0].udp_ports = vec![53];
        let text = render(&said(assessed(report)), 80).as_str().to_owned();
        assert!(text.contains("acgs-perf explain many_calls"), "{text}");
        assert!(text.contains("does over UDP is not measured") && text.lines().count() <= 24, "{text}");
    }

    #[test]
    fn a_narrow_terminal_is_enough() {
        for id in ["tail_downstream", "slow_endpoint", "requests_unread", "measurement_incomplete"] {
            let text = screen(id, 40);
            // Endpoints' figures have no place to be broken.
            let widest = text
                .lines()
                .filter(|line| !["GET", "POST", "  slowest"].iter().any(|name| line.contains(name)))
                .map(|line| line.chars().count())
                .max();
            assert!(widest <= Some(40), "{id}: {widest:?}\n{text}");
        }
    }

    #[test]
    fn what_matters_stands_there_and_what_is_zero_does_not() {
        let text = screen("tail_downstream", 80);
        for said in [
            "api   MISSED",
            "waiting for postgres",
            "critical",
            "→ ask for everything",
            "would fall from 50.6 ms",
            "explain many_calls",
        ] {
            assert!(text.replace("\n              ", "").contains(said), "{said}: {text}");
        }
        assert!(!text.contains("no reply"), "{text}");
        assert!(screen("requests_unread", 80).contains("40 unread, the oldest for 3 s"));
        assert!(screen("udp_not_measured", 80).contains("MET"));
    }
}
