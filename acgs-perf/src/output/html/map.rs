//! Who calls whom: the services of the report and the peers that they wait for.
//!
//! In: a report. Out: a picture, from left to right, an arrow as thick as the time that is waited for its peer. What is in it stands in
//! the tables of the services too. Where there are many calls, those that take the most time are drawn.

use std::collections::BTreeMap;

use super::parts::verdict;
use super::svg::{Svg, number};
use crate::output::text::{figure, shortened};
use crate::report::{DownstreamReport, Report, ServiceReport};
use crate::units::grouped;

const BOX: (f64, f64) = (176.0, 46.0);
/// Between two layers, and two boxes of one.
const APART: (f64, f64) = (196.0, 22.0);
const MARGIN: f64 = 4.0;
const MOST_ARROWS: usize = 40;
const THICKEST: f64 = 9.0;
/// Characters that have room in a box.
const ROOM: usize = 24;

/// A box.
#[derive(Debug, Default)]
struct Node {
    name: String,
    about: String,
    class: &'static str,
    layer: usize,
    row: usize,
    arrows: usize,
}

/// An arrow.
#[derive(Debug)]
struct Arrow {
    from: usize,
    to: usize,
    time: f64,
    label: String,
}

/// The picture, and how many calls it leaves out; `None` without any.
pub fn map(report: &Report) -> Option<(String, usize)> {
    let (mut nodes, mut arrows) = gather(report);
    if arrows.is_empty() {
        return None;
    }
    arrows.sort_by(|a, b| b.time.total_cmp(&a.time));
    let left_out = arrows.len().saturating_sub(MOST_ARROWS);
    arrows.truncate(MOST_ARROWS);
    place(&mut nodes, &arrows);
    Some((picture(&mut nodes, &arrows), left_out))
}

fn gather(report: &Report) -> (Vec<Node>, Vec<Arrow>) {
    let of_service = |service: &ServiceReport| Node {
        name: service.name.clone(),
        about: about(service),
        class: verdict(service.objective.verdict).0,
        ..Node::default()
    };
    let mut nodes: Vec<Node> = report.services.iter().map(of_service).collect();
    let mut known: BTreeMap<String, usize> =
        report.services.iter().enumerate().map(|(at, service)| (service.name.clone(), at)).collect();
    let mut arrows = Vec::new();
    for (from, service) in report.services.iter().enumerate() {
        for peer in service.downstream.iter().flatten() {
            // Others of one service are not those of another.
            let key = match &peer.service {
                Some(name) => name.clone(),
                None if peer.address == "others" => format!("others of {}", service.name),
                None => peer.address.clone(),
            };
            let to = *known.entry(key.clone()).or_insert_with(|| {
                let about = if peer.service.is_some() { peer.address.clone() } else { "not recorded".into() };
                nodes.push(Node { name: key, about, class: "outside", ..Node::default() });
                nodes.len() - 1
            });
            let time = peer.calls as f64 * peer.latency.mean_ns.unwrap_or(0) as f64;
            arrows.push(Arrow { from, to, time, label: label(peer) });
        }
    }
    (nodes, arrows)
}

fn about(service: &ServiceReport) -> String {
    let Some(requests) = &service.requests else { return "not measured".into() };
    let latency = &requests.latency;
    format!("P99 {} · {} requests", figure((latency.p99_ns, latency.p99_at_least_ns), latency), grouped(requests.count))
}

fn label(peer: &DownstreamReport) -> String {
    let p99 = figure((peer.latency.p99_ns, peer.latency.p99_at_least_ns), &peer.latency);
    match peer.calls_per_request {
        Some(calls) => format!("{calls:.1} calls · p99 {p99}"),
        None => format!("p99 {p99}"),
    }
}

/// Callers to the left of whom they call, as far as they do not call each other in a circle.
fn place(nodes: &mut [Node], arrows: &[Arrow]) {
    for _ in 0..nodes.len() {
        let mut has_moved = false;
        for arrow in arrows.iter().filter(|arrow| arrow.from != arrow.to) {
            let after = nodes[arrow.from].layer + 1;
            if nodes[arrow.to].layer < after && after < nodes.len() {
                nodes[arrow.to].layer = after;
                has_moved = true;
            }
        }
        if !has_moved {
            break;
        }
    }
    for arrow in arrows {
        nodes[arrow.from].arrows += 1;
        nodes[arrow.to].arrows += 1;
    }
    // A circle has driven its layers apart: those without boxes are closed.
    let drawn = |node: &&mut Node| node.arrows > 0;
    let mut layers: Vec<usize> = nodes.iter_mut().filter(drawn).map(|node| node.layer).collect();
    layers.sort_unstable();
    layers.dedup();
    let mut rows = vec![0; layers.len()];
    for node in nodes.iter_mut().filter(drawn) {
        node.layer = layers.binary_search(&node.layer).unwrap_or(0);
        node.row = rows[node.layer];
        rows[node.layer] += 1;
    }
}

fn corner(node: &Node) -> (f64, f64) {
    (MARGIN + node.layer as f64 * (BOX.0 + APART.0), MARGIN + node.row as f64 * (BOX.1 + APART.1))
}

fn picture(nodes: &mut [Node], arrows: &[Arrow]) -> String {
    let drawn: Vec<&Node> = nodes.iter().filter(|node| node.arrows > 0).collect();
    let most = |of: fn(&Node) -> usize| drawn.iter().map(|node| of(node)).max().unwrap_or(0) as f64;
    let width = most(|node| node.layer) * (BOX.0 + APART.0) + BOX.0 + 2.0 * MARGIN;
    let height = most(|node| node.row) * (BOX.1 + APART.1) + BOX.1 + 2.0 * MARGIN;
    let longest = arrows.iter().map(|arrow| arrow.time).fold(1.0, f64::max);
    let told: Vec<String> = arrows
        .iter()
        .take(6)
        .map(|arrow| format!("{} calls {}: {}", nodes[arrow.from].name, nodes[arrow.to].name, arrow.label))
        .collect();
    let mut svg = Svg::new("map", "map", height, "Who calls whom", &format!("{}.", told.join("; ")));
    svg.start("svg", &[("width", &number(width)), ("height", &number(height))]);
    for arrow in arrows {
        let ((x1, y1), (x2, y2)) = (corner(&nodes[arrow.from]), corner(&nodes[arrow.to]));
        let (x1, y1, y2) = (x1 + BOX.0, y1 + BOX.1 / 2.0, y2 + BOX.1 / 2.0);
        let bend = if x2 > x1 { (x2 - x1) / 2.0 } else { APART.0 / 2.0 };
        let d = [x1, y1, x1 + bend, y1, x2 - bend, y2, x2, y2].map(number);
        let d = format!("M{} {}C{} {} {} {} {} {}", d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]);
        let thick = 1.5 + (THICKEST - 1.5) * (arrow.time / longest).sqrt();
        svg.put("path", &[("class", &"arrow"), ("d", &d), ("stroke-width", &number(thick))]);
    }
    let mut ends = vec![0usize; nodes.len()];
    for arrow in arrows {
        let (x, y) = corner(&nodes[arrow.to]);
        let above = ends[arrow.to] as f64 * 13.0;
        ends[arrow.to] += 1;
        svg.label("calls end", &number(x - 8.0), y + BOX.1 / 2.0 - 7.0 - above, &arrow.label);
    }
    for node in nodes.iter().filter(|node| node.arrows > 0) {
        let (x, y) = corner(node);
        let class = format!("box {}", node.class);
        let (wide, high) = BOX;
        svg.put("rect", &[("class", &class), ("x", &x), ("y", &y), ("width", &wide), ("height", &high), ("rx", &8)]);
        svg.label("name", &number(x + 12.0), y + 20.0, &shortened(&node.name, ROOM));
        svg.label("about", &number(x + 12.0), y + 36.0, &shortened(&node.about, ROOM + 4));
    }
    svg.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::sample::{self, assessed};

    #[test]
    fn callers_stand_to_the_left_also_where_they_call_each_other() {
        let arrow = |from, to| Arrow { from, to, time: 1.0, label: String::new() };
        let mut nodes: Vec<Node> = (0..4).map(|_| Node::default()).collect();
        place(&mut nodes, &[arrow(0, 1), arrow(1, 2), arrow(0, 2)]);
        assert_eq!(nodes.iter().map(|node| node.layer).collect::<Vec<_>>(), [0, 1, 2, 0]);
        let mut circle: Vec<Node> = (0..3).map(|_| Node::default()).collect();
        place(&mut circle, &[arrow(0, 1), arrow(1, 0), arrow(1, 1), arrow(1, 2)]);
        assert!(circle.iter().all(|node| node.layer < 3), "{circle:?}");
    }

    #[test]
    fn the_peers_of_a_service_are_drawn() {
        let (svg, left_out) = map(&assessed(sample::whole())).unwrap();
        assert_eq!(left_out, 0);
        assert!(svg.contains("postgres") && svg.contains("1.0 calls · p99 47.7 ms"), "{svg}");
        assert!(map(&assessed(sample::small())).is_none());
    }
}
