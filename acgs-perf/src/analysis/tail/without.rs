//! What the P99 would be about without a part of the time: the gain of a finding.
//!
//! In: the rows of the attribution histogram, the exemplars, the P99, and which part of a request's time is to go. Out: the P99 without it.
//!
//! Each row is a class of latency: so many requests, whose latencies and components have these sums. From each of its requests its share of
//! the part is taken away, the distribution is built anew, and its P99 compared with that of the rows as they are. How the part is
//! divided among the requests of a row, their sums do not tell. Two things do:
//!
//! - the exemplars near the row;
//! - how the rest of the time grows with the latency: were the part the same in all requests, the rest would grow as the latency does
//!   (slope 1); were it all that differs, the rest would stay (slope 0). Between these, as for two independent times, the rest spreads
//!   about its mean with the variance of the latency × slope × (1 − slope), as a log-normal time. That counts where there are fewer than
//!   five exemplars, and as much as four of them where ordinary requests have the part too; where only some have it, they are of two kinds,
//!   which exemplars show and a mean does not.
//!
//! What is known is weighed so that its mean is the row's, and otherwise as evenly as can be (the weights of least relative entropy, which
//! are exponential in the value; Csiszár, I-divergence geometry, 1975).
//! **Assumption:** nothing else changes. A request that waits less is read, served and answered as before, and waits for nobody else instead.

use std::collections::BTreeMap;

use super::rows::merge_rows;
use crate::analysis::model::{AttributionRowReport, ExemplarReport};

/// Sums of components, or of peers, by name.
pub type Named = BTreeMap<String, u64>;

/// With fewer exemplars near a row, they do not tell how its requests differ.
const MIN_NEAR: usize = 5;
/// No more are looked at: the nearest.
const MAX_NEAR: usize = 16;
/// An exemplar is near a row if their latencies differ by this factor at most.
const NEAR: f64 = 1.5;
/// The quantile.
const QUANTILE: f64 = 0.99;
/// Values that stand for a distribution of the rest.
const SPREAD: u32 = 30;
/// How many exemplars they are worth where ordinary requests have the part,
const WORTH: f64 = 4.0;
/// which is so if it is more than this share of the time of the middle fifth of all requests.
const ORDINARY: f64 = 0.1;
const MIDDLE: [f64; 2] = [0.4, 0.6];
/// What an exemplar has more or less than its row is divided by what it has, and by so much of what the row has.
const OF_ROW: f64 = 0.3;
/// Weights differ by e to this at most, for values that differ by 1.
const STEEPEST: f64 = 300.0;
/// Halvings that find how steep they are.
const HALVINGS: u32 = 32;

/// An exemplar: its latency, and what of it would go.
struct Known {
    latency: f64,
    gone: f64,
}

/// A row: its latency, its requests, and the time of one that is to stay.
struct Class {
    latency: f64,
    count: f64,
    rest: f64,
}

/// About what the P99 would be if the part of the time that `part` takes of components and of peers were not there; `None` without rows.
#[must_use]
pub fn p99_without(
    p99_ns: u64,
    rows: &[AttributionRowReport],
    exemplars: &[ExemplarReport],
    part: impl Fn(&Named, &Named) -> f64,
) -> Option<u64> {
    let known: Vec<Known> = exemplars
        .iter()
        .filter(|exemplar| exemplar.latency_ns > 0)
        .map(|exemplar| {
            let latency = exemplar.latency_ns as f64;
            Known { latency, gone: part(&exemplar.components, &exemplar.downstream_ns).clamp(0.0, latency) }
        })
        .collect();
    let classes: Vec<_> = merge_rows(rows)
        .iter()
        .map(|row| {
            let (count, latency) = (row.count as f64, row.latency_ns as f64 / row.count as f64);
            let gone = part(&row.component_ns, &row.downstream_ns) / row.count as f64;
            Class { latency, count, rest: latency - gone.clamp(0.0, latency) }
        })
        .collect();
    let (deviation, slope) = grows(classes.iter().filter(|class| class.latency <= p99_ns as f64));
    let deviation = deviation * (slope * (1.0 - slope)).sqrt();
    let mut as_it_is: Vec<_> = classes.iter().map(|class| (class.latency, class.count)).collect();
    let mut without = Vec::new();
    let is_ordinary = share_of_middle(&classes) > ORDINARY;
    for class in &classes {
        let mut shares: Vec<_> = near(class, &classes, &known).collect();
        let worth = match shares.len() {
            0..MIN_NEAR => {
                shares.clear();
                1.0
            }
            _ if is_ordinary => WORTH,
            _ => 0.0,
        };
        if worth > 0.0 {
            shares.extend(spread(class, deviation).map(|share| (share, worth / f64::from(SPREAD))));
        }
        let weighed = tilted(1.0 - class.rest / class.latency.max(1.0), &shares);
        without
            .extend(weighed.into_iter().map(|(share, weight)| (class.latency * (1.0 - share), class.count * weight)));
    }
    let (before, after) = (quantile(&mut as_it_is)?, quantile(&mut without)?);
    let left = if before > 0.0 { (after / before).min(1.0) } else { 1.0 };
    Some((p99_ns as f64 * left).round() as u64)
}

/// Over classes: the deviation of the latency, and by how much the rest of the time grows with it.
fn grows<'a>(classes: impl Iterator<Item = &'a Class> + Clone) -> (f64, f64) {
    let count: f64 = classes.clone().map(|class| class.count).sum();
    let mean = |of: &dyn Fn(&Class) -> f64| classes.clone().map(|c| c.count * of(c)).sum::<f64>() / count.max(1.0);
    let (latency, rest) = (mean(&|class| class.latency), mean(&|class| class.rest));
    let variance = mean(&|class| (class.latency - latency).powi(2));
    let common = mean(&|class| (class.latency - latency) * (class.rest - rest));
    let slope = if variance > 0.0 { (common / variance).clamp(0.0, 1.0) } else { 1.0 };
    (variance.sqrt(), slope)
}

/// What of the time of the middle fifth of all requests would go, as a share.
fn share_of_middle(classes: &[Class]) -> f64 {
    let all: f64 = classes.iter().map(|class| class.count).sum();
    let (mut seen, mut latency, mut rest) = (0.0, 0.0, 0.0);
    for class in classes {
        let within = (seen + class.count).min(MIDDLE[1] * all) - seen.max(MIDDLE[0] * all);
        seen += class.count;
        latency += within.max(0.0) * class.latency;
        rest += within.max(0.0) * class.rest;
    }
    if latency > 0.0 { 1.0 - rest / latency } else { 0.0 }
}

/// The shares of the latency that would go, as the rows tell.
fn spread(class: &Class, deviation: f64) -> impl Iterator<Item = f64> {
    let latency = class.latency.max(1.0);
    let left = class.rest / latency;
    // A share cannot spread further than from nothing to all.
    let by = (deviation / latency).min((left * (1.0 - left)).sqrt());
    let log_variance = (by / left.max(f64::MIN_POSITIVE)).powi(2).ln_1p();
    (0..SPREAD).map(move |at| {
        let normal = normal((f64::from(at) + 0.5) / f64::from(SPREAD));
        1.0 - (left * (log_variance.sqrt() * normal - log_variance / 2.0).exp()).min(1.0)
    })
}

/// About the quantile of the normal distribution (Tukey's lambda distribution with the shape that is nearest to it).
fn normal(quantile: f64) -> f64 {
    const SHAPE: f64 = 0.135;
    (quantile.powf(SHAPE) - (1.0 - quantile).powf(SHAPE)) / 0.1975
}

/// The shares that would go, as the exemplars near a class have them, each with the weight 1. What an exemplar has more or less latency than
/// the class is divided as the rows around say.
fn near(class: &Class, classes: &[Class], known: &[Known]) -> impl Iterator<Item = (f64, f64)> {
    let distance = |latency: f64| (latency / class.latency).ln().abs();
    let mut near: Vec<_> = known.iter().filter(|known| distance(known.latency) <= NEAR.ln()).collect();
    near.sort_by(|a, b| distance(a.latency).total_cmp(&distance(b.latency)));
    near.truncate(MAX_NEAR);
    let (_, slope) = grows(classes.iter().filter(|other| distance(other.latency) <= NEAR.ln()));
    near.into_iter().map(move |known| {
        // Who differs more at all, and has more of the time, has more of the difference.
        let rest = slope * (known.latency - known.gone + OF_ROW * class.rest);
        let gone = (1.0 - slope) * (known.gone + OF_ROW * (class.latency - class.rest));
        let part = if rest + gone > 0.0 { gone / (rest + gone) } else { 0.0 };
        (((known.gone + part * (class.latency - known.latency)) / class.latency).clamp(0.0, 1.0), 1.0)
    })
}

/// Values with weights that add up to 1 and by which they have this `mean`, as near to the weights that they come with as can be. Where none
/// can give it, some of the requests are of a kind that the values do not show: without the part, or of nothing else.
fn tilted(mean: f64, values: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let even: f64 = values.iter().map(|(_, weight)| weight).sum();
    if even <= 0.0 {
        return vec![(mean, 1.0)];
    }
    let own = values.iter().map(|(value, weight)| value * weight).sum::<f64>() / even;
    let (low, high) =
        values.iter().fold((1.0, 0.0), |(low, high): (f64, f64), (value, _)| (low.min(*value), high.max(*value)));
    if !(low < mean && mean < high) {
        let (other, weight) = match mean < own {
            true => (0.0, 1.0 - mean / own),
            false if own < 1.0 => (1.0, (mean - own) / (1.0 - own)),
            false => (1.0, 0.0),
        };
        let shown = values.iter().map(|(value, of)| (*value, (1.0 - weight) * of / even));
        return shown.chain([(other, weight)]).collect();
    }
    let by = |steepness: f64| {
        let weights = values.iter().map(move |(value, weight)| (*value, weight * (steepness * (value - mean)).exp()));
        let all: f64 = weights.clone().map(|(_, weight)| weight).sum();
        weights.map(move |(value, weight)| (value, weight / all))
    };
    let (mut from, mut to) = (-STEEPEST, STEEPEST);
    for _ in 0..HALVINGS {
        let middle = (from + to) / 2.0;
        let reached: f64 = by(middle).map(|(value, weight)| value * weight).sum();
        if reached < mean { from = middle } else { to = middle }
    }
    by((from + to) / 2.0).collect()
}

/// The P99 of values with weights.
fn quantile(values: &mut [(f64, f64)]) -> Option<f64> {
    values.sort_by(|a, b| a.0.total_cmp(&b.0));
    let total: f64 = values.iter().map(|(_, weight)| weight).sum();
    let mut seen = 0.0;
    values.iter().find_map(|(value, weight)| {
        seen += weight;
        // A thousandth of a request is lost in the sum.
        (seen + 1e-3 >= total * QUANTILE).then_some(*value)
    })
}

#[cfg(test)]
mod tests;
