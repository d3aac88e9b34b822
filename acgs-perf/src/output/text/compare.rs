//! A comparison for the terminal, and in Markdown.
//!
//! In: a comparison. Out: for each service what it has come to and why, then its figures; the deciles are drawn.

use super::layout::Lines;
use crate::analysis::compare::{Comparison, Decile, Figure, ServiceComparison, Shift, SideFacts, Told, Unit};
use crate::output::page::Page;
use crate::output::words::compare::{amount, figure, note, percent, sentence, value, verdict};
use crate::units::{duration, grouped, timestamp};

/// Cells of the drawing; the one in the middle is no change.
const CELLS: usize = 41;

/// For the terminal.
#[must_use]
pub fn render(comparison: &Comparison, width: usize) -> Page {
    let mut lines = Lines::new(width);
    for (label, side) in [("old", &comparison.old), ("new", &comparison.new)] {
        lines.items(label, &facts(side));
    }
    comparison.notes.iter().for_each(|of| lines.labelled("note", &note(of)));
    for of in &comparison.services {
        lines.blank();
        lines.words(&format!("{}   {}", of.name, verdict(of)), "");
        lines.words(&sentence(of), "  ");
        lines.table(&table(of, comparison.confidence));
        deciles(of, &mut lines);
    }
    lines.blank();
    for (label, names) in [("only old", &comparison.only_old), ("only new", &comparison.only_new)] {
        if !names.is_empty() {
            lines.items(label, names);
        }
    }
    lines.labelled("rule", &rule(comparison));
    lines.finish()
}

/// For a pull request.
#[must_use]
pub fn markdown(comparison: &Comparison) -> Page {
    let mut page = Page::default();
    page.line(&format!("old: {}  ", cell(&facts(&comparison.old).join(" · "))));
    page.line(&format!("new: {}", cell(&facts(&comparison.new).join(" · "))));
    for of in &comparison.notes {
        page.lines(["", &format!("> {}", cell(&note(of)))]);
    }
    for of in &comparison.services {
        page.lines(["", &format!("### {}: {}", cell(&of.name), verdict(of).to_lowercase()), ""]);
        page.lines([&cell(&sentence(of)), ""]);
        for (at, row) in table(of, comparison.confidence).iter().enumerate() {
            let cells: Vec<String> = row.iter().map(|text| cell(text)).collect();
            page.line(&format!("| {} |", cells.join(" | ")));
            if at == 0 {
                page.line(&format!("|---{}|", "|---:".repeat(row.len() - 1)));
            }
        }
    }
    for (label, names) in [("only in old", &comparison.only_old), ("only in new", &comparison.only_new)] {
        if !names.is_empty() {
            page.lines(["", &format!("{label}: {}", cell(&names.join(", ")))]);
        }
    }
    page.lines(["", &format!("<sub>{}</sub>", rule(comparison))]);
    page
}

/// Text of others in a cell: what would end the cell, or begin something, stands for itself.
pub fn cell(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '|' | '`' | '*' | '_' | '<' | '>' | '[' | ']' | '\\' | '#' | '@') {
            safe.push('\\');
        }
        safe.push(c);
    }
    safe
}

/// What is known of a side.
pub fn facts(side: &SideFacts) -> Vec<String> {
    let mut facts = vec![side.name.clone(), timestamp(side.start_unix_ns), duration(side.duration_ns)];
    if side.recordings > 1 {
        facts.push(format!("{} recordings", side.recordings));
    }
    facts.push(side.host.name.clone());
    facts.retain(|fact| !fact.is_empty());
    facts
}

/// When a change is told.
pub fn rule(comparison: &Comparison) -> String {
    format!(
        "a change is told (●) if its interval does not hold 0 and it is {} or more; all intervals hold together with {:.0} % confidence",
        percent(comparison.least_share).trim_start_matches('+'),
        comparison.confidence * 100.0
    )
}

/// All figures of a service, below a head.
pub fn table(of: &ServiceComparison, confidence: f64) -> Vec<Vec<String>> {
    let interval = format!("{:.0} % interval", confidence * 100.0);
    let head = ["mean per request", "old", "new", "change", "", &interval, ""];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let mut parts: Vec<&Shift> = of.figures.iter().filter(|shift| is_part(&shift.figure)).collect();
    parts.sort_by(|a, b| b.shift.abs().total_cmp(&a.shift.abs()));
    rows.extend(parts.into_iter().map(row));
    let mut latency = vec!["latency".to_owned()];
    latency.resize(head.len(), String::new());
    rows.push(latency);
    rows.extend(of.figures.iter().filter(|shift| matches!(shift.figure, Figure::Latency { .. })).map(row));
    let others = of.figures.iter().filter(|shift| matches!(shift.figure, Figure::Fate { .. } | Figure::Rate));
    rows.extend(others.map(row));
    let [old, new] = of.requests.map(grouped);
    let mut requests = vec!["requests".to_owned(), old, new];
    requests.resize(head.len(), String::new());
    rows.push(requests);
    rows
}

fn is_part(figure: &Figure) -> bool {
    matches!(figure, Figure::Component { .. } | Figure::Downstream { .. } | Figure::Calls { .. })
}

fn row(shift: &Shift) -> Vec<String> {
    let mark = match shift.told {
        Told::Up | Told::Down => "●",
        Told::Host => "○",
        Told::Nothing => "",
        Told::TooLittle => "?",
    };
    let between =
        shift.interval.map(|[low, high]| format!("{} … {}", amount(low, shift.unit), amount(high, shift.unit)));
    vec![
        figure(&shift.figure),
        value(shift.old, shift.unit),
        value(shift.new, shift.unit),
        amount(shift.shift, shift.unit),
        shift.share().map(percent).unwrap_or_default(),
        between.unwrap_or_else(|| "not known".into()),
        mark.into(),
    ]
}

/// The shift function: how much later each tenth of the requests is done.
fn deciles(of: &ServiceComparison, lines: &mut Lines) {
    let shift = |decile: &Decile| decile.new_ns as f64 - decile.old_ns as f64;
    let ends = |decile: &Decile| decile.interval_ns.map_or([shift(decile); 2], |ends| ends.map(|end| end as f64));
    let widest = of.deciles.iter().flat_map(ends).map(f64::abs).fold(0.0, f64::max);
    if widest <= 0.0 {
        return;
    }
    let middle = (CELLS / 2) as f64;
    let at = |ns: f64| (middle + ns / widest * middle).round().clamp(0.0, (CELLS - 1) as f64) as usize;
    let mut rows = vec![vec![
        "deciles".to_owned(),
        String::new(),
        format!("{:<20}0{:>20}", amount(-widest, Unit::Ns), amount(widest, Unit::Ns)),
    ]];
    for decile in &of.deciles {
        let [low, high] = ends(decile);
        let cells = (0..CELLS).map(|cell| match cell {
            _ if cell == at(shift(decile)) => '●',
            _ if cell == CELLS / 2 => '│',
            _ if (at(low)..=at(high)).contains(&cell) => '─',
            _ => ' ',
        });
        rows.push(vec![
            format!("p{}", decile.percent),
            amount(shift(decile), Unit::Ns),
            format!("{:<width$}", cells.collect::<String>(), width = CELLS),
        ]);
    }
    lines.table(&rows);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::compare::{Limits, Side, compare};
    use crate::analysis::sample::{self, assessed};

    fn comparison() -> Comparison {
        let old = assessed(sample::whole());
        let mut new = old.clone();
        new.host.kernel = "6.19.0".into();
        let latency = sample::distribution((0..40_000u64).map(|at| 8_000_000 + at * 100));
        for service in &mut new.services {
            service.requests.as_mut().unwrap().latency = latency.clone();
        }
        new.services.last_mut().unwrap().name = "a|b\u{1b}[2J".into();
        let [old, new] =
            [("before.json", &old), ("after.json", &new)].map(|(name, report)| Side::of_report(name, report));
        compare(&old, &new, &Limits::default())
    }

    #[test]
    fn the_terminal_shows_what_changed_and_what_is_only_on_one_side() {
        let text = render(&comparison(), 110).as_str().to_owned();
        for word in
            ["before.json", "other kernels", "WORSE", "only old", "only new", "99 % interval", "p99.9", "a|b?[2J"]
        {
            assert!(text.contains(word), "{word}: {text}");
        }
        assert!(!text.contains('\u{1b}'));
        let json = serde_json::to_value(comparison()).unwrap();
        assert_eq!(json["notes"][0]["note"], "kernel");
        assert_eq!(json["services"][0]["figures"][0]["of"].as_str().map(str::is_empty), Some(false));
    }

    #[test]
    fn a_name_ends_no_cell() {
        let text = markdown(&comparison()).as_str().to_owned();
        assert!(text.contains("a\\|b?\\[2J") && text.contains("| p99 |") && text.contains("### "), "{text}");
    }
}
