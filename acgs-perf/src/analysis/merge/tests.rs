//! Merges of reports.
//!
//! In: a capture of real services, cut by time and by service, and a report of each piece. Out: where their merge and the report of the
//! whole differ, field by field.

use std::path::Path;

use acgs_perf_common::histogram::bucket_index;
use serde_json::Value;

use super::*;
use crate::analysis::censored::{Ages, with_ages};
use crate::analysis::distribution::ended_of;
use crate::analysis::model::{FatesReport, OpenReport, ServiceReport};
use crate::analysis::{analyse, assess, merged, sample};
use crate::live::probes::sched;
use crate::merge::tests::{cut, fixture, merge, shuffle};
use crate::merge::{Refusal, plan};
use crate::report::seal;
use crate::snapshot::{Capture, Interval, LAYOUT_VERSION, Subject};

fn try_merge(reports: &[Report], by_host: bool) -> Result<Report, Vec<Refusal>> {
    let refusals: Vec<Refusal> = reports.iter().flat_map(|of| unfit(Path::new("r"), of)).collect();
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let heads = reports.iter().enumerate().map(|(at, report)| head(Path::new(&at.to_string()), report));
    let mut merger = ReportMerger::new(by_host);
    for head in plan(heads.collect(), by_host)? {
        let at: usize = head.path.to_str().unwrap().parse().unwrap();
        merger.add(&head, reports[at].clone());
    }
    Ok(merged(merger))
}

fn report_of(capture: &Capture) -> Report {
    let mut report = analyse(capture);
    // Services come in the order of their names, as nobody knows another one.
    report.services.sort_by(|a, b| a.name.cmp(&b.name));
    assess(&mut report);
    seal(&mut report).unwrap();
    report
}

/// The paths of what differs.
fn differences(a: &Value, b: &Value, path: &str, found: &mut Vec<String>) {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let at = format!("{path}.{key}");
                differences(a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null), &at, found);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().for_each(|(at, (a, b))| differences(a, b, &format!("{path}[{at}]"), found));
        }
        (a, b) if a == b => {}
        (a, b) => {
            let short = |value: &Value| value.to_string().chars().take(60).collect::<String>();
            found.push(format!("{path} {} {}", short(a), short(b)));
        }
    }
}

/// The reports of pieces, cut by service, and by time where all was read, as at the end of each recording.
fn cuts(whole: &Capture) -> Vec<Report> {
    let is_end =
        |interval: &Interval| interval.of(&Subject::service(0)).is_some_and(|of| of.contains_key(sched::COUNTERS));
    let ends = whole.intervals.iter().enumerate().filter(|(_, interval)| is_end(interval)).map(|(at, _)| at + 1);
    let mut cuts: Vec<usize> = [0].into_iter().chain(ends).collect();
    if cuts.last() != Some(&whole.intervals.len()) {
        cuts.push(whole.intervals.len());
    }
    let services = whole.context.services.len();
    let pieces = cuts.windows(2).flat_map(|pair| (0..services).map(move |service| (pair[0], pair[1], service)));
    pieces.map(|(from, to, service)| report_of(&cut::piece(whole, from, to, service))).collect()
}

/// What is no sum, and what reports do not say to the last: `docs/merge.md` has the list.
fn is_promised(found: &str, counted_again: &[String]) -> bool {
    let path = found.split(' ').next().unwrap();
    let field = path.split_once("].").map_or(path, |(_, field)| field);
    let again = counted_again.iter().any(|service| path.starts_with(service));
    // Findings are about these figures.
    !(matches!(path, ".digest" | ".notes")
        || path.starts_with(".findings")
        || field.contains("].preemptors")
        || field == "requests.latency.design_effect"
        || field.starts_with("requests.latency.p99_ci95")
        || field == "requests.unanswered"
        || (field.starts_with("downstream[") && field.ends_with("].unanswered"))
        || field.starts_with("latency_over_time")
        || field.starts_with("scheduler.ran_instead")
        || field.ends_with("mean_connect_ns")
        || (again && (field.starts_with("attribution.") || field.starts_with("tail."))))
}

#[test]
fn the_reports_of_pieces_merged_in_any_order_are_the_report_of_the_whole() {
    let whole = fixture("merge/four-services");
    let mut state = 7;
    let mut reports = cuts(&whole);
    assert_eq!(reports.len(), 12);
    let merged = try_merge(&reports, false).unwrap();
    let whole = report_of(&whole);
    let [a, b] = [&whole, &merged].map(|report| serde_json::to_value(report).unwrap());
    let mut found = Vec::new();
    differences(&a, &b, "", &mut found);
    let again: Vec<String> = (0..4)
        .filter(|at| {
            merged.notes.iter().any(|note| note.starts_with(&format!("{}: 1 request ", merged.services[*at].name)))
        })
        .map(|at| format!(".services[{at}]."))
        .collect();
    assert_eq!(again, [".services[0]."], "{:?}", merged.notes);
    let broken: Vec<&String> = found.iter().filter(|found| is_promised(found, &again)).collect();
    assert!(broken.is_empty(), "{broken:#?}");
    for (a, b) in whole.services.iter().zip(&merged.services) {
        let waits = |of: &ServiceReport| {
            let all = of.scheduler.as_ref().unwrap().ran_instead.iter();
            all.fold((0, 0), |sum, who| (sum.0 + who.waits, sum.1 + who.wait_ns))
        };
        assert_eq!((waits(a), a.series.len()), (waits(b), 27));
        assert_eq!(a.objective, b.objective);
        assert!(b.requests.as_ref().unwrap().unanswered >= a.requests.as_ref().unwrap().unanswered);
    }
    for _ in 0..3 {
        shuffle(&mut reports, &mut state);
        assert_eq!(try_merge(&reports, false).unwrap(), merged);
    }
    // One alone stays what it is.
    let mut alone = try_merge(std::slice::from_ref(&whole), false).unwrap();
    seal(&mut alone).unwrap();
    assert_eq!(alone, whole);
}

#[test]
fn reports_of_two_kernels_are_the_report_of_their_merged_captures() {
    let captures = ["captures/7.2", "captures/7.3"].map(|name| {
        let mut capture = fixture(name);
        // Its components have been brought up to today's.
        capture.context.layout = LAYOUT_VERSION;
        capture
    });
    let reports = captures.each_ref().map(report_of);
    let merged = try_merge(&reports, false).unwrap();
    let of_captures = report_of(&merge(&captures));
    let [a, b] = [&of_captures, &merged].map(|report| {
        let mut report = report.clone();
        // A sample is a sample.
        report.services[0].exemplars.as_mut().unwrap().retain(|exemplar| exemplar.slowest);
        serde_json::to_value(report).unwrap()
    });
    let mut found = Vec::new();
    differences(&a, &b, "", &mut found);
    let broken: Vec<&String> = found.iter().filter(|found| is_promised(found, &[])).collect();
    assert!(broken.is_empty(), "{broken:#?}");
    let apart = try_merge(&reports, true).unwrap();
    let names: Vec<&str> = apart.services.iter().map(|service| service.name.as_str()).collect();
    assert!(names.iter().all(|name| name.contains('@')), "{names:?}");
}

/// A report of ten seconds of a service on a host.
fn small(host: &str, start_s: u64, unread_ages: &[u64]) -> Report {
    let mut report = sample::small();
    report.host.name = host.into();
    report.window.start_unix_ns = start_s * 1_000_000_000;
    report.window.duration_ns = 10_000_000_000;
    let service = &mut report.services[0];
    service.processes.clear();
    service.series = sample::series(|_| (20, 1_000, 2_000));
    let unread = OpenReport {
        count: unread_ages.len() as u64,
        oldest_ns: unread_ages.iter().max().copied(),
        ..OpenReport::default()
    };
    service.fates = Some(FatesReport { unread, ..FatesReport::default() });
    let requests = service.requests.as_mut().unwrap();
    let mut ages = Ages::default();
    ages.add(unread_ages.iter().map(|age| (bucket_index(*age) as u32, 1)));
    requests.latency = with_ages(&ended_of(&requests.latency).unwrap(), &ages, service.objective.p99_ns);
    let mut report = sample::assessed(report);
    seal(&mut report).unwrap();
    report
}

#[test]
fn open_requests_are_those_of_the_last_look_at_each_host() {
    let open = |report: &Report| {
        let service = &report.services[0];
        let latency = &service.requests.as_ref().unwrap().latency;
        (service.fates.as_ref().unwrap().unread.count, latency.without_end)
    };
    let (a, b) = (small("a", 100, &[3_000_000_000, 1_000_000]), small("b", 103, &[5_000_000_000]));
    assert_eq!((open(&a), open(&b)), ((2, Some(2)), (1, Some(1))));
    let both = try_merge(&[b.clone(), a.clone()], false).unwrap();
    assert_eq!(
        (open(&both), both.services[0].fates.as_ref().unwrap().unread.oldest_ns),
        ((3, Some(3)), Some(5_000_000_000))
    );
    // A later report of that host has looked again.
    let later = small("a", 110, &[]);
    assert_eq!(open(&try_merge(&[a, later, b], false).unwrap()), (1, Some(1)));
}

#[test]
fn reports_at_the_same_time_have_no_common_series_and_older_ones_rounded_means() {
    let (a, mut b) = (small("a", 100, &[]), small("b", 105, &[]));
    let whole = try_merge(&[a.clone(), b.clone()], false).unwrap();
    let latency = |report: &Report| report.services[0].requests.as_ref().unwrap().latency.clone();
    assert!(whole.services[0].series.is_empty() && whole.notes.iter().any(|note| note.contains("no time series")));
    let later = try_merge(&[a.clone(), small("b", 200, &[])], false).unwrap();
    assert_eq!(later.services[0].series.len(), 2 * a.services[0].series.len());
    assert!(later.notes.iter().any(|note| note.contains("nothing was recorded")), "{:?}", later.notes);
    assert_eq!(later.window.duration_ns, 20_000_000_000);
    b.services[0].requests.as_mut().unwrap().latency.sum_ns = None;
    let rounded = try_merge(&[a, b], false).unwrap();
    assert!(rounded.notes.iter().any(|note| note.contains("rounded means")), "{:?}", rounded.notes);
    assert!(latency(&rounded).mean_ns.unwrap().abs_diff(latency(&whole).mean_ns.unwrap()) <= 1);
}

#[test]
fn reports_that_do_not_fit_are_named() {
    let refusals = |reports: &[Report]| try_merge(reports, false).unwrap_err();
    let one = small("a", 100, &[]);
    assert!(matches!(&refusals(&[one.clone(), one.clone()])[..], [Refusal::Same { .. }]));
    let mut other = small("b", 100, &[]);
    other.schema_version = 1;
    assert!(matches!(&refusals(&[one.clone(), other])[..], [Refusal::Schema { version: 1, .. }]));
    let mut other = small("b", 100, &[]);
    other.services[0].objective.p99_ns = 7_000_000;
    assert!(matches!(&refusals(&[one.clone(), other])[..], [Refusal::Objective { .. }]));
    let mut other = small("b", 100, &[]);
    other.services[0].requests.as_mut().unwrap().latency.count += 1;
    let found = refusals(&[one, other]);
    let name = "tiny: requests: latency has other buckets";
    assert!(found.len() == 1 && found[0].to_string().contains(name), "{found:?}");
}
