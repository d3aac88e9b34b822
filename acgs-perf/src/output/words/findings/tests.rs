//! What findings say, about the sample's services.

use acgs_perf_common::attribution::COMPONENT_NAMES;

use crate::analysis::sample::{self, assessed};
use crate::output::words::said;
use crate::report::{Finding, OverheadReport, ProbeState, Report};
use crate::snapshot::Ending;

/// The findings of a report, in words.
fn findings(report: &Report) -> Vec<Finding> {
    said(assessed(report.clone())).findings
}

/// The healthy service of the sample.
fn healthy() -> Report {
    let mut report = sample::whole();
    report.services.truncate(1);
    report
}

/// The service whose tail waits for its database.
fn api() -> Report {
    let mut report = sample::whole();
    report.services.remove(0);
    report
}

#[test]
fn each_says_its_numbers() {
    let mut report = healthy();
    report.ledger.insert("errno_table_full".into(), 1234);
    let requests = report.services[0].requests.as_mut().unwrap();
    requests.latency = sample::distribution((0..300_000).map(|_| 20_000_000));
    requests.queue_time = sample::distribution((0..300_000).map(|_| 15_000_000));
    let all = findings(&report);
    assert!(all[0].evidence.contains("at least 19.9 ms"), "{}", all[0].evidence);
    let said = |id: &str| all.iter().find(|finding| finding.id == id).unwrap();
    assert!(said("objective_missed").recommendation.starts_with("compare queue time"), "{}", all[0].recommendation);
    assert!(said("queue_time_dominates").evidence.starts_with("one in a hundred waits 15.0 ms or more before"));
    assert_eq!(all[2].evidence, "errno_table_full 1,234");
    assert!(all[2].recommendation.contains("table of failed system calls is full"), "{}", all[2].recommendation);
}

#[test]
fn what_could_not_be_read_is_evidence_too() {
    let mut report = healthy();
    report.notes.push("TCP peers could not be read whole: no permission".into());
    let finding = findings(&report).remove(0);
    assert_eq!(finding.evidence, report.notes[0]);
    assert!(finding.recommendation.starts_with("do not rely on the figures"), "{}", finding.recommendation);
    report.ledger.insert("errno_table_full".into(), 7);
    let finding = findings(&report).remove(0);
    assert_eq!(finding.evidence, "errno_table_full 7; TCP peers could not be read whole: no permission");
}

#[test]
fn a_low_rate_has_its_own_advice() {
    let mut report = healthy();
    report.services[0].objective.min_rps = 1e6;
    let finding = findings(&report).remove(0);
    assert_eq!(finding.evidence, "30,000 of 1,000,000 requests/s were offered");
    assert!(finding.recommendation.contains("min_rps"));
}

#[test]
fn stopped_probes_and_an_early_end_are_told_with_what_was_measured() {
    let mut report = healthy();
    report.probes[2].state = ProbeState::Stopped;
    report.probes[2].reason = Some("after 2s the measurement took 5 %".into());
    report.probes[2].stopped_after_ns = Some(2_000_000_000);
    let finding = findings(&report).remove(0);
    assert_eq!(finding.evidence, "syscalls stopped: after 2s the measurement took 5 %");
    report.window.ended_by = Ending::Overhead;
    report.cost.overhead = Some(OverheadReport {
        limit_ppm: 1_000,
        intervals: 8,
        last_ppm: Some(20_000),
        highest_ppm: Some(30_000),
        account_ppm: Some(1_000),
    });
    let finding = findings(&report).remove(0);
    assert!(finding.title.contains("ended early"), "{}", finding.title);
    assert!(finding.evidence.ends_with("at the end 2.0 % of the host's CPU time, limit 0.1 %"), "{}", finding.evidence);
}

#[test]
fn a_cpu_quota_is_told_with_what_was_asked_for() {
    let mut report = healthy();
    let window = report.window.duration_ns;
    if let Some(scheduler) = report.services[0].scheduler.as_mut() {
        (scheduler.on_cpu_ns, scheduler.cpu_quota_ns) = (Some(window / 16), Some(window / 2));
    }
    let finding = findings(&report).remove(0);
    assert!(finding.evidence.ends_with("(89 %); they had 0.06 CPUs on average"), "{}", finding.evidence);
    assert!(finding.recommendation.contains("asked for 0.56 CPUs"), "{}", finding.recommendation);
}

#[test]
fn places_that_disagree_are_named() {
    let mut report = healthy();
    report.services[0].requests.as_mut().unwrap().latency.count += 2;
    assert_eq!(findings(&report)[0].evidence, "300,000 requests answered; 300,002 in latency");
}

/// The first that says what slow requests wait for.
fn of_tail(report: &Report) -> Finding {
    findings(report).into_iter().find(|finding| finding.id.starts_with("tail_")).expect("a tail")
}

#[test]
fn a_slow_tail_is_told_with_its_peer() {
    let all = findings(&api());
    assert!(all[2].recommendation.starts_with("see what its slow requests wait for"));
    let finding = &all[1];
    assert!(finding.title.ends_with("spend their time waiting for postgres (127.0.0.1:5432)"), "{}", finding.title);
    assert_eq!(
        finding.evidence,
        "200 requests take 51.0 ms or longer, 54.5 ms on average; the others take 2.32 ms; 51.5 ms of that (95 %) is waiting for \
         postgres (127.0.0.1:5432); of the others 989 µs; they make 21.0 calls each, the others 3.2; in the exemplars 100 % \
         of it is for SELECT … FROM policies WHERE id = ?"
    );
    assert!(finding.gain.starts_with("without it the P99 would fall from 50.6 ms to about"), "{}", finding.gain);
    assert!(finding.recommendation.starts_with("make the calls that do not need"), "{}", finding.recommendation);
}

#[test]
fn a_connection_for_each_call_is_pointed_out() {
    let mut report = api();
    report.services[0].downstream.as_mut().unwrap()[0].connects = 10_000;
    let finding = of_tail(&report);
    assert!(finding.evidence.ends_with("; 10,000 connections to 127.0.0.1:5432 for 20,000 calls"), "{finding:?}");
    assert!(finding.recommendation.ends_with("; keep connections open instead of opening one for each call"));
}

#[test]
fn who_ran_instead_comes_from_the_exemplars_or_else_from_all_waits() {
    let mut report = sample::whole();
    let scheduler = report.services.remove(0).scheduler;
    report.services[0].scheduler = scheduler;
    let rows = &mut report.services[0].attribution.as_mut().unwrap().rows;
    for row in rows.iter_mut().filter(|row| row.latency_ns / row.count > 10_000_000) {
        row.component_ns = [("queue_run_queue".to_owned(), row.latency_ns)].into();
    }
    let evidence = |report: &Report| of_tail(report).evidence;
    assert!(
        evidence(&report).ends_with("while the slowest requests waited: stress-ng 99 1.60 ms"),
        "{}",
        evidence(&report)
    );
    report.services[0].exemplars = Some(Vec::new());
    assert!(evidence(&report).ends_with("of the service waited: stress-ng 99 310 ms"), "{}", evidence(&report));
}

#[test]
fn a_service_that_is_slow_throughout_is_called_so() {
    let mut report = api();
    report.services[0].attribution.as_mut().unwrap().rows.retain(|row| row.latency_ns / row.count > 10_000_000);
    let title = of_tail(&report).title;
    assert!(title.starts_with("all requests to api, not only the slow"), "{title}");
}

#[test]
fn every_component_has_advice() {
    for (component, _) in COMPONENT_NAMES {
        let mut report = api();
        let rows = &mut report.services[0].attribution.as_mut().unwrap().rows;
        for row in rows.iter_mut().filter(|row| row.latency_ns / row.count > 10_000_000) {
            row.component_ns = [(component.to_owned(), row.latency_ns)].into();
        }
        let finding = of_tail(&report);
        assert!(finding.recommendation.len() > 20, "{finding:?}");
    }
}
