//! Pairs of windows out of captures, compared.
//!
//! In: captures. Out: in how many pairs a change was told, and of which figure.

use std::collections::BTreeMap;

use acgs_perf::analysis::compare::{Comparison, Figure, Limits, Side, Told, compare};
use acgs_perf::snapshot::Capture;

/// Which windows make a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairs {
    /// One after the other.
    Neighbours,
    /// Half a capture apart.
    OfOneCapture,
    /// The same place in one capture and in another, half of all apart.
    OfTwoCaptures,
}

impl Pairs {
    pub fn name(self) -> &'static str {
        match self {
            Self::Neighbours => "neighbours",
            Self::OfOneCapture => "half a capture apart",
            Self::OfTwoCaptures => "of different captures",
        }
    }
}

/// What was told.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    pub pairs: usize,
    pub alarms: usize,
    figures: BTreeMap<String, usize>,
}

impl Counted {
    pub fn by_figure(&self) -> String {
        self.figures.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
    }
}

/// The windows of a capture.
fn windows(capture: &Capture, seconds: u64) -> Vec<Side> {
    let length = seconds * 1_000_000_000;
    let start = capture.context.start_ns;
    let count = capture.context.duration_ns / length;
    let of = |at: u64| {
        // Intervals begin a little late: what is whole within the window and a twentieth of it.
        let from = start + at * length;
        Side::of_capture(&at.to_string(), capture, Some((from, from + length + length / 200)))
    };
    (0..count).map(of).filter(|side| side.facts.duration_ns * 10 >= length * 8).collect()
}

fn only(side: &Side, service: &str) -> Side {
    let services = side.services.iter().filter(|of| of.name == service).cloned().collect();
    Side { services, facts: side.facts.clone(), has_blocks: side.has_blocks }
}

/// Alarms, by service.
pub fn alarms(captures: &[Capture], seconds: u64, pairs: Pairs, is_verbose: bool) -> BTreeMap<String, Counted> {
    let all: Vec<Vec<Side>> = captures.iter().map(|capture| windows(capture, seconds)).collect();
    let mut counted = BTreeMap::<String, Counted>::new();
    let half = all.len() / 2;
    for (number, own) in all.iter().enumerate() {
        for (at, old) in own.iter().enumerate() {
            let new = match pairs {
                Pairs::Neighbours => own.get(at + 1),
                Pairs::OfOneCapture => own.get(at + own.len() / 2),
                Pairs::OfTwoCaptures if half > 0 => all.get(number + half).and_then(|other| other.get(at)),
                Pairs::OfTwoCaptures => None,
            };
            let Some(new) = new else { continue };
            for service in &old.services {
                let comparison = compare(&only(old, &service.name), &only(new, &service.name), &Limits::default());
                let of = counted.entry(service.name.clone()).or_default();
                of.pairs += 1;
                let told: Vec<_> = comparison.told().map(|(_, shift)| shift).collect();
                of.alarms += usize::from(!told.is_empty());
                for shift in told {
                    *of.figures.entry(shift.figure.name()).or_default() += 1;
                    if is_verbose {
                        let [low, high] = shift.interval.unwrap_or_default();
                        println!(
                            "  capture {number} window {at} {}: {} {} → {} ({low} … {high})",
                            service.name,
                            shift.figure.name(),
                            shift.old,
                            shift.new
                        );
                    }
                }
            }
        }
    }
    counted
}

/// How often a planted change was found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    pub rate: f64,
    pub pairs: usize,
    pub p99: usize,
    pub component: usize,
    pub any: usize,
}

/// Every window of the service `old` against every window of the service `new`.
pub fn power(captures: &[Capture], seconds: u64, old: &str, new: &str, component: &str) -> Found {
    let all: Vec<Side> = captures.iter().flat_map(|capture| windows(capture, seconds)).collect();
    let named = |name: &str| -> Vec<Side> {
        let mut sides: Vec<Side> = all.iter().map(|side| only(side, name)).collect();
        sides.retain(|side| !side.services.is_empty());
        sides.iter_mut().flat_map(|side| &mut side.services).for_each(|service| service.name = "service".into());
        sides
    };
    let (olds, news) = (named(old), named(new));
    let mut found = Found::default();
    for old in &olds {
        for new in &news {
            let comparison = compare(old, new, &Limits::default());
            found.pairs += 1;
            found.rate = new.services[0].requests as f64 / (new.facts.duration_ns as f64 / 1e9);
            found.p99 += usize::from(has_grown(&comparison, &Figure::Latency { quantile: 9_900 }));
            found.any += usize::from(comparison.told().next().is_some());
            found.component += usize::from(largest(&comparison).as_deref() == Some(component));
        }
    }
    found
}

fn has_grown(comparison: &Comparison, figure: &Figure) -> bool {
    comparison.told().any(|(_, shift)| shift.figure == *figure && shift.told == Told::Up)
}

/// The component that has grown most.
fn largest(comparison: &Comparison) -> Option<String> {
    let components = comparison.told().filter_map(|(_, shift)| match &shift.figure {
        Figure::Component { name } if shift.told == Told::Up => Some((shift.shift, name)),
        _ => None,
    });
    components.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name.clone())
}
