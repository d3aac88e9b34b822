//! The P99 without a part of the time, for simulated services of which each request is known.

use super::*;
use crate::analysis::sample::attribution::{POSTGRES, Request, report_rows, request};
use acgs_perf_common::attribution::Component::{Disk, Downstream, Lock, LoopWait, OnCpu, PoolWait, RunQueue, Sleep};
use acgs_perf_common::attribution::{COMPONENT_NAMES, Component};

/// Requests of a simulation, and exemplars of each kind, as the agent keeps them.
const REQUESTS: usize = 20_000;
const KEPT: usize = 20;
const MS: f64 = 1e6;

/// A small generator, so that the same requests come every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.next()).ln()
    }

    /// About the normal distribution, of mean 0 and deviation 1.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.next()).sum::<f64>() - 6.0
    }

    /// Around a middle, as latencies are.
    fn around(&mut self, middle: f64) -> f64 {
        middle * (0.3 * self.normal()).exp()
    }

    fn pareto(&mut self, least: f64) -> f64 {
        (least / (1.0 - self.next()).powf(1.0 / 2.5)).min(2_000.0 * MS)
    }

    fn in_hundred(&mut self, percent: f64) -> bool {
        self.next() * 100.0 < percent
    }
}

fn name(component: Component) -> &'static str {
    COMPONENT_NAMES[component as usize].0
}

fn exemplar(of: &Request) -> ExemplarReport {
    let components = of.component_ns();
    let named = COMPONENT_NAMES.iter().zip(components).filter(|(_, ns)| *ns > 0);
    ExemplarReport {
        latency_ns: of.latency_ns(),
        components: named.map(|((name, _), ns)| ((*name).to_owned(), ns)).collect(),
        downstream_ns: of.peers.iter().map(|(slot, ns)| (format!("slot {slot}"), *ns)).collect(),
        ..ExemplarReport::default()
    }
}

fn p99(mut latencies: Vec<u64>) -> u64 {
    latencies.sort_unstable();
    latencies[(latencies.len() * 99).div_ceil(100) - 1]
}

/// What the estimate is of the truth, as a factor, without a component.
fn factor(requests: &[Request], gone: Component, random: &mut Random) -> f64 {
    let now = p99(requests.iter().map(Request::latency_ns).collect());
    let truth = p99(requests.iter().map(|of| of.latency_ns() - of.component_ns()[gone as usize]).collect());
    let mut slow: Vec<_> = requests.iter().filter(|of| of.latency_ns() >= now).collect();
    let mut drawn = |of: &[&Request]| exemplar(of[(random.next() * of.len() as f64) as usize]);
    let all: Vec<_> = requests.iter().collect();
    let mut exemplars: Vec<_> = (0..KEPT).flat_map(|_| [drawn(&slow), drawn(&all)]).collect();
    slow.sort_by_key(|of| std::cmp::Reverse(of.latency_ns()));
    exemplars.extend(slow.iter().take(KEPT).map(|of| exemplar(of)));
    let part = |components: &Named, _: &Named| components.get(name(gone)).copied().unwrap_or(0) as f64;
    p99_without(now, &report_rows(requests), &exemplars, part).unwrap() as f64 / truth as f64
}

/// A service: what one request does, and what is taken away.
type Shape = (&'static str, Component, fn(&mut Random) -> Vec<(Component, f64)>);

const SHAPES: [Shape; 14] = [
    ("a few wait for a lock", Lock, |r| {
        vec![(OnCpu, r.around(MS)), (Lock, if r.in_hundred(2.0) { r.around(40.0 * MS) } else { 0.0 })]
    }),
    ("some wait for a lock, short or long", Lock, |r| {
        vec![(OnCpu, r.around(MS)), (Lock, if r.in_hundred(5.0) { r.exponential(20.0 * MS) } else { 0.0 })]
    }),
    ("all wait for a peer, equally", Downstream, |r| vec![(OnCpu, r.around(2.0 * MS)), (Downstream, 3.0 * MS)]),
    ("a lock or a disk, as often", Lock, |r| {
        let (lock, disk) = (r.in_hundred(2.0), r.in_hundred(2.0));
        vec![
            (OnCpu, r.around(MS)),
            (Lock, if lock { r.around(40.0 * MS) } else { 0.0 }),
            (Disk, if disk { r.around(40.0 * MS) } else { 0.0 }),
        ]
    }),
    ("a lock, seldom a disk", Lock, |r| {
        let (lock, disk) = (r.in_hundred(3.0), r.in_hundred(0.3));
        vec![
            (OnCpu, r.around(MS)),
            (Lock, if lock { r.around(40.0 * MS) } else { 0.0 }),
            (Disk, if disk { r.around(40.0 * MS) } else { 0.0 }),
        ]
    }),
    ("the same share of each", Lock, |r| {
        let all = r.pareto(MS);
        vec![(OnCpu, all * 0.3), (Lock, all * 0.7)]
    }),
    ("all wait for a CPU, short or long", RunQueue, |r| {
        vec![(OnCpu, r.around(MS)), (RunQueue, r.exponential(2.0 * MS))]
    }),
    ("two long tails", Lock, |r| vec![(OnCpu, r.pareto(MS)), (Lock, r.pareto(MS))]),
    ("a blocked loop now and then", LoopWait, |r| {
        vec![(OnCpu, r.around(MS)), (LoopWait, if r.in_hundred(4.0) { r.next() * 80.0 * MS } else { 0.0 })]
    }),
    ("a slow peer behind a steady disk", Downstream, |r| {
        vec![(Disk, r.around(2.0 * MS)), (Downstream, if r.in_hundred(3.0) { r.around(20.0 * MS) } else { 0.0 })]
    }),
    ("a disk, and half of those a lock too", Lock, |r| {
        let (disk, lock) = (r.in_hundred(3.0), r.in_hundred(50.0));
        vec![
            (OnCpu, r.around(MS)),
            (Disk, if disk { r.around(30.0 * MS) } else { 0.0 }),
            (Lock, if disk && lock { r.around(10.0 * MS) } else { 0.0 }),
        ]
    }),
    ("a pool that is busy most of the time", PoolWait, |r| {
        let waits = r.in_hundred(64.0);
        vec![
            (Sleep, 4.0 * MS * (0.4 * r.normal()).exp()),
            (PoolWait, if waits { r.exponential(5.0 * MS) } else { 0.0 }),
        ]
    }),
    ("a pool that is nearly always busy", PoolWait, |r| {
        vec![(Sleep, r.around(4.0 * MS)), (PoolWait, r.exponential(20.0 * MS))]
    }),
    ("long locks above much work", Lock, |r| {
        let (lock, work) = (r.in_hundred(1.4), r.in_hundred(10.0));
        vec![
            (OnCpu, r.around(if work { 10.0 * MS } else { MS })),
            (Lock, if lock { r.around(100.0 * MS) } else { 0.0 }),
        ]
    }),
];

#[test]
fn it_is_near_the_truth_for_many_shapes() {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut errors = Vec::new();
    for (what, gone, shape) in SHAPES {
        let requests: Vec<_> = (0..REQUESTS)
            .map(|_| {
                let parts = shape(&mut random).into_iter().map(|(component, ns)| (component, ns as u64));
                Request { components: parts.collect(), ..Request::default() }
            })
            .collect();
        errors.push((factor(&requests, gone, &mut random) - 1.0, what));
    }
    errors.sort_by(|a, b| a.0.abs().total_cmp(&b.0.abs()));
    let (median, worst) = (errors[errors.len() / 2], errors[errors.len() - 1]);
    assert!(median.0.abs() <= 0.10, "{errors:?}");
    assert!(worst.0.abs() <= 0.25, "{errors:?}");
}

#[test]
fn without_nothing_it_stays_and_without_all_there_is_none() {
    let all: Vec<_> = (0..1_000).map(|at| request(&[(OnCpu, 1_000_000 + at * 100)], &[(POSTGRES, 500_000)])).collect();
    let rows = report_rows(&all);
    assert_eq!(p99_without(1_600_000, &rows, &[], |_, _| 0.0), Some(1_600_000));
    assert_eq!(p99_without(1_600_000, &rows, &[], |_, _| f64::INFINITY), Some(0));
    assert_eq!(p99_without(1_600_000, &[], &[], |_, _| 0.0), None);
    // 1.6 ms, of which half a millisecond is the peer's.
    let peer = |_: &Named, peers: &Named| peers.values().sum::<u64>() as f64;
    let found = p99_without(1_600_000, &rows, &[], peer).unwrap();
    assert!((1_080_000..1_120_000).contains(&found), "{found}");
}

#[test]
fn values_are_weighed_by_their_mean_and_otherwise_evenly() {
    let weighed = |mean, values: &[f64]| tilted(mean, &values.iter().map(|value| (*value, 1.0)).collect::<Vec<_>>());
    let is_close = |(a, b): (&(f64, f64), &(f64, f64))| (a.0 - b.0).abs() < 1e-6 && (a.1 - b.1).abs() < 1e-6;
    for (mean, values, expected) in [
        (0.5, &[0.25, 0.5, 0.75][..], &[(0.25, 1.0 / 3.0), (0.5, 1.0 / 3.0), (0.75, 1.0 / 3.0)][..]),
        (0.2, &[0.0, 0.8], &[(0.0, 0.75), (0.8, 0.25)]),
        // What none of them shows is a kind of its own.
        (0.4, &[0.8], &[(0.8, 0.5), (0.0, 0.5)]),
        (0.75, &[0.6, 0.4], &[(0.6, 0.25), (0.4, 0.25), (1.0, 0.5)]),
        (0.5, &[0.5, 0.5], &[(0.5, 0.5), (0.5, 0.5), (1.0, 0.0)]),
    ] {
        let found = weighed(mean, values);
        assert!(found.len() == expected.len() && found.iter().zip(expected).all(is_close), "{found:?}");
    }
    let steep = weighed(0.3, &[0.1, 0.2, 0.9, 1.0]);
    assert!(steep.windows(2).all(|pair| pair[0].1 > pair[1].1), "{steep:?}");
}

#[test]
fn quantiles_of_the_normal_distribution() {
    for (quantile, expected) in [(0.5, 0.0), (0.841_344_7, 1.0), (0.022_750_1, -2.0), (0.99, 2.326)] {
        assert!((normal(quantile) - expected).abs() < 0.02, "{quantile}: {}", normal(quantile));
    }
}
