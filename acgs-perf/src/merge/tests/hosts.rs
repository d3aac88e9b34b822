//! Captures of several hosts, workers and runs.

use std::time::Duration;

use super::*;
use crate::live::probes::request::{COUNTERS, LATENCY};
use crate::live::status::{ProbeState, ProbeStatus};
use crate::snapshot::exemplar::{Exemplar, Kept};
use crate::snapshot::{Cost, Host, Process, ServiceContext};
use crate::sums::{Row, Section, Sections};

const SECOND: u64 = 1_000_000_000;
const UNIX: u64 = 1_700_000_000 * SECOND;

/// A capture of ten seconds of a service, with so many requests in each; `at` is its begin in seconds by the time of day, and its own
/// clock begins with `boot`.
fn capture(host: &str, pid: u32, (boot, at): (u64, u64), each: i64) -> Capture {
    let interval = |second: u64| {
        let sums = |word| Row { sums: Sums::sparse([(word, each)]), ..Row::default() };
        let sections = Sections::from([
            (LATENCY.into(), Section::from([(vec![0], sums(1000))])),
            (COUNTERS.into(), Section::from([(vec![], sums(0))])),
        ]);
        Interval {
            start_ns: boot + second * SECOND,
            len_ns: SECOND,
            rest_start_ns: boot + second * SECOND,
            subjects: [(Subject::service(0), sections)].into(),
            agent_cpu_ns: 5,
            ..Interval::default()
        }
    };
    let service = ServiceContext {
        name: "api".into(),
        selector: format!("pid:{pid}"),
        processes: vec![Process { pid, comm: "api".into(), exited: false }],
        ..ServiceContext::default()
    };
    let request = ProbeStatus { name: "request".into(), state: ProbeState::Active, ..ProbeStatus::default() };
    let context = Context {
        layout: LAYOUT_VERSION,
        agent: "1".into(),
        host: Host { name: host.into(), kernel: "6.1".into(), cpus: 2, memory_bytes: 10, ..Host::default() },
        start_unix_ns: UNIX + at * SECOND,
        start_ns: boot,
        duration_ns: 10 * SECOND,
        ended_by: Ending::Duration,
        probes: vec![request],
        cost: Cost { agent_cpu_ns: 50, agent_max_rss_bytes: 7, ..Cost::default() },
        services: vec![service],
        notes: vec!["slow disk".into()],
        ..Context::default()
    };
    let slowest = vec![Exemplar { arrived_ns: boot + SECOND, service_ns: pid.into(), ..Exemplar::default() }];
    let kept = Kept { slowest, ..Kept::default() };
    let exemplars = [(Subject::service(0), kept)].into();
    Capture { context, intervals: Timeline::of((0..10).map(interval)), exemplars }
}

fn rate(capture: &Capture) -> (u64, Option<f64>) {
    let report = analyse(capture);
    let requests = report.services[0].requests.as_ref().unwrap();
    (requests.count, requests.rate_per_s)
}

#[test]
fn of_workers_side_by_side_rates_add_up_and_runs_have_the_rate_of_the_time_that_was() {
    let first = capture("a", 1, (7 * SECOND, 0), 100);
    let beside = capture("a", 2, (7 * SECOND, 0), 30);
    let merged = merge(&[first.clone(), beside]);
    assert_eq!(rate(&merged), (1_300, Some(130.0)));
    assert_eq!((merged.intervals.len(), merged.context.cost.agent_cpu_ns), (10, 100));
    assert_eq!(merged.context.services[0].selector, "pid:1 or pid:2");
    assert_eq!(merged.context.services[0].processes.len(), 2);
    // On the same host, and on one that was started again: the time between is none of it.
    for boot in [7 + 60, 3] {
        let later = capture("a", 1, (boot * SECOND, 60), 40);
        let merged = merge(&[later, first.clone()]);
        assert_eq!(rate(&merged), (1_400, Some(70.0)));
        assert_eq!((merged.context.duration_ns, merged.intervals.len()), (20 * SECOND, 20));
        let gaps: Vec<_> = merged.context.notes.iter().filter(|note| note.contains("nothing was recorded")).collect();
        assert!(gaps.len() == 1 && gaps[0].contains("(50 s)"), "{gaps:?}");
        assert_eq!(analyse(&merged).services[0].series[10].offset_ns, 60 * SECOND);
    }
}

#[test]
fn hosts_are_all_told_with_what_each_has() {
    let all = [capture("b", 1, (5, 0), 1), capture("a", 2, (900 * SECOND, 0), 2), capture("c", 3, (77, 3), 3)];
    let merged = merge(&all);
    let context = &merged.context;
    assert_eq!((context.host.name.as_str(), context.host.cpus, context.host.memory_bytes), ("a, b, c", 6, 30));
    assert_eq!((context.hosts.len(), context.cost.agent_max_rss_bytes), (3, 7));
    assert_eq!(context.notes, ["a: slow disk", "b: slow disk", "c: slow disk"]);
    assert_eq!((context.duration_ns, context.start_unix_ns), (13 * SECOND, UNIX));
    assert_eq!(rate(&merged).0, 60);
    let slowest = &merged.exemplars[&Subject::service(0)].slowest;
    assert_eq!(slowest.iter().map(|one| one.service_ns).collect::<Vec<_>>(), [3, 2, 1]);
    // On one clock.
    let offsets: Vec<u64> = slowest.iter().map(|one| one.arrived_ns.wrapping_sub(context.start_ns) / SECOND).collect();
    assert_eq!(offsets, [4, 1, 1]);
    // A merged one is a capture like any other.
    assert_eq!(merge(&[merge(&all[..2]), all[2].clone()]).context.hosts, context.hosts);
    let apart = try_merge(&all, true).unwrap();
    let names: Vec<&str> = apart.context.services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["api@a", "api@b", "api@c"]);
}

#[test]
fn what_is_not_to_be_added_is_named() {
    let refusals = |captures: &[Capture]| try_merge(captures, false).unwrap_err();
    let one = capture("a", 1, (0, 0), 1);
    let mut other = capture("b", 1, (0, 0), 1);
    other.context.layout = 1;
    other.context.services[0].objective.p99 = Duration::from_millis(9);
    let found = refusals(&[one.clone(), other.clone()]);
    assert!(matches!(&found[..], [Refusal::Layout { .. }, Refusal::Objective { .. }]), "{found:?}");
    other.context.layout = LAYOUT_VERSION;
    assert_eq!(try_merge(&[one.clone(), other], true).unwrap().context.services.len(), 2);
    let again = capture("a", 1, (9 * SECOND, 9), 2);
    let found = refusals(&[one.clone(), again]);
    assert!(matches!(&found[..], [Refusal::Twice { pid: 1, length, .. }] if length == "1 s"), "{found:?}");
    let found = refusals(&[one.clone(), one]);
    assert!(matches!(&found[..], [Refusal::Same { .. }]), "{found:?}");
}

#[test]
fn requests_that_were_open_when_a_host_ended_are_open_at_the_end() {
    let with_open = |mut capture: Capture, counts: &[u64]| {
        let mut intervals: Vec<Interval> = capture.intervals.iter().collect();
        for (interval, count) in intervals.iter_mut().zip(counts) {
            let mut open = OpenRequests::default();
            (0..*count).for_each(|age| open.unread.add(1, age, false, Default::default));
            interval.look = Some(Look { at_ns: interval.end_ns(), open: [(Subject::service(0), open)].into() });
        }
        capture.intervals = Timeline::of(intervals);
        capture
    };
    let early = with_open(capture("a", 1, (3 * SECOND, 0), 1), &[9, 9, 9, 9, 9, 9, 9, 9, 9, 4]);
    let late = with_open(capture("b", 1, (90 * SECOND, 5), 1), &[1, 1, 1, 1, 1, 1, 1, 1, 1, 2]);
    let unread = |capture: &Capture| {
        let look = capture.intervals.whole().look.unwrap();
        look.open.values().map(|open| open.unread.count).sum::<u64>()
    };
    let merged = merge(&[early.clone(), late]);
    assert_eq!(unread(&merged), 6);
    // While both were looked at they add up, and what is carried is in the last look only.
    let all: Vec<u64> = merged
        .intervals
        .iter()
        .map(|one| one.look.unwrap().open.values().map(|open| open.unread.count).sum())
        .collect();
    assert_eq!(all, [9, 9, 9, 9, 9, 10, 10, 10, 10, 5, 1, 1, 1, 1, 6]);
    // A later capture of the same host has looked again.
    let again = with_open(capture("a", 1, (60 * SECOND, 57), 1), &[0; 10]);
    assert_eq!(unread(&merge(&[early, again])), 0);
}

#[test]
fn a_probe_that_was_not_active_everywhere_is_told() {
    let mut other = capture("b", 1, (0, 0), 1);
    other.context.probes[0].state = ProbeState::Unsupported;
    other.context.probes[0].reason = Some("no hook".into());
    let merged = merge(&[capture("a", 1, (0, 0), 1), other]);
    assert!(merged.context.probes[0].is_active());
    let note = merged.context.notes.last().unwrap();
    assert!(note.contains("probe request was unsupported: no hook in captures of b"), "{note}");
}
