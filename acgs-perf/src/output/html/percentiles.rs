//! The percentile plot: latency, queue time and service time by quantile.
//!
//! In: the requests of a service and its objective. Out: a picture; its figures stand in the table beside it. Across are nines, so that
//! the tail has as much room as the rest; the band is the 95 % interval.

use super::axis::{Latencies, nine_ticks, nines};
use super::svg::{Svg, WIDE, across, area, line};
use crate::analysis::{CurvePoint, curve};
use crate::report::{Distribution, ObjectiveReport, RequestsReport};
use crate::units::duration;

const HEIGHT: f64 = 250.0;
/// Of more services every second point is drawn.
const FEW_SERVICES: usize = 4;
/// Fewer nines are no tail.
const LEAST_NINES: f64 = 2.0;

/// The picture; `None` without requests.
pub fn plot(id: &str, requests: &RequestsReport, objective: &ObjectiveReport, services: usize) -> Option<String> {
    let every = if services <= FEW_SERVICES { 1 } else { 2 };
    let curve = |of: &Distribution| curve(of).into_iter().step_by(every).collect::<Vec<CurvePoint>>();
    let latency = curve(&requests.latency);
    let others = [("line queue", curve(&requests.queue_time)), ("line service", curve(&requests.service_time))];
    let most = latency.last()?.nines.max(LEAST_NINES);
    let all = others.iter().map(|(_, points)| points).chain([&latency]).flatten();
    let axis = Latencies::new(all.map(|point| point.ns).chain([objective.p99_ns]))?;
    let mut svg = Svg::new(id, "plot", HEIGHT, "Latency by percentile", &description(requests, objective));
    for (at, name) in axis.ticks() {
        let y = down(at);
        svg.put("line", &[("class", &"grid"), ("x2", &"100%"), ("y1", &y), ("y2", &y)]);
        svg.label("tick left", "-8", y + 4.0, &name);
    }
    for (at, name) in nine_ticks(most) {
        let x = across(at);
        svg.put("line", &[("class", &"grid"), ("x1", &x), ("x2", &x), ("y2", &HEIGHT)]);
        svg.label(if at > 0.97 { "tick end" } else { "tick middle" }, &x, HEIGHT + 18.0, &name);
    }
    svg.stretched(WIDE, HEIGHT);
    svg.path("band", &band(&latency, &axis, most));
    for (class, points) in &others {
        svg.path(class, &line(points.iter().map(|point| place(point, &axis, most))));
    }
    svg.path("line latency", &line(latency.iter().map(|point| place(point, &axis, most))));
    svg.end();
    let y = down(axis.at(objective.p99_ns));
    svg.put("line", &[("class", &"objective"), ("x2", &"100%"), ("y1", &y), ("y2", &y)]);
    svg.label("note", "6", y - 6.0, &format!("objective: P99 < {}", duration(objective.p99_ns)));
    if let Some(p99) = requests.latency.p99_ns.filter(|_| most >= 2.0) {
        let (x, y) = (across(nines(2.0, most)), down(axis.at(p99)));
        svg.put("circle", &[("class", &"dot"), ("cx", &x), ("cy", &y), ("r", &4.5)]);
    }
    Some(svg.finish())
}

fn description(requests: &RequestsReport, objective: &ObjectiveReport) -> String {
    let p99 = requests.latency.p99_ns.map_or_else(|| "not known".to_owned(), duration);
    format!(
        "Lines for latency, queue time and service time from the fastest request to the slowest, on logarithmic scales. The P99 of the \
         latency is {p99}, its objective {}. The table has the figures.",
        duration(objective.p99_ns)
    )
}

fn down(share: f64) -> f64 {
    (1.0 - share) * HEIGHT
}

fn place(point: &CurvePoint, axis: &Latencies, most: f64) -> (f64, f64) {
    (nines(point.nines, most) * WIDE, down(axis.at(point.ns)))
}

/// Where both ends are known.
fn band(points: &[CurvePoint], axis: &Latencies, most: f64) -> String {
    let known = |end: fn(&CurvePoint) -> Option<u64>| {
        let both = points.iter().filter(|point| point.low_ns.is_some() && point.high_ns.is_some());
        let places = both.map(|point| (nines(point.nines, most) * WIDE, down(axis.at(end(point).unwrap_or(point.ns)))));
        places.collect::<Vec<_>>()
    };
    area(&known(|point| point.high_ns), &known(|point| point.low_ns))
}
