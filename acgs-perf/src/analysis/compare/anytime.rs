//! Whether a recording is worse than a baseline, asked after each of its intervals, with an answer that holds however often it is asked.
//!
//! In: a baseline, and the intervals of a recording one by one. Out: for each figure whether it is worse, or no worse than its limit, or
//! not decided yet.
//!
//! Each figure has a limit: what it was in the baseline, and how far that may be from what it is in the long run (`spread`, slow variation
//! included), and the least change that is told. A block of the recording is above it or below. If the figure has not got worse a block is above with a
//! chance of one half at most, whatever was before; a bet on that gains nothing on average. A gambler who bets on "above" and has made
//! 1 out of 1 ÷ α is wrong with chance α at most, whenever he stops: Ville's inequality, see A. Ramdas et al., "Game-theoretic statistics
//! and safe anytime-valid inference", Statistical Science 38 (2023). The gambler here has several purses, each of which he bets with at a rate of its
//! own; their mean is such a gambler too. "Below" has another one.

use std::collections::BTreeMap;

use acgs_perf_common::attribution::COMPONENT_NAMES;
use acgs_perf_common::histogram::{BUCKETS, bucket_index};

use super::least::{Limits, least_latency_ns, least_part_ns};
use super::model::Figure;
use super::others::{differs, is_of_cpus};
use super::quantile::{above, value_at};
use super::side::{Contention, PartBlock, ServiceSide, Side};
use super::spread::{MIN_BLOCKS, OF_ALL, OF_FEW, spread};
use super::student::student;

/// Shares of the purse that are bet.
const RATES: [f64; 4] = [0.2, 0.5, 0.8, 0.95];
/// A block of latencies is at least so long, and has at least so many requests.
const MIN_SECONDS: f64 = 1.0;
const MIN_REQUESTS: f64 = 100.0;
/// Quantiles that are watched, in hundredths of a percent.
const QUANTILES: [u32; 3] = [5_000, 9_000, 9_900];
/// A limit is at least this share of the requests above a quantile beyond what the baseline has there.
const LEAST_OF_TAIL: f64 = 0.1;
/// The chance that the baseline's own uncertainty exceeds what is allowed for it, on one figure.
const BASELINE_ERROR: f64 = 0.01;

/// What has been found so far.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Nothing that holds.
    Open,
    /// These figures are worse, by service.
    Worse(Vec<(String, Figure)>),
    /// No figure is worse by more than its limit.
    NoWorse,
}

/// Somebody who bets even money that a block is on his side.
#[derive(Clone, Copy, Debug)]
struct Gambler {
    purses: [f64; RATES.len()],
}

impl Gambler {
    fn bet(&mut self, has_won: bool) {
        for (purse, rate) in self.purses.iter_mut().zip(RATES) {
            // No more than a number holds.
            *purse = (*purse * if has_won { 1.0 + rate } else { 1.0 - rate }).min(1e200);
        }
    }

    fn has_made(&self) -> f64 {
        self.purses.iter().sum::<f64>() / RATES.len() as f64
    }
}

/// A figure that is watched.
struct Watched {
    service: String,
    figure: Figure,
    /// Of a quantile, the bucket above which requests are slow.
    bucket: usize,
    limit: f64,
    worse: Gambler,
    fine: Gambler,
    is_worse: bool,
    is_fine: bool,
    /// Of a quantile, the block under way: seconds, requests, slow ones.
    pending: (f64, f64, f64),
}

/// All figures that are watched.
pub struct Watch {
    watched: Vec<Watched>,
    /// How much others used the CPUs: in the baseline, and in the recording so far.
    contention: BTreeMap<String, [Contention; 2]>,
    /// What a gambler must make.
    wanted: f64,
}

impl Watch {
    /// Watches for what is worse than a baseline.
    #[must_use]
    pub fn new(baseline: &Side, limits: &Limits) -> Self {
        let mut watched = Vec::new();
        for service in &baseline.services {
            watched.extend(QUANTILES.into_iter().filter_map(|at| latency(service, at, limits.least_share)));
            if service.parts.len() >= MIN_BLOCKS {
                let least = least_part_ns(service, limits.least_share);
                watched.extend(COMPONENT_NAMES.iter().filter_map(|(name, _)| component(service, name, least)));
            }
        }
        let wanted = watched.len().max(1) as f64 / limits.error;
        let contention = baseline.services.iter().map(|of| (of.name.clone(), [of.contention, Contention::default()]));
        Self { watched, contention: contention.collect(), wanted }
    }

    /// Takes the next interval of the recording, as a side.
    pub fn push(&mut self, next: &Side) {
        for service in &next.services {
            if let Some([_, now]) = self.contention.get_mut(&service.name) {
                now.add(&service.contention);
            }
        }
        for of in &mut self.watched {
            if let Some(service) = next.services.iter().find(|service| service.name == of.service) {
                of.take(service, self.wanted);
            }
        }
    }

    /// What has been found so far.
    #[must_use]
    pub fn decision(&self) -> Decision {
        let worse: Vec<_> = self.watched.iter().filter(|of| of.is_worse && !self.is_of_others(of)).collect();
        if !worse.is_empty() {
            return Decision::Worse(worse.into_iter().map(|of| (of.service.clone(), of.figure.clone())).collect());
        }
        match !self.watched.is_empty() && self.watched.iter().all(|of| of.is_fine) {
            true => Decision::NoWorse,
            false => Decision::Open,
        }
    }
}

impl Watch {
    /// Whether others use the CPUs so much more than they did that nobody can tell whose fault it is.
    fn is_of_others(&self, of: &Watched) -> bool {
        let shares = self.contention.get(&of.service).map(|both| both.map(|of| of.share()));
        is_of_cpus(&of.figure) && matches!(shares, Some([Some(old), Some(new)]) if differs(old, new))
    }
}

impl Watched {
    fn new(service: &ServiceSide, figure: Figure, bucket: usize, limit: f64) -> Self {
        let fresh = Gambler { purses: [1.0; RATES.len()] };
        Self {
            service: service.name.clone(),
            figure,
            bucket,
            limit,
            worse: fresh,
            fine: fresh,
            is_worse: false,
            is_fine: false,
            pending: (0.0, 0.0, 0.0),
        }
    }

    fn take(&mut self, service: &ServiceSide, wanted: f64) {
        if let Figure::Component { name } = &self.figure {
            let name = name.clone();
            for part in &service.parts {
                self.bet(part.components.get(&name).copied().unwrap_or(0.0) / part.requests.max(1.0), wanted);
            }
            return;
        }
        for (sums, (seconds, _)) in service.latencies.iter().zip(&service.rate) {
            let (requests, slow) = above(sums, self.bucket);
            self.pending.0 += seconds;
            self.pending.1 += requests;
            self.pending.2 += slow;
            if self.pending.0 >= MIN_SECONDS * 0.95 && self.pending.1 >= MIN_REQUESTS {
                let (_, requests, slow) = std::mem::take(&mut self.pending);
                self.bet(slow / requests, wanted);
            }
        }
    }

    fn bet(&mut self, value: f64, wanted: f64) {
        let is_above = value > self.limit;
        self.worse.bet(is_above);
        self.fine.bet(!is_above);
        // What was made once was made, whatever comes.
        self.is_worse |= self.worse.has_made() >= wanted;
        self.is_fine |= self.fine.has_made() >= wanted;
    }
}

/// The quantile of a service, moved by the least change that is told.
fn latency(service: &ServiceSide, per_10_000: u32, least_share: f64) -> Option<Watched> {
    let value = value_at(service, f64::from(per_10_000) / 10_000.0)?;
    let moved = value + least_latency_ns(value, least_share);
    let bucket = bucket_index(moved as u64).min(BUCKETS - 1);
    let blocks: Vec<(f64, f64)> = service.latencies.iter().map(|sums| above(sums, bucket)).collect();
    let tail = 1.0 - f64::from(per_10_000) / 10_000.0;
    let of = spread(&blocks, if tail > 0.02 { OF_ALL } else { OF_FEW })?;
    let away = (student(of.freedom, 2.0 * BASELINE_ERROR) * of.variance.sqrt()).max(tail * LEAST_OF_TAIL);
    Some(Watched::new(service, Figure::Latency { quantile: per_10_000 }, bucket, of.ratio + away))
}

fn component(service: &ServiceSide, name: &str, least_ns: f64) -> Option<Watched> {
    let of = |part: &PartBlock| (part.requests, part.components.get(name).copied().unwrap_or(0.0));
    let of = spread(&service.parts.iter().map(of).collect::<Vec<_>>(), OF_ALL)?;
    let away = student(of.freedom, 2.0 * BASELINE_ERROR) * of.variance.sqrt();
    Some(Watched::new(service, Figure::Component { name: name.to_owned() }, 0, of.ratio + away + least_ns))
}
