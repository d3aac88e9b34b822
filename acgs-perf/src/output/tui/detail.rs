//! One service: all that is known of it, in one column or in two.
//!
//! In: what is shown, the service. Out: cells, and how many lines can go up. What is in the panels is in `panels`.

use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;

use super::Shown;
use super::canvas::{Line, part, plain, put, styled};
use super::panels::{self, Panel};
use super::rows::{headroom_words, verdict};
use crate::report::{Report, ServiceReport};

/// From so many columns on there are two columns of panels.
const WIDE: u16 = 150;
/// Lines above the panels.
const HEAD: u16 = 2;
/// Columns between two columns of panels.
const GAP: u16 = 3;

/// Draws it.
pub fn draw(shown: &Shown<'_>, report: &Report, service: &ServiceReport, buffer: &mut Buffer, area: Rect) -> usize {
    head(shown, service, buffer, area);
    let body = part(area, HEAD, area.height - HEAD);
    let is_wide = area.width >= WIDE;
    let width = if is_wide { (area.width - GAP) / 2 } else { area.width };
    let mut of = panels::all(shown, report, service, width.into());
    if !is_wide {
        let lines: Vec<Line> = of.into_iter().flat_map(lines).collect();
        return scrolled(buffer, body, &lines, lines.len(), shown.state.scroll);
    }
    let second = of.split_off(split(&of));
    let columns = [of, second].map(|panels| panels.into_iter().flat_map(lines).collect::<Vec<Line>>());
    let longest = columns.iter().map(Vec::len).max().unwrap_or(0);
    let mut most = 0;
    for (at, lines) in (0..).zip(&columns) {
        let place = Rect { x: body.x + at * (width + GAP), width, ..body };
        most = scrolled(buffer, place, lines, longest, shown.state.scroll);
    }
    most
}

/// How many panels the first column takes, so that both are about as long.
fn split(panels: &[Panel]) -> usize {
    let length = |panels: &[Panel]| panels.iter().map(|panel| panel.lines.len() + 2).sum::<usize>();
    (0..=panels.len()).min_by_key(|at| length(&panels[..*at]).max(length(&panels[*at..]))).unwrap_or(0)
}

/// The lines of a panel, its heading first.
fn lines(panel: Panel) -> Vec<Line> {
    let mut lines = vec![panel.heading];
    lines.extend(panel.lines);
    lines.push(Line::new());
    lines
}

/// Draws what is to be seen of `lines`, and gives the number of lines that can go up, of `longest` in all.
fn scrolled(buffer: &mut Buffer, area: Rect, lines: &[Line], longest: usize, scroll: usize) -> usize {
    let most = longest.saturating_sub(area.height.into());
    for (row, line) in (0..area.height).zip(lines.iter().skip(scroll.min(most))) {
        put(buffer, area, row, line);
    }
    most
}

fn head(shown: &Shown<'_>, service: &ServiceReport, buffer: &mut Buffer, area: Rect) {
    let theme = shown.theme;
    let word = match verdict(service.objective.verdict) {
        "–" => "NOT MEASURED",
        word => word,
    };
    let first = vec![
        styled(service.name.clone(), theme.heading()),
        plain("  "),
        styled(word, theme.verdict(service.objective.verdict)),
        plain(format!("  headroom {}", headroom_words(service))),
        styled(format!("  {}", processes(service)), theme.minor()),
    ];
    put(buffer, area, 0, &first);
    put(buffer, area, 1, &[styled("─".repeat(area.width.into()), theme.minor())]);
}

/// The selector, and the first processes.
fn processes(service: &ServiceReport) -> String {
    const NAMED: usize = 3;
    let named = service.processes.iter().take(NAMED).map(|process| format!("{} {}", process.comm, process.pid));
    let mut items: Vec<String> = [service.selector.clone()].into_iter().chain(named).collect();
    if service.processes.is_empty() {
        items.push("no process".into());
    } else if service.processes.len() > NAMED {
        items.push(format!("{} more", service.processes.len() - NAMED));
    }
    items.join(" · ")
}
