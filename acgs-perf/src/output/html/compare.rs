//! A comparison as one page: what has changed and why, the shift at each quantile, and what the requests are made of then and now.
//!
//! In: a comparison. Out: a page like that of a report.

use std::io;

use askama::Template;

use super::axis::{nine_ticks, nines};
use super::parts::{GROUPS, group};
use super::svg::{Svg, across};
use super::{SCRIPT, STYLE, policy};
use crate::analysis::compare::{Comparison, Figure, MadeOf, ServiceComparison, SideFacts, Unit};
use crate::output::page::Page;
use crate::output::text::compare::{facts, rule, table};
use crate::output::text::component_label;
use crate::output::words::compare::{amount, note, sentence, verdict};
use crate::units::{duration, percent};

const HEIGHT: f64 = 240.0;
const BAR: f64 = 30.0;
/// As far as the shift is drawn: p99.9.
const MOST_NINES: f64 = 3.0;

#[derive(Template)]
#[template(path = "compare.html")]
struct ComparePage<'a> {
    policy: String,
    style: &'static str,
    script: &'static str,
    sides: [(&'static str, String); 2],
    notes: Vec<String>,
    services: Vec<Compared>,
    only: Vec<(&'static str, String)>,
    rule: String,
    hash: &'a str,
}

/// A service in both.
struct Compared {
    id: String,
    name: String,
    class: &'static str,
    verdict: String,
    sentence: String,
    shift: Option<String>,
    stacks: Option<Stacks>,
    table: Vec<Vec<String>>,
}

/// What the requests at a quantile are made of, then and now.
struct Stacks {
    quantile: String,
    /// (which, latency, bar).
    bars: [(&'static str, String, String); 2],
    /// (class, part, then, now, change).
    rows: Vec<(&'static str, String, String, String, String)>,
}

/// The page.
///
/// # Errors
/// Never in practice: it is written into memory.
pub fn render(comparison: &Comparison) -> io::Result<Page> {
    let side = |of: &SideFacts| facts(of).join(" · ");
    let only = [("only in the old one", &comparison.only_old), ("only in the new one", &comparison.only_new)];
    let page = ComparePage {
        policy: policy(),
        style: STYLE,
        script: SCRIPT,
        sides: [("Old", side(&comparison.old)), ("New", side(&comparison.new))],
        notes: comparison.notes.iter().map(note).collect(),
        services: comparison.services.iter().enumerate().map(|(at, of)| compared(at, of, comparison)).collect(),
        only: only
            .into_iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(is, names)| (is, names.join(", ")))
            .collect(),
        rule: rule(comparison),
        hash: &comparison.constitutional_hash,
    };
    let mut lines = Page::default();
    lines.lines(page.render().map_err(io::Error::other)?.lines());
    Ok(lines)
}

fn compared(at: usize, of: &ServiceComparison, comparison: &Comparison) -> Compared {
    let word = verdict(of);
    let class = match word {
        "WORSE" => "missed",
        "BETTER" => "met",
        "NO DIFFERENCE" => "untested",
        _ => "few",
    };
    let id = format!("s{}", at + 1);
    Compared {
        name: of.name.clone(),
        class,
        verdict: word.to_lowercase(),
        sentence: sentence(of),
        shift: shift(&format!("{id}f"), of),
        stacks: of.made_of.as_ref().map(|made| stacks(&id, made)),
        table: table(of, comparison.confidence),
        id,
    }
}

/// Quantile in nines, shift, and its interval; where an end is not known, it reaches 0, so that no difference is told.
type Point = (f64, f64, [f64; 2]);

/// The shift function: how much later each quantile of the requests is done.
fn shift(id: &str, of: &ServiceComparison) -> Option<String> {
    let decile = |of: &crate::analysis::compare::Decile| -> Point {
        let shift = of.new_ns as f64 - of.old_ns as f64;
        let nines = -(1.0 - f64::from(of.percent) / 100.0).log10();
        (nines, shift, of.interval_ns.map_or([shift.min(0.0), shift.max(0.0)], |ends| ends.map(|end| end as f64)))
    };
    let mut points: Vec<Point> = of.deciles.iter().map(decile).collect();
    for figure in &of.figures {
        if let Figure::Latency { quantile } = figure.figure {
            let nines = -(1.0 - f64::from(quantile) / 10_000.0).log10();
            points.retain(|(at, _, _)| (at - nines).abs() > 1e-6);
            points.push((
                nines,
                figure.shift,
                figure.interval.unwrap_or([figure.shift.min(0.0), figure.shift.max(0.0)]),
            ));
        }
    }
    points.retain(|(at, _, _)| at.is_finite());
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let ends = points.iter().flat_map(|(_, _, ends)| ends.iter().copied());
    let (low, high) = ends.fold((0.0f64, 0.0f64), |(low, high), end| (low.min(end), high.max(end)));
    if points.is_empty() || high - low <= 0.0 {
        return None;
    }
    let room = (high - low) * 0.08;
    let (low, high) = (low - room, high + room);
    let down = |ns: f64| (high - ns) / (high - low) * HEIGHT;
    let told =
        points.iter().map(|(at, shift, _)| format!("{} {}", super::axis::quantile_name(*at), amount(*shift, Unit::Ns)));
    let description = format!("Shift by quantile, above 0 is slower: {}.", told.collect::<Vec<_>>().join(", "));
    let mut svg = Svg::new(id, "plot", HEIGHT, "Shift of the latency by quantile", &description);
    for ns in [high - room, 0.0, low + room] {
        let is_zero = ns.abs() < f64::EPSILON;
        if is_zero || (down(ns) - down(0.0)).abs() > 18.0 {
            let y = down(ns);
            let class = if is_zero { "zero" } else { "grid" };
            svg.put("line", &[("class", &class), ("x2", &"100%"), ("y1", &y), ("y2", &y)]);
            svg.label("tick left", "-8", y + 4.0, &if is_zero { "0".to_owned() } else { amount(ns, Unit::Ns) });
        }
    }
    for (at, name) in nine_ticks(MOST_NINES) {
        svg.label(if at > 0.97 { "tick end" } else { "tick middle" }, &across(at), HEIGHT + 18.0, &name);
    }
    for (at, shift, [from, to]) in points {
        let x = across(nines(at, MOST_NINES));
        let class = match () {
            () if from > 0.0 => "slower",
            () if to < 0.0 => "faster",
            () => "same",
        };
        svg.put(
            "line",
            &[("class", &format!("whisker {class}")), ("x1", &x), ("x2", &x), ("y1", &down(from)), ("y2", &down(to))],
        );
        svg.put("circle", &[("class", &format!("point {class}")), ("cx", &x), ("cy", &down(shift)), ("r", &4.5)]);
    }
    Some(svg.finish())
}

fn stacks(id: &str, made: &MadeOf) -> Stacks {
    let [old, new] = made.latency_ns;
    let longest = old.max(new).max(1);
    let bar = |which: &str, whole: u64, part: fn(&crate::analysis::compare::PartShift) -> u64| {
        let mut largest: Vec<_> = made.parts.iter().collect();
        largest.sort_by_key(|of| std::cmp::Reverse(part(of)));
        let told = largest.iter().take(3).map(|of| format!("{} {}", part_name(of), percent(part(of), whole)));
        let title = format!("{which}: {}", duration(whole));
        let mut svg = Svg::new(&format!("{id}{which}"), "bar", BAR, &title, &told.collect::<Vec<_>>().join(", "));
        let mut parts: Vec<_> = made.parts.iter().collect();
        parts.sort_by_key(|of| group(&of.component));
        let mut begin = 0u64;
        for of in parts {
            let class = format!("part {}", GROUPS[group(&of.component)].0);
            let (x, width) = (across(begin as f64 / longest as f64), across(part(of) as f64 / longest as f64));
            svg.put("rect", &[("class", &class), ("x", &x), ("width", &width), ("height", &BAR)]);
            begin = begin.saturating_add(part(of));
        }
        svg.finish()
    };
    let row = |of: &crate::analysis::compare::PartShift| {
        let change = amount(of.shift_ns as f64, Unit::Ns);
        (GROUPS[group(&of.component)].0, part_name(of), duration(of.old_ns), duration(of.new_ns), change)
    };
    Stacks {
        quantile: Figure::Latency { quantile: made.quantile }.name(),
        bars: [
            ("Old", duration(old), bar("Old", old, |of| of.old_ns)),
            ("New", duration(new), bar("New", new, |of| of.new_ns)),
        ],
        rows: made.parts.iter().map(row).collect(),
    }
}

fn part_name(of: &crate::analysis::compare::PartShift) -> String {
    match &of.peer {
        Some(peer) => format!("{}: {peer}", component_label(&of.component)),
        None => component_label(&of.component),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::compare::{Limits, Side, compare};
    use crate::analysis::sample::{self, assessed};
    use crate::output::html::svg::escape;

    #[test]
    fn the_page_has_shift_and_stacks_and_names_stay_text() {
        let old = assessed(sample::whole());
        let mut new = old.clone();
        for service in &mut new.services {
            let latency = sample::distribution((0..40_000u64).map(|at| 60_000_000 + at * 100));
            service.requests.as_mut().unwrap().latency = latency;
        }
        let name = "<script>alert(1)</script>.json";
        let [old, new] = [("before.json", &old), (name, &new)].map(|(name, report)| Side::of_report(name, report));
        let text = render(&compare(&old, &new, &Limits::default())).unwrap().as_str().to_owned();
        for wanted in ["before.json", "worse", "Shift of the latency by quantile", "p99.9", "class=\"whisker slower\""]
        {
            assert!(text.contains(wanted), "{wanted}");
        }
        assert!(text.contains("What requests are made of at"), "both stacks");
        assert_eq!(text.matches("<script").count(), 1);
        assert!(text.contains(&escape("<script>alert(1)")) || text.contains("&#60;script&#62;alert(1)"));
    }
}
