//! How often a comparison tells what is not so, and how often it finds what is: on services that are simulated, with seeds.
//!
//! In: a service with bursts, a host that drifts, a shift that is planted. Out: alarms among pairs of windows. No root, no kernel, no clock.

use acgs_perf_common::histogram::{BUCKETS, bucket_index};

use super::side::{PartBlock, ServiceSide, Side};
use super::{Comparison, Decision, Figure, Limits, Told, Watch, compare};
use crate::sums::Sums;

/// A small generator, so that the same windows come every time.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.uniform()).ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }

    fn poisson(&mut self, mean: f64) -> u64 {
        // Good enough from 20 on, which is what the blocks have.
        (mean + mean.sqrt() * self.normal()).round().max(0.0) as u64
    }
}

/// A service on a host.
#[derive(Clone, Copy)]
struct Service {
    /// Requests per second.
    rate: f64,
    /// Median of the own time in ns, and how it spreads.
    median_ns: f64,
    sigma: f64,
    /// Mean of the time in which a peer is waited for, exponential.
    peer_ns: f64,
    /// Chance per block that a slow time begins; it lasts five blocks on average, and takes three times as long.
    bursts: f64,
    /// How much the host's speed drifts: standard deviation, with a memory of `memory` blocks.
    drift: f64,
    memory: f64,
    /// What is planted: time that each request sleeps, and a factor to all of it.
    sleep_ns: f64,
    factor: f64,
}

const CALM: Service = Service {
    rate: 1_000.0,
    median_ns: 1e6,
    sigma: 0.4,
    peer_ns: 5e5,
    bursts: 0.0,
    drift: 0.0,
    memory: 100.0,
    sleep_ns: 0.0,
    factor: 1.0,
};

/// It goes on from one window to the next.
struct Running {
    service: Service,
    random: Random,
    is_slow: bool,
    drift: f64,
}

impl Running {
    fn new(service: Service, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let drift = random.normal() * service.drift;
        Self { service, random, is_slow: false, drift }
    }

    /// The next blocks of a tenth of a second; what is dear to read is read every `rest` of them.
    fn window(&mut self, blocks: usize, rest: usize) -> Side {
        let of = self.service;
        let mut side = ServiceSide { name: "api".into(), latency: vec![0; BUCKETS + 1], ..ServiceSide::default() };
        let mut part = PartBlock::default();
        for block in 0..blocks {
            let chance = if self.is_slow { 0.2 } else { of.bursts };
            self.is_slow ^= self.random.uniform() < chance;
            let keep = 1.0 - 1.0 / of.memory;
            self.drift = keep * self.drift + (1.0 - keep * keep).sqrt() * of.drift * self.random.normal();
            let speed = self.drift.exp() * if self.is_slow { 3.0 } else { 1.0 } * of.factor;
            let count = self.random.poisson(of.rate / 10.0);
            let mut buckets: Vec<u32> = Vec::with_capacity(count as usize);
            let mut times = [0.0; 3];
            for _ in 0..count {
                let own = of.median_ns * (of.sigma * self.random.normal()).exp() * speed;
                let peer = -of.peer_ns * (1.0 - self.random.uniform()).ln() * of.factor;
                let latency = own + peer + of.sleep_ns;
                buckets.push(bucket_index(latency as u64) as u32);
                for (sum, ns) in times.iter_mut().zip([own, peer, of.sleep_ns]) {
                    *sum += ns;
                }
            }
            for (name, ns) in ["on_cpu", "downstream", "sleep"].into_iter().zip(times) {
                *part.components.entry(name.into()).or_default() += ns;
                part.latency_ns += ns;
            }
            *part.peers.entry("postgres".into()).or_default() += times[1];
            part.requests += count as f64;
            *part.calls.entry("postgres".into()).or_default() += count as f64;
            buckets.sort_unstable();
            let sums = Sums::sparse(buckets.chunk_by(|a, b| a == b).map(|same| (same[0], same.len() as i64)));
            sums.iter().for_each(|(bucket, count)| side.latency[bucket as usize] += count as u64);
            side.requests += count;
            side.latencies.push(sums);
            side.rate.push((0.1, count as f64));
            if (block + 1) % rest == 0 {
                side.parts.push(std::mem::take(&mut part));
            }
        }
        Side { has_blocks: true, services: vec![side], ..Side::default() }
    }
}

/// The other services, which take their time, are for the long form of the tests.
fn is_long() -> bool {
    std::env::var_os("ACGS_PERF_LONG").is_some()
}

fn told(comparison: &Comparison) -> Vec<String> {
    comparison.told().map(|(_, shift)| format!("{} {:?}", shift.figure.name(), shift.told)).collect()
}

/// Pairs of neighbouring windows in which anything is told, of 200.
fn false_alarms(service: Service, rest: usize) -> Vec<Vec<String>> {
    let mut running = Running::new(service, 11);
    let pairs = (0..200).map(|_| {
        let (old, new) = (running.window(100, rest), running.window(100, rest));
        told(&compare(&old, &new, &Limits::default()))
    });
    pairs.filter(|told| !told.is_empty()).collect()
}

#[test]
fn of_two_windows_of_the_same_service_nothing_is_told() {
    let services = [
        ("slow times", Service { rate: 400.0, bursts: 0.02, ..CALM }),
        ("a host that drifts", Service { drift: 0.03, ..CALM }),
        ("calm", CALM),
        ("a host that drifts slowly", Service { drift: 0.03, memory: 600.0, ..CALM }),
        ("few requests", Service { rate: 200.0, ..CALM }),
    ];
    for (name, service) in services.into_iter().take(if is_long() { 5 } else { 2 }) {
        let alarms = false_alarms(service, 10);
        assert!(alarms.len() <= 5, "{name}: {} of 200: {alarms:?}", alarms.len());
    }
}

/// Of so many pairs of windows of 60 s, in how many `is_found` says so.
fn found(old: Service, new: Service, pairs: u64, rest: usize, is_found: impl Fn(&Comparison) -> bool) -> u64 {
    let all = (0..pairs).map(|seed| {
        let (mut old, mut new) = (Running::new(old, 100 + seed), Running::new(new, 9_000 + seed));
        compare(&old.window(600, rest), &new.window(600, rest), &Limits::default())
    });
    all.filter(|comparison| is_found(comparison)).count() as u64
}

#[test]
fn five_percent_more_of_the_p99_are_found_by_it_at_two_thousand_requests_a_second() {
    let old = Service { rate: 2_000.0, ..CALM };
    let new = Service { factor: 1.05, ..old };
    let is_p99 = |comparison: &Comparison| {
        comparison
            .told()
            .any(|(_, shift)| shift.figure == Figure::Latency { quantile: 9_900 } && shift.told == Told::Up)
    };
    let found = found(old, new, 20, 100, is_p99);
    assert!(found >= 19, "{found} of 20");
}

#[test]
fn at_few_requests_a_sleep_is_found_and_named_by_its_component() {
    // The P99 is 4.4 ms; the sleep makes it 5 % longer.
    for (rate, rest) in [(100.0, 100), (300.0, 10)] {
        let old = Service { rate, drift: 0.01, ..CALM };
        let new = Service { sleep_ns: 0.05 * 4.4e6, ..old };
        let is_sleep = |comparison: &Comparison| {
            let components = comparison.told().filter(|(_, shift)| matches!(shift.figure, Figure::Component { .. }));
            let names: Vec<String> = components.map(|(_, shift)| shift.figure.name()).collect();
            names == ["component:sleep"]
        };
        let found = found(old, new, 20, rest, is_sleep);
        assert!(found >= 19, "{rate} requests/s: {found} of 20");
    }
}

/// Runs of a minute, watched from second to second against a baseline of a minute: how many were ever told to be worse, and after how many
/// seconds.
fn watched(old: Service, new: Service, runs: u64) -> Vec<usize> {
    let ended = (0..runs).filter_map(|seed| {
        let baseline = Running::new(old, 40_000 + seed).window(600, 10);
        let mut running = Running::new(new, 70_000 + seed);
        let mut watch = Watch::new(&baseline, &Limits::default());
        (1..=60).find(|_| {
            watch.push(&running.window(10, 10));
            matches!(watch.decision(), Decision::Worse(_))
        })
    });
    ended.collect()
}

#[test]
fn a_run_that_is_watched_from_second_to_second_is_told_to_be_worse_in_one_of_a_hundred_at_most() {
    let rate = 100.0;
    let services = [
        ("slow times", Service { rate, bursts: 0.02, ..CALM }),
        ("a host that drifts", Service { rate, drift: 0.02, ..CALM }),
        ("calm", Service { rate, ..CALM }),
    ];
    for (name, service) in services.into_iter().take(if is_long() { 3 } else { 2 }) {
        let told = watched(service, service, 200);
        assert!(told.len() <= 2, "{name}: {} of 200, after {told:?} s", told.len());
        let worse = watched(service, Service { sleep_ns: 5e5, ..service }, 20);
        assert!(worse.len() >= 19 && worse.iter().all(|seconds| *seconds < 40), "{name}: {worse:?}");
    }
}
