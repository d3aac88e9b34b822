//! By what two recordings differ, and by what they do not.
//!
//! In: two [`Side`]s. Out: a [`Comparison`]: for each service that both have, its figures then and now, each with an interval and with what
//! is told of it. Components come before the latency: a change of one is seen long before the P99 moves. `docs/compare.md` has the rule and
//! how often it errs.
//!
//! A change is told if its interval does not hold 0, and if it is no less than a least share and a least amount. The intervals hold all
//! together with a confidence of 99 %: each is as wide as its share of the chance to err asks for (Bonferroni).

mod anytime;
mod endpoints;
mod least;
mod made;
mod model;
mod others;
mod quantile;
pub mod rule;
pub mod side;
#[cfg(test)]
mod simulate;
mod spread;
mod student;

pub use anytime::{Decision, Watch};
pub use least::Limits;
pub use model::{
    COMPARISON_VERSION, Comparison, Decile, EndpointOnly, Figure, MadeOf, Note, PartShift, ServiceComparison, Shift,
    SideFacts, Told, Unit,
};
pub use quantile::value_at;
pub use side::{ServiceSide, Side};

use std::collections::{BTreeMap, BTreeSet};

use acgs_perf_common::CONSTITUTIONAL_HASH;

use endpoints::EndpointSide;
use least::{least_latency_ns, least_part_ns};
use others::excused;
use quantile::{Level, difference, quantiles, together, visible};
use side::PartBlock;
use spread::{OF_ALL, Spread, spread};
use student::student;

/// Quantiles of the latency that are compared, in hundredths of a percent.
const QUANTILES: [u32; 4] = [5_000, 9_000, 9_900, 9_990];
/// The least share of a rate, which is for the load to choose.
const LEAST_RATE: f64 = 0.05;
/// The least change of calls, and of fates, per request.
const LEAST_CALLS: f64 = 0.02;
const LEAST_FATE: f64 = 0.001;
/// What an event without blocks is taken to come in: groups of so many.
const GROUP: f64 = 4.0;

/// A ratio of sums that both sides have by block.
struct Ratio {
    figure: Figure,
    unit: Unit,
    old: Vec<(f64, f64)>,
    new: Vec<(f64, f64)>,
    /// The least change that is told.
    least: f64,
}

/// Compares two recordings.
#[must_use]
pub fn compare(old: &Side, new: &Side, limits: &Limits) -> Comparison {
    let pairs: Vec<(&ServiceSide, &ServiceSide)> = new
        .services
        .iter()
        .filter_map(|of| Some((old.services.iter().find(|other| other.name == of.name)?, of)))
        .collect();
    let asked: Vec<Asked> = pairs.iter().map(|(old, new)| Asked::new(old, new)).collect();
    let of_pair = |((old, new), asked): (&(&ServiceSide, &ServiceSide), &Asked)| {
        let mut all = ratios(old, new, limits.least_share);
        all.extend(asked.shares());
        all
    };
    let ratios: Vec<Vec<Ratio>> = pairs.iter().zip(&asked).map(of_pair).collect();
    // Each endpoint's share is a ratio, and its P99 is one more.
    let of_endpoints: usize = asked.iter().map(|of| of.names.len()).sum();
    let figures = ratios.iter().map(|of| of.len() + QUANTILES.len()).sum::<usize>() + of_endpoints;
    let figures = figures.max(1);
    let level = Level::new(limits.error / figures as f64);
    let services = pairs.iter().zip(&ratios).zip(&asked);
    let services = services.map(|(((old, new), ratios), asked)| service(old, new, ratios, asked, &level, limits));
    let names = |side: &Side, others: &Side| {
        let has = |name: &String| others.services.iter().any(|of| of.name == *name);
        side.services.iter().map(|of| of.name.clone()).filter(|name| !has(name)).collect()
    };
    Comparison {
        comparison_version: COMPARISON_VERSION,
        constitutional_hash: CONSTITUTIONAL_HASH.into(),
        confidence: 1.0 - limits.error,
        least_share: limits.least_share,
        old: old.facts.clone(),
        new: new.facts.clone(),
        notes: notes(old, new, &pairs),
        services: services.collect(),
        only_old: names(old, new),
        only_new: names(new, old),
    }
}

fn notes(old: &Side, new: &Side, pairs: &[(&ServiceSide, &ServiceSide)]) -> Vec<Note> {
    let (of_old, of_new) = (&old.facts.host, &new.facts.host);
    let mut notes = Vec::new();
    if old.facts.start_unix_ns > new.facts.start_unix_ns {
        notes.push(Note::Swapped);
    }
    if of_old.name != of_new.name {
        notes.push(Note::Host { old: of_old.name.clone(), new: of_new.name.clone() });
    }
    if of_old.kernel != of_new.kernel {
        notes.push(Note::Kernel { old: of_old.kernel.clone(), new: of_new.kernel.clone() });
    }
    if of_old.cpus != of_new.cpus {
        notes.push(Note::Cpus { old: of_old.cpus, new: of_new.cpus });
    }
    let other = pairs.iter().filter(|(old, new)| old.objective_ns != new.objective_ns);
    notes.extend(other.map(|(_, new)| Note::Objective { service: new.name.clone() }));
    for side in [old, new] {
        if !side.has_blocks {
            notes.push(Note::NoBlocks { name: side.facts.name.clone() });
        }
        if side.facts.lost > 0 {
            notes.push(Note::Lost { name: side.facts.name.clone(), count: side.facts.lost });
        }
    }
    notes
}

fn service(
    old: &ServiceSide,
    new: &ServiceSide,
    ratios: &[Ratio],
    asked: &Asked,
    level: &Level,
    limits: &Limits,
) -> ServiceComparison {
    let contention = old.contention.share().zip(new.contention.share()).map(|(old, new)| [old, new]);
    let of_ratios = ratios.iter().map(|ratio| of_ratio(ratio, level));
    let latencies = QUANTILES.into_iter().filter_map(|at| latency(old, new, at, level, limits.least_share));
    ServiceComparison {
        name: new.name.clone(),
        requests: [old.requests, new.requests],
        contention: contention.map(|both| both.map(|share| (share * 1e4).round() / 1e4)),
        figures: of_ratios
            .chain(latencies)
            .chain(asked.latencies(level, limits.least_share))
            .map(|shift| excused(shift, contention))
            .collect(),
        deciles: (1..10).filter_map(|tenth| decile(old, new, tenth * 10, level)).collect(),
        made_of: made::made_of(&old.rows, &new.rows),
        endpoints_only_old: endpoints::only(&asked.both[0], &asked.both[1]),
        endpoints_only_new: endpoints::only(&asked.both[1], &asked.both[0]),
    }
}

/// The endpoints of both sides.
struct Asked {
    both: [BTreeMap<String, EndpointSide>; 2],
    /// Those that are compared.
    names: Vec<String>,
}

impl Asked {
    fn new(old: &ServiceSide, new: &ServiceSide) -> Self {
        let both = endpoints::matched(&old.endpoints, &new.endpoints);
        let names = endpoints::compared(&both[0], &both[1]);
        Self { both, names }
    }

    fn shares(&self) -> impl Iterator<Item = Ratio> {
        self.names.iter().map(|name| {
            let [old, new] = [0, 1].map(|at| self.both[at].get(name).map(|of| of.share.clone()).unwrap_or_default());
            let figure = Figure::EndpointShare { endpoint: name.clone() };
            Ratio { figure, unit: Unit::PerRequest, old, new, least: LEAST_CALLS }
        })
    }

    fn latencies(&self, level: &Level, least_share: f64) -> impl Iterator<Item = Shift> {
        self.names.iter().filter_map(move |name| {
            let side = |of: &EndpointSide| ServiceSide {
                requests: of.requests,
                latency: of.latency.clone(),
                latencies: of.latencies.clone(),
                ..ServiceSide::default()
            };
            let (old, new) = (side(self.both[0].get(name)?), side(self.both[1].get(name)?));
            let shift = latency(&old, &new, 9_900, level, least_share)?;
            Some(Shift { figure: Figure::EndpointLatency { endpoint: name.clone(), quantile: 9_900 }, ..shift })
        })
    }
}

fn latency(old: &ServiceSide, new: &ServiceSide, at: u32, level: &Level, least_share: f64) -> Option<Shift> {
    let [of_old, of_new] = quantiles(old, new, at, level)?;
    let [low, high] = difference(&of_old, &of_new);
    let least = least_latency_ns(of_old.value, least_share);
    let shift = of_new.value - of_old.value;
    Some(Shift {
        figure: Figure::Latency { quantile: at },
        unit: Unit::Ns,
        old: of_old.value.round(),
        new: of_new.value.round(),
        shift: shift.round(),
        interval: low.zip(high).map(|(low, high)| [low.round(), high.round()]),
        would_be_seen: visible(&of_old, &of_new).map(|seen| seen.max(least).round()),
        told: told(shift, low, high, least),
    })
}

/// What is told of a shift between these ends.
fn told(shift: f64, low: Option<f64>, high: Option<f64>, least: f64) -> Told {
    match (low, high) {
        (Some(low), _) if low > 0.0 && shift >= least => Told::Up,
        (_, Some(high)) if high < 0.0 && shift <= -least => Told::Down,
        (Some(_), Some(_)) => Told::Nothing,
        _ => Told::TooLittle,
    }
}

fn decile(old: &ServiceSide, new: &ServiceSide, percent: u32, level: &Level) -> Option<Decile> {
    let [old, new] = quantiles(old, new, percent * 100, level)?;
    let [low, high] = difference(&old, &new);
    Some(Decile {
        percent,
        old_ns: old.value.round() as u64,
        new_ns: new.value.round() as u64,
        interval_ns: low.zip(high).map(|(low, high)| [low.round() as i64, high.round() as i64]),
    })
}

/// The ratios that can have changed by more than the least.
fn ratios(old: &ServiceSide, new: &ServiceSide, least_share: f64) -> Vec<Ratio> {
    let mut ratios = Vec::new();
    let least_ns = least_part_ns(old, least_share);
    let names = |of: fn(&PartBlock) -> Vec<&String>| -> BTreeSet<String> {
        old.parts.iter().chain(&new.parts).flat_map(of).cloned().collect()
    };
    let blocks = |side: &ServiceSide, of: &dyn Fn(&PartBlock) -> f64| -> Vec<(f64, f64)> {
        side.parts.iter().map(|part| (part.requests, of(part))).collect()
    };
    let mut add = |figure, unit, least: f64, of: &dyn Fn(&PartBlock) -> f64| {
        let ratio = Ratio { figure, unit, old: blocks(old, of), new: blocks(new, of), least };
        // What is nothing to speak of on both sides cannot change by as much.
        if mean(&ratio.old).max(mean(&ratio.new)) >= least {
            ratios.push(ratio);
        }
    };
    for name in names(|part| part.components.keys().collect()) {
        let of = |part: &PartBlock| part.components.get(&name).copied().unwrap_or(0.0);
        add(Figure::Component { name: name.clone() }, Unit::Ns, least_ns, &of);
    }
    for peer in names(|part| part.peers.keys().collect()) {
        let of = |part: &PartBlock| part.peers.get(&peer).copied().unwrap_or(0.0);
        add(Figure::Downstream { peer: peer.clone() }, Unit::Ns, least_ns, &of);
    }
    for peer in names(|part| part.calls.keys().collect()) {
        let of = |part: &PartBlock| part.calls.get(&peer).copied().unwrap_or(0.0);
        add(Figure::Calls { peer: peer.clone() }, Unit::PerRequest, LEAST_CALLS, &of);
    }
    for (name, of_new) in &new.fates {
        let of_old = old.fates.get(name).cloned().unwrap_or_default();
        let figure = Figure::Fate { name: (*name).to_owned() };
        if mean(&of_old) + mean(of_new) > 0.0 {
            let unit = Unit::PerRequest;
            ratios.push(Ratio { figure, unit, old: of_old, new: of_new.clone(), least: LEAST_FATE });
        }
    }
    let least = mean(&old.rate) * least_share.max(LEAST_RATE);
    ratios.push(Ratio {
        figure: Figure::Rate,
        unit: Unit::PerSecond,
        old: old.rate.clone(),
        new: new.rate.clone(),
        least,
    });
    ratios
}

/// Σx ÷ Σn.
fn mean(blocks: &[(f64, f64)]) -> f64 {
    let (n, x) = blocks.iter().fold((0.0, 0.0), |sum, block| (sum.0 + block.0, sum.1 + block.1));
    if n > 0.0 { x / n } else { 0.0 }
}

/// The spread of a fate: events that are counted vary by chance at least, and none is not "never".
fn spread_of_fate(blocks: &[(f64, f64)]) -> Option<Spread> {
    let (n, x) = blocks.iter().fold((0.0, 0.0), |sum, block| (sum.0 + block.0, sum.1 + block.1));
    if n <= 0.0 {
        return None;
    }
    let of_chance = GROUP * (x + 1.0) / (n * n);
    let found = spread(blocks, OF_ALL).filter(|found| found.variance > of_chance);
    Some(found.unwrap_or(Spread { ratio: x / n, variance: of_chance, freedom: f64::INFINITY }))
}

fn of_ratio(ratio: &Ratio, level: &Level) -> Shift {
    let spread = |blocks: &[(f64, f64)]| match ratio.figure {
        Figure::Fate { .. } => spread_of_fate(blocks),
        _ => spread(blocks, OF_ALL),
    };
    let (old, new) = (mean(&ratio.old), mean(&ratio.new));
    let shift = new - old;
    let away = spread(&ratio.old).zip(spread(&ratio.new)).map(|(a, b)| {
        // A calm window does not show how its like vary; if nothing has changed, the other one does.
        let variance = 2.0 * a.variance.max(b.variance);
        student(together([a, b].iter()), level.both) * variance.sqrt()
    });
    let rounded = |value: f64| match ratio.unit {
        Unit::Ns => value.round(),
        Unit::PerSecond | Unit::PerRequest => (value * 1e6).round() / 1e6,
    };
    Shift {
        figure: ratio.figure.clone(),
        unit: ratio.unit,
        old: rounded(old),
        new: rounded(new),
        shift: rounded(shift),
        interval: away.map(|away| [rounded(shift - away), rounded(shift + away)]),
        would_be_seen: away.map(|away| rounded(away.max(ratio.least))),
        told: told(shift, away.map(|away| shift - away), away.map(|away| shift + away), ratio.least),
    }
}
