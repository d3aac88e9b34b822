//! Cuts against figures computed by hand, and what must hold for any requests.

use acgs_perf_common::attribution::{ALL, Component};

use super::*;
use crate::analysis::model::{ActorReport, SegmentReport};
use crate::analysis::sample::attribution::{POSTGRES, Request, mixed, report_rows, request};
use crate::analysis::sample::{self, assessed};

fn named<'a>(cut: &'a CutReport, name: &str) -> &'a crate::analysis::model::CutComponentReport {
    cut.components.iter().find(|component| component.name == name).unwrap()
}

#[test]
fn a_cut_as_computed_by_hand() {
    // 980 of 10 µs on a CPU; 20 of 12 µs on a CPU, 40 µs for PostgreSQL, 8 µs for a lock: the slowest 1 % are 10 of these.
    let body = request(&[(Component::OnCpu, 10_000)], &[]);
    let mut slow = request(&[(Component::OnCpu, 12_000), (Component::Lock, 8_000)], &[(POSTGRES, 40_000)]);
    (slow.calls, slow.shared_ns) = (4, 6_000);
    let result = cuts(&report_rows(&mixed(1_000, 20, &body, &slow)), &[]);
    assert_eq!(result.cuts.iter().map(|cut| cut.quantile.as_str()).collect::<Vec<_>>(), ["p50", "p90", "p99"]);
    assert_eq!(
        result.left_out,
        [crate::analysis::model::LeftOutReport {
            quantile: "p99.9".into(),
            reason: "needs 10,000 requests, has 1,000".into()
        }]
    );
    let p99 = &result.cuts[2];
    // The rest: 980 · 10 µs + 10 · 60 µs over 990 requests = 10,505.05 ns.
    assert_eq!((p99.count, p99.mean_ns, p99.body_mean_ns), (10, 60_000, 10_505));
    // Half of the bucket of 60 µs is above: 59,392 + 2,048 / 2.
    assert_eq!(p99.threshold_ns, Some(60_416));
    let downstream = named(p99, "downstream");
    // In the rest 10 · 40 µs over 990 = 404.04 ns; 39,596 of 49,495 ns of excess are 0.80000.
    assert_eq!((downstream.mean_ns, downstream.share, downstream.body_mean_ns), (40_000, 0.6667, 404));
    assert_eq!((downstream.excess_ns, downstream.excess_share), (39_596, Some(0.8)));
    assert_eq!(p99.components.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["downstream", "lock", "on_cpu"]);
    assert_eq!((p99.downstream[0].peer.as_str(), p99.downstream[0].excess_ns), ("10.0.0.9:5432", 39_596));
    assert_eq!((p99.shared_share, p99.calls_per_request), (0.1, 4.0));
    // 10 · 4 calls over 990.
    assert_eq!((p99.body_calls_per_request, p99.one_call_mean_ns, p99.many_calls_mean_ns), (0.0404, 40_000, 0));
    // p50: 20 slow and 480 of the 980 fast ones: (480 · 10 + 20 · 60) / 500 µs; the threshold is 500/980 into 10 µs' bucket.
    let p50 = &result.cuts[0];
    assert_eq!((p50.count, p50.mean_ns, p50.body_mean_ns), (500, 12_000, 10_000));
    assert_eq!(p50.threshold_ns, Some(9_728 + 512 * 500 / 980));
}

/// Requests without a pattern that a mistake could hide in.
fn arbitrary(n: u64, seed: u64) -> Vec<Request> {
    let mut state = seed;
    let mut next = |limit: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % limit
    };
    (0..n)
        .map(|_| {
            let scale = 1 << next(22);
            let components = (0..4).map(|_| (ALL[next(14) as usize], next(scale) + 1)).collect();
            let peers = vec![(next(3) as usize, next(scale)), (next(16) as usize, next(scale))];
            let calls = next(9);
            Request { components, peers, calls, shared_ns: next(scale), many_calls_ns: 0 }
        })
        .collect()
}

#[test]
fn what_holds_for_any_requests() {
    for seed in 0..40 {
        let rows = report_rows(&arbitrary(10_000 + seed * 37, seed));
        let Cuts { cuts, left_out } = cuts(&rows, &[]);
        assert_eq!((cuts.len(), left_out.len()), (4, 0));
        let total: u128 = rows.iter().map(|row| u128::from(row.latency_ns)).sum();
        let count: u128 = rows.iter().map(|row| u128::from(row.count)).sum();
        for cut in &cuts {
            let shares: f64 = cut.components.iter().map(|component| component.share).sum();
            assert!((shares - 1.0).abs() <= 0.000_05 * cut.components.len() as f64, "{seed}: {shares}");
            // Each mean is rounded by at most half a nanosecond.
            let bound = cut.components.len() as u64 / 2 + 1;
            let means: u64 = cut.components.iter().map(|component| component.mean_ns).sum();
            assert!(means.abs_diff(cut.mean_ns) <= bound, "{seed}: {means} {}", cut.mean_ns);
            let body: u64 = cut.components.iter().map(|component| component.body_mean_ns).sum();
            assert!(body.abs_diff(cut.body_mean_ns) <= bound, "{seed}");
            let excess: i64 = cut.components.iter().map(|component| component.excess_ns).sum();
            assert!(excess.abs_diff(cut.mean_ns as i64 - cut.body_mean_ns as i64) <= 2 * bound, "{seed}");
            let peers: u64 = cut.downstream.iter().map(|peer| peer.mean_ns).sum();
            assert!(peers.abs_diff(named(cut, "downstream").mean_ns) <= cut.downstream.len() as u64 / 2 + 1, "{seed}");
            assert!(cut.body_mean_ns <= cut.mean_ns, "{seed}");
            // Both sides together are all requests; `count` is rounded, and so bounds what is compared.
            let both = u128::from(cut.mean_ns) * u128::from(cut.count)
                + u128::from(cut.body_mean_ns) * (count - u128::from(cut.count));
            assert!(both.abs_diff(total) <= count + u128::from(cut.mean_ns), "{seed}");
        }
        for pair in cuts.windows(2) {
            assert!(pair[0].mean_ns <= pair[1].mean_ns && pair[0].threshold_ns <= pair[1].threshold_ns, "{seed}");
            assert!(pair[0].body_mean_ns <= pair[1].body_mean_ns && pair[0].count > pair[1].count, "{seed}");
        }
    }
}

#[test]
fn a_threshold_is_within_a_bucket_of_the_sorted_latencies() {
    for seed in 40..60 {
        let requests = arbitrary(20_000, seed);
        let mut sorted: Vec<_> = requests.iter().map(Request::latency_ns).collect();
        sorted.sort_unstable();
        for (cut, rank) in cuts(&report_rows(&requests), &[]).cuts.iter().zip([10_000, 18_000, 19_800, 19_980]) {
            let (ours, truth) = (cut.threshold_ns.unwrap(), sorted[rank]);
            assert!(ours.abs_diff(truth) <= truth / 16 + 1, "{seed} {}: {ours} {truth}", cut.quantile);
            let mean = sorted[rank..].iter().sum::<u64>() / (20_000 - rank as u64);
            assert!(cut.mean_ns.abs_diff(mean) <= mean / 16 + 1, "{seed} {}: {} {mean}", cut.quantile, cut.mean_ns);
        }
    }
}

#[test]
fn rows_of_two_hosts_add_up_to_those_of_all_requests() {
    for seed in 60..80 {
        let (a, b) = (arbitrary(7_000, seed), arbitrary(9_000, seed + 1_000));
        let all: Vec<_> = a.iter().chain(&b).cloned().collect();
        let (a, b, all) = (report_rows(&a), report_rows(&b), report_rows(&all));
        assert_eq!(merge_rows(a.iter().chain(&b)), all, "{seed}");
        let one_after_the_other: Vec<_> = b.iter().chain(&a).cloned().collect();
        assert_eq!(cuts(&one_after_the_other, &[]), cuts(&all, &[]), "{seed}");
    }
}

#[test]
fn a_report_from_a_file_can_be_cut_anew() {
    let mut report = assessed(sample::whole());
    let text = crate::report::seal(&mut report).unwrap();
    let loaded = crate::report::verify_bytes(std::path::Path::new("r.json"), text.as_bytes()).unwrap();
    let service = &loaded.services[1];
    let rows = &service.attribution.as_ref().unwrap().rows;
    let again = tail(rows, service.downstream.as_ref().unwrap(), service.exemplars.as_ref().unwrap());
    let endpoints = crate::analysis::endpoints::tail(service, main_part(&again.cuts).unwrap());
    let again = TailReport { endpoints, ..again };
    assert_eq!(Some(&again), report.services[1].tail.as_ref());
    assert_eq!(again.cuts.len(), 4);
}

#[test]
fn few_requests_have_fewer_cuts_and_say_so() {
    let body = request(&[(Component::OnCpu, 10_000)], &[]);
    let of = |n: usize| tail(&report_rows(&mixed(n, 0, &body, &body)), &[], &[]);
    let (many, some, few) = (of(1_000), of(999), of(19));
    assert_eq!((many.cuts.len(), some.cuts.len(), few.cuts.len()), (3, 2, 0));
    assert_eq!(some.left_out[0].reason, "needs 1,000 requests, has 999");
}

#[test]
fn who_held_the_cpu_is_counted_over_the_exemplars_above_the_cut() {
    let wait = |component: &str, duration_ns, pid, comm: &str| SegmentReport {
        component: component.into(),
        duration_ns,
        by: Some(ActorReport { pid, comm: comm.into() }),
        ..SegmentReport::default()
    };
    let exemplar = |latency_ns, segments| ExemplarReport { latency_ns, segments, ..ExemplarReport::default() };
    let exemplars = [
        exemplar(70_000, vec![wait("run_queue", 5, 9, "stress-ng"), wait("lock", 7, 8, "other")]),
        exemplar(60_416, vec![wait("queue_run_queue", 6, 9, "stress-ng"), wait("run_queue", 20, 7, "")]),
        exemplar(60_415, vec![wait("run_queue", 100, 6, "below")]),
    ];
    let body = request(&[(Component::OnCpu, 10_000)], &[]);
    let slow = request(&[(Component::OnCpu, 12_000), (Component::RunQueue, 48_000)], &[]);
    let result = tail(&report_rows(&mixed(1_000, 20, &body, &slow)), &[], &exemplars);
    let who: Vec<_> = result.cuts[2].preemptors.iter().map(|p| (p.comm.as_str(), p.pid, p.wait_ns)).collect();
    assert_eq!(who, [("", 7, 20), ("stress-ng", 9, 11)]);
    let ended: Vec<_> = result.cuts[2].lock_ended_by.iter().map(|p| (p.comm.as_str(), p.pid, p.wait_ns)).collect();
    assert_eq!(ended, [("other", 8, 7)]);

    // One wait of which it is known says nothing of longer ones of which it is not.
    let unknown = SegmentReport { component: "queue_run_queue".into(), duration_ns: 40, ..SegmentReport::default() };
    let exemplars = [exemplars[0].clone(), exemplars[1].clone(), exemplar(70_000, vec![unknown])];
    let result = tail(&report_rows(&mixed(1_000, 20, &body, &slow)), &[], &exemplars);
    assert_eq!(result.cuts[2].preemptors, []);
}
