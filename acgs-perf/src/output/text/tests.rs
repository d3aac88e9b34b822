//! The layout of the summary, and the cases in which a figure is missing. The summary as a whole is in `golden`.

use super::*;
use crate::analysis::Counts;
use crate::analysis::sample::{self, assessed};
use crate::output::words::said;
use crate::report::{AttributionReport, RequestsReport, seal};

fn render(report: &Report, width: usize) -> String {
    super::render(report, width).as_str().to_owned()
}

#[test]
fn lines_keep_to_the_width_and_tables_are_aligned() {
    for width in [80, 100, 140] {
        let text = render(&said(assessed(sample::whole())), width);
        for line in text.lines() {
            assert!(line.chars().count() <= width, "{width}: {line}");
        }
        let end = |word: &str| text.lines().find(|line| line.trim_start().starts_with(word)).map(|l| l.chars().count());
        assert_eq!(end("latency"), end("queue time"));
        assert_eq!(end("latency"), end("service time"));
    }
}

#[test]
fn a_long_name_does_not_break_a_table() {
    let mut report = sample::whole();
    let peers = report.services[1].downstream.as_mut().unwrap();
    peers[0].address = "[2001:db8:85a3::8a2e:370:7334]:5432".into();
    peers[0].service = Some("the-database-of-the-policy-engine".into());
    for width in [80, 90, 100] {
        let text = render(&said(assessed(report.clone())), width);
        let line = text.lines().find(|line| line.contains("]:5432)") && line.contains("20,000")).unwrap();
        assert!(line.chars().count() <= width && line.contains('…'), "{width}: {line}");
    }
}

#[test]
fn the_tail_comes_first_and_few_requests_are_no_tail() {
    let text = render(&said(assessed(sample::whole())), 100);
    let lines: Vec<_> = text.lines().collect();
    let verdict = lines.iter().position(|line| line.starts_with("api   MISSED")).unwrap();
    assert!(lines[verdict + 1].starts_with("  tail         95 % of the slowest 1 % is waiting for postgres"), "{text}");
    let mut report = sample::whole();
    report.services[1].attribution = Some(AttributionReport::default());
    (report.services[1].downstream, report.services[1].exemplars) = (Some(Vec::new()), Some(Vec::new()));
    let text = render(&said(assessed(report)), 100);
    assert!(
        text.contains(
            "tail         No request was followed through the service, so nothing says what requests wait for."
        ),
        "{text}"
    );
    assert!(text.contains("downstream   no call seen") && !text.contains("exemplars"), "{text}");
}

#[test]
fn what_is_missing_is_said() {
    let mut report = said(assessed(sample::small()));
    seal(&mut report).unwrap();
    let text = render(&report, 100);
    for expected in [
        "tiny   TOO FEW REQUESTS TO TELL   p99 1.99 µs (95 % CI 1.97 µs or more) < 5 ms at 133 req/s > 100",
        "an upper bound of the P99 needs 368 requests, there were 200",
        "threads      – not measured: probe sched is disabled",
        "tcp          – not measured: probe tcp did not run",
        "memory not measured",
        "kernel programs not measured: needs --measure-cost",
        "sched disabled: not in --probes",
        "digest       sha256:",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
}

#[test]
fn a_percentile_over_range_is_not_a_number() {
    let mut report = sample::small();
    let counts = Counts { over_range: 100, ..sample::counts((0..100).map(|i| i * 1_000)) };
    report.services[0].requests.as_mut().unwrap().latency = sample::distribution_of(&counts);
    let text = render(&said(assessed(report)), 100);
    assert!(text.contains("MISSED   p99 ≥68.7 s"), "{text}");
    let row = text.lines().find(|line| line.trim_start().starts_with("latency")).unwrap();
    assert!(row.ends_with("≥68.7 s  ≥68.7 s  ≥68.7 s  ≥68.7 s"), "{row}");
}

#[test]
fn no_request_no_figures() {
    let mut report = sample::small();
    report.services[0].requests = Some(RequestsReport::default());
    let text = render(&said(assessed(report)), 100);
    assert!(text.contains("tiny   TOO FEW REQUESTS TO TELL\n"), "{text}");
    assert!(text.contains("because      no request was answered"), "{text}");
    let row = text.lines().find(|line| line.trim_start().starts_with("latency")).unwrap();
    assert_eq!(row.split_whitespace().collect::<Vec<_>>(), ["latency", "0", "–", "–", "–", "–", "–", "–"]);
}

#[test]
fn losses_are_named() {
    let mut report = sample::whole();
    report.ledger.insert("socket_storage_refused".into(), 12_345);
    let text = render(&said(assessed(report)), 100);
    assert!(text.contains("lost         socket_storage_refused 12,345 · all others 0 (loss counters: "), "{text}");
    assert!(text.contains("findings\n"), "{text}");
}

#[test]
fn a_command_name_cannot_drive_the_terminal() {
    let mut report = sample::small();
    report.services[0].processes[0].comm = "\x1b[2Jevil\n\u{9b}2J\u{202e}".into();
    let mut report = said(assessed(report));
    report.digest = "sha256:\u{2066}\r\x07".into();
    let text = render(&report, 100);
    assert!(text.contains("?[2Jevil??2J? 7") && text.contains("sha256:???"), "{text}");
    let acts = |c: char| (c.is_control() && c != '\n') || "\u{202e}\u{2066}".contains(c);
    assert!(!text.contains(acts), "{text:?}");
}

#[test]
fn an_empty_recording_renders() {
    let text = render(&said(assessed(sample::empty())), 100);
    assert!(text.contains("no service was profiled") && text.contains("no loss counter"), "{text}");
}
