//! What the P99 would be about without a part of the time: the gain of a finding.
//!
//! In: the rows of the attribution histogram, the exemplars, the P99, and which part of a request's time is to go. Out: the P99 without it.
//!
//! Each row is a class of latency: so many requests, whose latencies and components have these sums. From each of its requests its share of
//! the part is taken away, the distribution is built anew, and its P99 compared with that of the rows as they are. How the part is
//! divided among the requests of a row, their sums do not tell; the exemplars near it do. Where there are fewer than five, how the rest of
//! the time grows with the latency tells: were the part the same in all requests, the rest would grow as the latency does (slope 1); were
//! it all that differs, the rest would stay (slope 0). Between these, as for two independent times, the rest spreads about its mean with
//! the variance of the latency × slope × (1 − slope).
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
/// Five values that stand for a normal distribution.
const SPREAD: [f64; 5] = [-1.4, -0.53, 0.0, 0.53, 1.4];

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
    for class in &classes {
        let weighed = match known_near(class, &classes, &known) {
            Some(shares) => divided(1.0 - class.rest / class.latency.max(1.0), &shares),
            None => spread(class, deviation),
        };
        without.extend(weighed.into_iter().map(|(left, weight)| (class.latency * left, class.count * weight)));
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

/// What is left of the requests of a class of which no exemplar tells: shares of the latency, with weights that add up to 1.
fn spread(class: &Class, deviation: f64) -> Vec<(f64, f64)> {
    let left = class.rest / class.latency.max(1.0);
    // A share cannot spread further than from nothing to all.
    let by = (deviation / class.latency.max(1.0)).min((left * (1.0 - left)).sqrt());
    SPREAD.iter().map(|at| ((left + at * by).clamp(0.0, 1.0), 1.0 / SPREAD.len() as f64)).collect()
}

/// The shares that would go, as the exemplars near a class have them; `None` if there are too few. What an exemplar has more or less latency than the class
/// is divided as the rows around say.
fn known_near(class: &Class, classes: &[Class], known: &[Known]) -> Option<Vec<f64>> {
    let distance = |latency: f64| (latency / class.latency).ln().abs();
    let mut near: Vec<_> = known.iter().filter(|known| distance(known.latency) <= NEAR.ln()).collect();
    if near.len() < MIN_NEAR {
        return None;
    }
    near.sort_by(|a, b| distance(a.latency).total_cmp(&distance(b.latency)));
    near.truncate(MAX_NEAR);
    let (_, slope) = grows(classes.iter().filter(|other| distance(other.latency) <= NEAR.ln()));
    let share = |known: &Known| {
        // Who differs more at all, and has more of the time here, has more of the difference.
        let (rest, gone) = (slope * (known.latency - known.gone), (1.0 - slope) * known.gone);
        let part = if rest + gone > 0.0 { gone / (rest + gone) } else { 0.0 };
        ((known.gone + part * (class.latency - known.latency)) / class.latency).clamp(0.0, 1.0)
    };
    Some(near.into_iter().map(share).collect())
}

/// What is left of requests of which exemplars tell. Where their mean is not that of the class, some of its requests are of a kind that
/// they do not show: without the part, or of nothing else.
fn divided(share: f64, exemplars: &[f64]) -> Vec<(f64, f64)> {
    let mean = exemplars.iter().sum::<f64>() / exemplars.len().max(1) as f64;
    let (other, weight) = match share < mean {
        true => (1.0, 1.0 - share / mean),
        false if mean < 1.0 => (0.0, (share - mean) / (1.0 - mean)),
        false => (0.0, 0.0),
    };
    let each = (1.0 - weight) / exemplars.len().max(1) as f64;
    exemplars.iter().map(|share| (1.0 - share, each)).chain([(other, weight)]).collect()
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
