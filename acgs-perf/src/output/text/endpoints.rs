//! What a service was asked for, in the terminal summary.
//!
//! In: its endpoints. Out: those that take the most time and those that make the tail, the rest as one, how many requests have a name, and
//! who misses an objective of its own.

use std::collections::BTreeSet;

use crate::analysis::endpoints::{EndpointFigures, of_report};
use crate::live::probes::endpoints::SECTION;
use crate::output::words::called;
use crate::report::{ProbeStatus, ServiceReport, TailEndpointReport, Verdict};

use super::layout::{ABSENT, Lines, TOP, few_percentiles, row};
use super::probe::{absent, until};
use crate::analysis::wide_distribution;
use crate::units::{duration, grouped, percent};

const TITLE: &str = "endpoints";
const PROBE: &str = "endpoints";

/// Renders the endpoints of a service. A report of an agent that did not know them says nothing.
pub fn render(service: &ServiceReport, probes: &[ProbeStatus], lines: &mut Lines) {
    if !service.tables.contains_key(SECTION) {
        if probes.iter().any(|probe| probe.name == PROBE) {
            absent(TITLE, PROBE, probes, lines);
        }
        return;
    }
    let all: Vec<EndpointFigures> = of_report(service).into_iter().filter(|of| of.requests > 0).collect();
    if all.is_empty() {
        lines.items(TITLE, &["none".into()]);
    } else {
        table(service, &all, lines);
    }
    coverage(service, lines);
    objectives(service, lines);
    until(PROBE, probes, lines);
}

fn table(service: &ServiceReport, all: &[EndpointFigures], lines: &mut Lines) {
    let tail = service.tail.as_ref().map_or(&[][..], |tail| &tail.endpoints);
    // Of waits by design the time is nobody's loss.
    let time = |of: &EndpointFigures| if of.is_of_requests() || !of.is_named() { of.latency.sum_ns } else { 0 };
    let whole: u64 = all.iter().map(time).fold(0, u64::saturating_add);
    let mut by_time: Vec<usize> = (0..all.len()).filter(|at| all[*at].is_named()).collect();
    by_time.sort_by_key(|at| std::cmp::Reverse((time(&all[*at]), all[*at].requests)));
    let mut shown: BTreeSet<usize> = by_time.iter().take(TOP).copied().collect();
    let in_tail = tail.iter().filter(|of| !of.protocol.is_empty()).take(TOP);
    let of_tail = |of: &EndpointFigures| tail.iter().find(|found| is_same(found, of));
    shown.extend(in_tail.filter_map(|found| all.iter().position(|of| is_same(found, of))));
    by_time.retain(|at| shown.contains(at));
    let mut rows = vec![row(&[TITLE, "requests", "failed", "time", "tail", "p50", "p99", "max"])];
    let share = |of: Option<f64>| of.map_or_else(|| ABSENT.into(), |of| percent((of * 1e4).round() as u64, 10_000));
    let mut told = 0.0;
    for of in by_time.iter().map(|at| &all[*at]) {
        let found = of_tail(of).map(|found| found.share);
        told += found.unwrap_or(0.0);
        let mut cells = vec![name(of), grouped(of.requests), grouped(of.failed), percent(time(of), whole)];
        cells.push(share(found.or((!tail.is_empty() && of.is_of_requests()).then_some(0.0))));
        cells.extend(few_percentiles(&wide_distribution(&of.latency)));
        rows.push(cells);
    }
    let rest: Vec<&EndpointFigures> =
        all.iter().enumerate().filter(|(at, _)| !shown.contains(at)).map(|(_, of)| of).collect();
    if !rest.is_empty() {
        let sum = |field: fn(&EndpointFigures) -> u64| rest.iter().map(|of| field(of)).fold(0, u64::saturating_add);
        let mut latency = rest[0].latency.clone();
        rest[1..].iter().for_each(|of| latency.add(&of.latency));
        let named = rest.iter().filter(|of| of.is_named()).count();
        let label = if named > 0 { format!("{named} more") } else { "others".to_owned() };
        let time = rest.iter().map(|of| time(of)).fold(0, u64::saturating_add);
        let mut cells = vec![label, grouped(sum(|of| of.requests)), grouped(sum(|of| of.failed)), percent(time, whole)];
        cells.push(share((!tail.is_empty()).then(|| (1.0 - told).max(0.0))));
        cells.extend(few_percentiles(&wide_distribution(&latency)));
        rows.push(cells);
    }
    lines.table(&rows);
    if all.len() > shown.len() {
        lines.labelled("", "by time and by share of the tail; all are in the JSON report");
    }
}

fn is_same(found: &TailEndpointReport, of: &EndpointFigures) -> bool {
    of.is_of_requests() && found.protocol == of.protocol && found.name == of.name
}

/// A name, with what its requests are if nobody waits for their answer as for others'.
fn name(of: &EndpointFigures) -> String {
    match of.kind {
        Some(kind) if !of.is_of_requests() => {
            format!("{} ({})", of.name, crate::live::probes::endpoints::kind_name(kind as u32).replace('_', " "))
        }
        _ => of.name.clone(),
    }
}

fn coverage(service: &ServiceReport, lines: &mut Lines) {
    let Some(coverage) = service.coverage.as_ref().filter(|of| of.named < of.counted) else { return };
    let text = format!(
        "{} of {} requests have a name ({}); of the others the protocol is not followed, or the name could not be kept",
        grouped(coverage.named),
        grouped(coverage.counted),
        percent(coverage.named, coverage.counted)
    );
    lines.labelled("", &text);
}

fn objectives(service: &ServiceReport, lines: &mut Lines) {
    if let Some(rule) = service.requests.as_ref().and_then(|requests| requests.by_rule.as_ref()) {
        let mut items = Vec::new();
        if rule.excluded > 0 {
            items.push(format!("{} requests are not in latency and verdict", grouped(rule.excluded)));
        }
        if rule.included > 0 {
            items.push(format!("{} waits are in them", grouped(rule.included)));
        }
        if rule.unmatched > 0 {
            items.push(format!("{} were not found in the latency", grouped(rule.unmatched)));
        }
        lines.items("by rule", &items);
    }
    for (at, of) in service.endpoint_objectives.iter().enumerate() {
        let word = match of.verdict {
            Some(Verdict::Met) => "MET",
            Some(Verdict::Missed) => "MISSED",
            Some(Verdict::TooFew) => "TOO FEW REQUESTS TO TELL",
            Some(Verdict::NotTested) => "NOT TESTED",
            None => "NOT MEASURED",
        };
        let p99 = of.found_p99_ns.map_or_else(|| ABSENT.into(), duration);
        let label = if at == 0 { "objectives" } else { "" };
        lines.labelled(label, &format!("{} {word} · p99 {p99} · {}", called(&of.name), of.reason));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::endpoints::sample::{status, with_endpoints};
    use crate::analysis::sample::{self, assessed};
    use crate::output::words::said;
    use crate::report::{ByRuleReport, CoverageReport, EndpointObjectiveReport};

    fn text(change: impl Fn(&mut ServiceReport)) -> String {
        let mut report = sample::whole();
        report.services.remove(0);
        report.services[0].endpoint_objectives.clear();
        change(&mut report.services[0]);
        let report = said(assessed(report));
        let mut lines = Lines::new(110);
        render(&report.services[0], &[status()], &mut lines);
        lines.finish().as_str().to_owned()
    }

    #[test]
    fn who_takes_the_time_and_who_makes_the_tail_are_shown_and_the_rest_is_one() {
        let names: Vec<String> = (b'a'..=b'h').map(|letter| format!("GET /{}", char::from(letter))).collect();
        let mut endpoints: Vec<(&str, Vec<u64>)> =
            names.iter().enumerate().map(|(at, name)| (name.as_str(), vec![1_000_000; 1_000 * (at + 1)])).collect();
        endpoints.push(("GET /rare", vec![60_000_000; 60]));
        let all: Vec<u64> = endpoints.iter().flat_map(|(_, values)| values.clone()).collect();
        let text = text(|service| {
            with_endpoints(service, &endpoints);
            service.requests.as_mut().unwrap().latency = sample::distribution(all.iter().copied());
            service.coverage = Some(CoverageReport { named: 36_060, counted: 40_000 });
        });
        let lines: Vec<&str> = text.lines().collect();
        let first = |line: &str| line.split_whitespace().take(3).collect::<Vec<_>>().join(" ");
        assert_eq!(first(lines[1]), "GET /h 8,000", "{text}");
        assert!(lines[6].contains("GET /rare") && lines[6].contains("60"), "{text}");
        assert_eq!(first(lines[7]), "3 more 6,000", "{text}");
        assert!(text.contains("36,060 of 40,000 requests have a name (90 %)"), "{text}");
        assert_eq!(lines.len(), 11, "{text}");
    }

    #[test]
    fn rules_and_objectives_are_told() {
        let text = text(|service| {
            with_endpoints(service, &[("GET /a", vec![9_000_000; 500])]);
            let (name, p99_ns) = ("GET /a".into(), 2_000_000);
            service.endpoint_objectives = vec![EndpointObjectiveReport { name, p99_ns, ..Default::default() }];
            let by_rule = ByRuleReport { excluded: 1_200, unmatched: 3, ..ByRuleReport::default() };
            service.requests.as_mut().unwrap().by_rule = Some(by_rule);
        });
        assert!(text.contains("1,200 requests are not in latency and verdict"), "{text}");
        assert!(text.contains("GET /a MISSED · p99 9.1") && text.contains("not below 2 ms"), "{text}");
    }
}
