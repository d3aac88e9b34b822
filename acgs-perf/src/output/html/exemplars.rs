//! Single requests, step by step.
//!
//! In: the exemplars of a service. Out: a bar each, on one scale, and its steps in words.

use super::parts::{GROUPS, group, name};
use super::svg::{Svg, across};
use crate::report::{ExemplarReport, SegmentReport, ServiceReport};
use crate::units::{duration, percent, process_name};

const HEIGHT: f64 = 22.0;
/// Steps of one that are told, the longest of those that there are.
const STEPS: (usize, usize) = (16, 8);
/// Requests of a service; both where the page has few services and where it has many.
const SHOWN: (usize, usize) = (8, 2);
const FEW_SERVICES: usize = 4;

/// A request.
pub struct Exemplar {
    /// Its latency.
    pub latency: String,
    /// When and from whom, in words.
    pub facts: String,
    /// Its bar.
    pub svg: String,
    /// Its steps: (class, begin, what, how long, by whom).
    pub steps: Vec<(&'static str, String, String, String, String)>,
    /// What is not told of it, in words; empty if nothing.
    pub rest: String,
}

/// The slowest ones.
pub fn exemplars(id: &str, service: &ServiceReport, services: usize) -> Vec<Exemplar> {
    let (shown, steps) = if services <= FEW_SERVICES { (SHOWN.0, STEPS.0) } else { (SHOWN.1, STEPS.1) };
    let all = || service.exemplars.iter().flatten();
    let longest = all().map(|of| of.latency_ns).max().unwrap_or(0).max(1);
    all().take(shown).enumerate().map(|(at, of)| exemplar(&format!("{id}e{at}"), of, longest, service, steps)).collect()
}

fn exemplar(id: &str, of: &ExemplarReport, longest: u64, service: &ServiceReport, most: usize) -> Exemplar {
    let when = match of.arrived_offset_ns {
        early if early < 0 => format!("{} before the start", duration(early.unsigned_abs())),
        offset => format!("{} after the start", duration(offset.unsigned_abs())),
    };
    let process = process_name(&of.comm, of.pid);
    let told: u64 = of.segments.iter().fold(0, |sum, segment| sum.saturating_add(segment.duration_ns));
    let mut rest = Vec::new();
    if of.segments.len() > most {
        rest.push(format!("{} shorter steps are left out", of.segments.len() - most));
    }
    if of.truncated {
        rest.push("the last step stands for all that followed".to_owned());
    }
    if told < of.latency_ns {
        rest.push(format!("{} are not recorded", duration(of.latency_ns - told)));
    }
    Exemplar {
        latency: duration(of.latency_ns),
        facts: match &of.endpoint {
            Some(endpoint) => format!("{endpoint} · {when}, from {}, answered by {process}", of.client),
            None => format!("{when}, from {}, answered by {process}", of.client),
        },
        svg: bar(id, of, longest, service),
        steps: steps(of, service, most),
        rest: rest.join("; "),
    }
}

fn bar(id: &str, of: &ExemplarReport, longest: u64, service: &ServiceReport) -> String {
    let mut largest: Vec<_> = of.components.iter().collect();
    largest.sort_by(|a, b| b.1.cmp(a.1));
    let parts = largest
        .iter()
        .take(3)
        .map(|(component, ns)| format!("{} {}", name(component, None, service), percent(**ns, of.latency_ns)));
    let description = parts.collect::<Vec<_>>().join(", ");
    let title = format!("A request of {}", duration(of.latency_ns));
    let mut svg = Svg::new(id, "bar", HEIGHT, &title, &description);
    let mut begin = 0u64;
    for segment in &of.segments {
        let length = segment.duration_ns.min(of.latency_ns.saturating_sub(begin));
        let class = format!("part {}", GROUPS[group(&segment.component)].0);
        // What is narrower than this nobody sees.
        if length.saturating_mul(2_000) >= longest {
            let (x, width) = (across(begin as f64 / longest as f64), across(length as f64 / longest as f64));
            svg.put("rect", &[("class", &class), ("x", &x), ("width", &width), ("height", &HEIGHT)]);
        }
        begin += length;
    }
    let (x, left) = (across(begin as f64 / longest as f64), of.latency_ns.saturating_sub(begin));
    if left.saturating_mul(2_000) >= longest {
        let width = across(left as f64 / longest as f64);
        svg.put("rect", &[("class", &"part p8"), ("x", &x), ("width", &width), ("height", &HEIGHT)]);
    }
    svg.finish()
}

fn steps(
    of: &ExemplarReport,
    service: &ServiceReport,
    most: usize,
) -> Vec<(&'static str, String, String, String, String)> {
    let mut least: Vec<u64> = of.segments.iter().map(|segment| segment.duration_ns).collect();
    least.sort_unstable_by(|a, b| b.cmp(a));
    let least = least.get(most.saturating_sub(1)).copied().unwrap_or(0);
    let (mut begin, mut steps) = (0u64, Vec::new());
    for segment in &of.segments {
        if segment.duration_ns >= least && steps.len() < most {
            steps.push((
                GROUPS[group(&segment.component)].0,
                duration(begin),
                what(segment, service),
                duration(segment.duration_ns),
                by(segment),
            ));
        }
        begin = begin.saturating_add(segment.duration_ns);
    }
    steps
}

/// The component, the peer, and what it was asked for.
fn what(segment: &SegmentReport, service: &ServiceReport) -> String {
    let name = name(&segment.component, segment.peer.as_deref(), service);
    match &segment.call {
        Some(call) => format!("{name}: {call}"),
        None => name,
    }
}

fn by(segment: &SegmentReport) -> String {
    let Some(by) = &segment.by else { return String::new() };
    let who = process_name(&by.comm, by.pid);
    if segment.component.ends_with("run_queue") { format!("{who} ran instead") } else { format!("woken by {who}") }
}
