//! `repeated_reads`: a service asks a peer for the same again and again, which it could keep.
//!
//! In: what it asks its peers for, by name. Out: a finding about the reads whose names have no value left out: these are the same read each time.
//! Of others nobody knows whether they are the same, because values never leave the kernel; of those `many_calls` speaks.
//!
//! The hit rate is the share of the requests that did without the read: a read for each request, or more, is a hit rate of 0.

use acgs_perf_common::attribution::Component::Downstream;
use acgs_perf_protocol::Protocol;

use super::context::Context;
use crate::analysis::model::{Confidence, Figure, Finding, Severity, Unit};
use crate::analysis::tables::CallRow;

/// Its id.
pub const REPEATED_READS: &str = "repeated_reads";

/// With fewer of them they are not worth keeping.
const LEAST: u64 = 100;
/// Without an objective, what at least every second request reads anew is read too often.
const HIT_RATE: f64 = 0.5;
/// Waiting for them is at least this share of the time of all requests, unless there is an objective.
const LEAST_SHARE: f64 = 0.05;
/// For a warning they are at least this share of the time of the slowest requests.
const WARN_SHARE: f64 = 0.2;
/// The gain is that of an answer that is kept for so long.
const KEPT_NS: u64 = 1_000_000_000;
/// Reads named.
const NAMED: usize = 3;
const MILLION: f64 = 1e6;

/// The reads that miss the objective of hits, or are too many where there is none.
pub fn look(context: &Context) -> Vec<Finding> {
    let objective = context.service.objective.cache_hit_rate;
    let answered = context.answered();
    let wanted = objective.unwrap_or(HIT_RATE);
    let mut reads: Vec<&CallRow> = context.calls.iter().filter(|row| row.calls >= LEAST && is_same_read(row)).collect();
    reads.retain(|row| hit_rate(row, answered) < wanted);
    reads.sort_by_key(|row| std::cmp::Reverse(row.time_ns()));
    let time = reads.iter().map(|row| row.time_ns()).fold(0, u64::saturating_add);
    let whole = context.service.requests.as_ref().and_then(|requests| requests.latency.sum_ns).unwrap_or(0);
    if reads.is_empty() || answered < LEAST || (objective.is_none() && (time as f64) < LEAST_SHARE * whole as f64) {
        return Vec::new();
    }
    let mut figures = Vec::new();
    for row in reads.iter().take(NAMED) {
        figures.push(Figure::new("reads", row.calls, Unit::Count).of(row.name.as_str()).against(answered));
        figures.extend(row.latency.p50_ns.map(|ns| Figure::new("read_p50", ns, Unit::Ns).of(row.name.as_str())));
    }
    let again = reads.iter().map(|row| row.repeated).fold(0, u64::saturating_add);
    figures.extend((again > 0).then(|| Figure::new("repeated", again, Unit::Count)));
    figures.push(Figure::new("read_time", time, Unit::Ns).against(whole));
    let worst = reads.iter().map(|row| hit_rate(row, answered)).fold(1.0, f64::min);
    let of_million = |share: f64| (share * MILLION).round() as u64;
    let rate = Figure::new("hit_rate", of_million(worst), Unit::Ppm);
    figures.push(if objective.is_some() { rate.against(of_million(wanted)) } else { rate });
    let kept = |row: &CallRow| kept_for_a_second(row, context);
    figures.extend(reads.first().map(|row| Figure::new("kept_hit_rate", of_million(kept(row)), Unit::Ppm)));
    let of_peer = |peer: &str| {
        let saved =
            reads.iter().filter(|row| row.peer == peer).map(|row| kept(row) * row.time_ns() as f64).sum::<f64>();
        let all = context.service.downstream.iter().flatten().filter(|of| of.address == peer);
        let all = all.map(|of| of.latency.sum_ns.unwrap_or(0)).sum::<u64>();
        (saved / all.max(1) as f64).min(1.0)
    };
    let of_tail = context.share_of_tail(&[Downstream]) * time as f64 / downstream_ns(context).max(time).max(1) as f64;
    // A query behind the path may differ, and no name has it.
    let are_statements = reads.iter().all(|row| is_statement(row));
    let severity = match objective {
        Some(_) => Severity::Warning,
        None if of_tail >= WARN_SHARE && are_statements => context.severity(),
        None => Severity::Info,
    };
    let confidence = if are_statements { Confidence::Medium } else { Confidence::Low };
    let found = context.found(REPEATED_READS, severity, confidence, figures);
    vec![context.with_gain(found, |_, peers| peers.iter().map(|(peer, ns)| of_peer(peer) * *ns as f64).sum())]
}

/// The share of the requests that did without it.
fn hit_rate(row: &CallRow, answered: u64) -> f64 {
    1.0 - (row.calls as f64 / answered.max(1) as f64).min(1.0)
}

/// The hit rate if each process kept the answer for a second.
fn kept_for_a_second(row: &CallRow, context: &Context) -> f64 {
    let seconds = context.report.window.duration_ns.div_ceil(KEPT_NS).max(1);
    let misses = seconds.saturating_mul(context.service.processes.len().max(1) as u64);
    1.0 - (misses as f64 / row.calls.max(1) as f64).min(1.0)
}

/// The time of all calls.
fn downstream_ns(context: &Context) -> u64 {
    let peers = context.service.downstream.iter().flatten();
    peers.map(|of| of.latency.sum_ns.unwrap_or(0)).fold(0, u64::saturating_add)
}

fn is_statement(row: &CallRow) -> bool {
    [Protocol::Postgres, Protocol::MySql].iter().any(|of| of.name() == row.protocol)
}

/// Whether it reads, and is the same each time: a statement of which no value was left out, or a path of words only.
fn is_same_read(row: &CallRow) -> bool {
    let name = row.name.as_str();
    if name.ends_with('…') {
        return false;
    }
    if is_statement(row) {
        // What is only selected without a table is a sign of life, or the time.
        let is_read = name.starts_with("select ") && name.contains(" from ");
        return is_read && !name.contains('?') && !name.contains(" for update") && !name.contains(" for share");
    }
    row.protocol == Protocol::Http1.name() && name.starts_with("GET ") && !name.contains('{')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::sample::planted::{found, reads};

    const SETTINGS: &str = "select * from settings";

    #[test]
    fn a_read_without_values_for_every_second_request_is_read_too_often() {
        let is_found = |name: &str, calls| found(&reads("postgres", name, calls, 1_000_000), REPEATED_READS).is_some();
        assert!(is_found(SETTINGS, 10_001) && !is_found(SETTINGS, 10_000), "of 20,000 requests");
        for other in [
            "select * from settings where id = ?",
            "select now()",
            "select * from jobs for update skip locked",
            "insert into settings select * from defaults",
            "select a from settings where …",
        ] {
            assert!(!is_found(other, 20_000), "{other}");
        }
        let of_http = |name: &str| found(&reads("http", name, 20_000, 1_000_000), REPEATED_READS);
        assert_eq!(of_http("GET /settings").and_then(|of| of.confidence), Some(Confidence::Low));
        assert!(of_http("GET /settings/{}").is_none() && of_http("POST /settings").is_none());
        assert!(found(&reads("redis", "get", 20_000, 1_000_000), REPEATED_READS).is_none(), "keys have no names");
    }

    #[test]
    fn a_read_that_takes_no_time_is_not_worth_keeping_unless_there_is_an_objective() {
        let mut report = reads("postgres", SETTINGS, 20_000, 1_000);
        assert!(found(&report, REPEATED_READS).is_none());
        report.services[0].objective.cache_hit_rate = Some(0.85);
        let finding = found(&report, REPEATED_READS).expect("the objective is missed");
        assert_eq!(finding.severity, Severity::Warning);
        let rate = finding.figures.iter().find(|of| of.what == "hit_rate").expect("the hit rate");
        assert_eq!((rate.value.as_u64(), rate.against.as_ref().and_then(|of| of.as_u64())), (Some(0), Some(850_000)));
        let mut report = reads("postgres", SETTINGS, 2_900, 1_000);
        report.services[0].objective.cache_hit_rate = Some(0.85);
        assert!(found(&report, REPEATED_READS).is_none(), "855 of 1,000 requests do without it");
    }

    #[test]
    fn the_gain_is_the_time_of_the_reads_and_no_more() {
        let report = reads("postgres", SETTINGS, 20_000, 1_000_000);
        let now = report.services[0].requests.as_ref().and_then(|of| of.latency.p99_ns).expect("a P99");
        let all = found(&report, REPEATED_READS).and_then(|of| of.would_fall_to_ns).expect("a gain");
        assert!(all < now / 2, "{all} {now}");
        let mut half = report;
        for peer in half.services[0].downstream.iter_mut().flatten() {
            peer.latency.sum_ns = peer.latency.sum_ns.map(|ns| ns * 2);
        }
        let half = found(&half, REPEATED_READS).and_then(|of| of.would_fall_to_ns).expect("a gain");
        assert!(all < half && half < now, "{all} {half} {now}");
    }
}
