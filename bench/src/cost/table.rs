//! Tables in Markdown.
//!
//! In: stored results. Out: text. What was not measured is `–`; an arm that did not run says why.

use super::arms::{ALL, ALWAYS_ON, ARMS, FLOOR, Kind};
use super::figures;
use super::store::{OTHERS_PERCENT, Programs, Results};
use super::victims::Entry;
use crate::statistics::Median;

/// Not measured.
const NONE: &str = "–";

/// A number with its sign, or without, to three digits.
pub fn number(value: f64, sign: bool) -> String {
    let digits = if value.abs() >= 100.0 || value == 0.0 {
        0
    } else if value.abs() >= 10.0 {
        1
    } else {
        2
    };
    let text = if sign { format!("{value:+.digits$}") } else { format!("{value:.digits$}") };
    // `-0.00` is 0.
    if text.trim_start_matches(['-', '+']).chars().all(|c| matches!(c, '0' | '.')) {
        text.trim_start_matches(['-', '+']).to_owned()
    } else {
        text
    }
}

/// A median alone.
fn middle(median: Option<Median>, sign: bool) -> String {
    median.map_or_else(|| NONE.into(), |median| number(median.middle, sign))
}

/// A median and its interval.
pub fn with_interval(median: Option<Median>, unit: &str) -> String {
    median.map_or_else(
        || NONE.into(),
        |Median { low, middle, high, .. }| {
            format!("{}{unit} ({} to {})", number(middle, true), number(low, true), number(high, true))
        },
    )
}

fn row(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

fn head(cells: &[&str]) -> String {
    let line: String = cells.iter().enumerate().map(|(at, _)| if at == 0 { "|---" } else { "|---:" }).collect();
    format!("| {} |\n{line}|\n", cells.join(" | "))
}

/// The arms of a victim.
pub fn arms(entry: &Entry, results: &Results) -> String {
    let mut text = match entry.iteration {
        None => head(&[
            "arm",
            "runs",
            "requests/s",
            "throughput",
            "added per request",
            "at full speed",
            "service's CPU per request",
            "added CPU",
            "P99 at 60 %",
            "P99",
        ]),
        Some(iteration) => head(&["arm", "runs", &format!("ns per {iteration}"), "change", "at full speed"]),
    };
    for arm in ARMS {
        let (all, quiet) = (results.runs(arm.name).len(), results.quiet_runs(arm.name).count());
        let Some(known) = results.arms.get(arm.name) else { continue };
        let mut cells = vec![arm.name.to_owned(), quiet.to_string()];
        if quiet == 0 {
            let error = known.errors.first().map_or("not run", String::as_str).replace('|', "\\|");
            let disturbed = format!("others took part in each of its {all} runs");
            let columns = if entry.iteration.is_none() { 8 } else { 3 };
            cells.push(if all > 0 { disturbed } else { format!("did not run: {error}") });
            cells.extend((1..columns).map(|_| String::new()));
            text.push_str(&row(&cells));
            continue;
        }
        let rate = figures::rate(results, arm.name);
        if entry.iteration.is_some() {
            cells.push(middle(rate.map(|rate| rate.map(|rate| 1e9 / rate)), false));
            cells.push(with_interval(figures::time_change(results, arm.name), " %"));
            cells.push(with_interval(figures::full_time_change(results, arm.name), " %"));
        } else {
            let us = figures::p99(results, arm.name).map(|p99| p99.map(|ns| ns / 1e3));
            cells.push(rate.map_or_else(|| NONE.into(), |rate| format!("{:.0}", rate.middle)));
            cells.push(with_interval(figures::rate_change(results, arm.name), " %"));
            cells.push(with_interval(figures::added(results, arm.name), " ns"));
            cells.push(with_interval(figures::full_added(results, arm.name), " ns"));
            cells.push(
                figures::cpu(results, arm.name).map_or_else(|| NONE.into(), |cpu| format!("{:.0} ns", cpu.middle)),
            );
            cells.push(with_interval(figures::cpu_added(results, arm.name), " ns"));
            cells.push(us.map_or_else(|| NONE.into(), |us| format!("{} µs", number(us.middle, false))));
            cells.push(with_interval(figures::p99_change(results, arm.name), " %"));
        }
        text.push_str(&row(&cells));
    }
    let all: usize = ARMS.iter().map(|arm| results.runs(arm.name).len()).sum();
    let quiet: usize = ARMS.iter().map(|arm| results.quiet_runs(arm.name).count()).sum();
    if quiet < all {
        let loud = all - quiet;
        text.push_str(&format!(
            "\nLeft out: {loud} of {all} runs, in which others used more than {OTHERS_PERCENT} % of all CPU time, also when tried again.\n"
        ));
    }
    for arm in ARMS {
        let Some(known) = results.arms.get(arm.name).filter(|known| !known.runs.is_empty()) else { continue };
        for error in &known.errors {
            text.push_str(&format!("\n{} failed in one run more: {error}\n", arm.name));
        }
    }
    text
}

/// Added time of the rivals in multiples of ours.
pub fn rivals(results: &Results) -> String {
    let mut text = head(&[
        "arm",
        "added per request",
        "÷ floor",
        "÷ always-on",
        "÷ with syscalls",
        "added at full speed",
        "÷ floor",
        "÷ always-on",
        "÷ with syscalls",
    ]);
    let times = |value: Option<f64>| value.map_or_else(|| NONE.into(), |value| format!("{} ×", number(value, false)));
    for arm in ARMS.iter().filter(|arm| matches!(arm.kind, Kind::Rival(_) | Kind::Agent(_))) {
        let added = figures::added(results, arm.name);
        if added.is_none() {
            continue;
        }
        let against = |other: &str| times(figures::multiple(results, arm.name, other));
        let full = |other: &str| times(figures::full_multiple(results, arm.name, other));
        let ns = |added: Option<Median>| added.map_or_else(|| NONE.into(), |added| number(added.middle, true) + " ns");
        let mut cells = vec![arm.name.to_owned(), ns(added)];
        cells.extend([FLOOR, ALWAYS_ON, ALL].map(against));
        cells.push(ns(figures::full_added(results, arm.name)));
        cells.extend([FLOOR, ALWAYS_ON, ALL].map(full));
        text.push_str(&row(&cells));
    }
    text
}

/// The kernel's account of our programs.
pub fn programs(programs: &Programs) -> String {
    let requests = programs.requests.max(1) as f64;
    let mut text = head(&["program", "runs per request", "ns per run", "ns per request"]);
    let mut sorted = programs.programs.clone();
    sorted.sort_by_key(|(_, _, run_time)| std::cmp::Reverse(*run_time));
    for (name, runs, run_time) in sorted.iter().filter(|(_, runs, _)| *runs > 0) {
        let each = *run_time as f64 / *runs as f64;
        let per_request = [*runs as f64 / requests, each, *run_time as f64 / requests];
        let numbers = per_request.map(|value| number(value, false));
        text.push_str(&row(&[&[name.clone()][..], &numbers].concat()));
    }
    let total = figures::programs_per_request(programs).map_or_else(|| NONE.into(), |total| number(total, false));
    let agent = number(programs.agent.cpu_ns as f64 / requests, false);
    text.push_str(&row(&["all programs".into(), String::new(), String::new(), total]));
    text.push_str(&row(&["the agent itself".into(), String::new(), String::new(), agent]));
    text
}

/// The agent at the rates.
pub fn at_rates(results: &Results) -> String {
    let mut text = head(&["requests/s wanted", "reached", "agent, % of a core", "memory, MB", "attach, ms"]);
    for at in &results.at_rates {
        let agent = &at.agent;
        let percent = agent.cpu_ns as f64 / agent.window_ns.max(1) as f64 * 100.0;
        let numbers = [percent, agent.rss_bytes as f64 / 1e6, agent.attach_ns as f64 / 1e6];
        let rates = [format!("{:.0}", at.wanted), format!("{:.0}", at.reached)];
        text.push_str(&row(&[&rates[..], &numbers.map(|value| number(value, false))].concat()));
    }
    text
}

/// What the agent says of itself in the runs of the first table.
pub fn agent(entry: &Entry, results: &Results) -> String {
    let mut text = head(&["arm", "agent, % of a core", "agent's CPU per request", "memory, MB", "load and attach, ms"]);
    for arm in ARMS.iter().filter(|arm| matches!(arm.kind, Kind::Agent(_))) {
        if figures::attach_ms(results, arm.name).is_none() {
            continue;
        }
        // A bystander's requests are too few to divide by.
        let cpu = figures::agent_cpu(results, arm.name).filter(|_| entry.iteration.is_none());
        let cells = [
            arm.name.to_owned(),
            middle(figures::agent_percent(results, arm.name), false),
            cpu.map_or_else(|| NONE.into(), |cpu| format!("{} ns", number(cpu.middle, false))),
            middle(figures::rss_mb(results, arm.name), false),
            middle(figures::attach_ms(results, arm.name), false),
        ];
        text.push_str(&row(&cells));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::store::Run;
    use crate::cost::victims::VICTIMS;

    #[test]
    fn numbers_have_three_digits() {
        assert_eq!(number(1234.5, false), "1234");
        assert_eq!(number(-12.34, true), "-12.3");
        assert_eq!(number(0.256, true), "+0.26");
        assert_eq!((number(-0.001, true), number(0.0, true)), ("0.00".into(), "0".into()));
    }

    #[test]
    fn an_arm_that_did_not_run_says_why_and_what_is_unknown_is_no_zero() {
        let mut results = Results::default();
        let run = |rate| Run {
            round: 1,
            rate,
            slices: Vec::new(),
            cpu_ns: None,
            p99_ns: None,
            steady_rate: None,
            agent: None,
            others_percent: 0.0,
        };
        results.arms.entry("bare".into()).or_default().runs.push(run(1000.0));
        results.arms.entry("floor".into()).or_default().runs.push(run(800.0));
        results.arms.entry("strace -c -f".into()).or_default().errors.push("no | ptrace".into());
        let text = arms(&VICTIMS[0], &results);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[3],
            "| floor | 1 | 800 | -20.0 % (-20.0 to -20.0) | +250000 ns (+250000 to +250000) | – | – | – | – | – |"
        );
        assert_eq!(lines[4], "| strace -c -f | 0 | did not run: no \\| ptrace |  |  |  |  |  |  |  |");
        assert!(lines.iter().all(|line| line.matches('|').count() - line.matches("\\|").count() == 11), "{text}");
        let loops = VICTIMS.iter().find(|entry| entry.iteration.is_some()).unwrap();
        assert!(arms(loops, &results).contains("| floor | 1 | 1250000 | +25.0 % (+25.0 to +25.0) | – |"));
    }

    #[test]
    fn programs_are_sorted_by_what_they_take() {
        let agent =
            crate::cost::store::AgentCost { cpu_ns: 50, window_ns: 1, rss_bytes: 1, attach_ns: 1, requests: None };
        let list = vec![("x".to_owned(), 10, 100), ("y".to_owned(), 20, 200), ("never".to_owned(), 0, 0)];
        let text = programs(&Programs { arm: "a".into(), requests: 10, programs: list, agent });
        let lines: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(lines[0], "| y | 2.00 | 10.0 | 20.0 |");
        assert_eq!(lines[2..], ["| all programs |  |  | 30.0 |", "| the agent itself |  |  | 5.00 |"]);
    }
}
