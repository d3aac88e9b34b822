//! The help: keys, letters of the bars, what the columns mean.

use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;

use super::bar::KINDS;
use super::canvas::{Line, left, plain, put, styled};
use super::{Shown, Source};

/// (key, what it does), by where it works.
const KEYS: [(&str, &str); 10] = [
    ("Enter, Esc", "look into a service, and back"),
    ("↑ ↓ PgUp PgDn", "choose a service; scroll in one"),
    ("s ← →, r", "sort by another column; the other way round"),
    ("/", "only services with this in their name; Esc ends that"),
    ("e", "in a service: endpoints by time, or by P99"),
    ("space", "hold what is shown; the recording goes on"),
    ("t", "write a trace of the slowest requests here, for ui.perfetto.dev"),
    (", . [ ]", "of a file: an interval back, on; a tenth back, on"),
    ("+ -", "of a file: twice, half as fast"),
    ("q, Ctrl-C", "quit: everything is taken off"),
];

/// Draws it.
pub fn draw(shown: &Shown<'_>, buffer: &mut Buffer, area: Rect) {
    let theme = shown.theme;
    let mut lines: Vec<Line> = vec![vec![styled("keys (any key closes this)", theme.heading())]];
    let is_file = matches!(shown.source, Source::Replay(_));
    for (key, what) in KEYS.into_iter().filter(|(_, what)| is_file || !what.starts_with("of a file")) {
        lines.push(vec![styled(left(key, 16), theme.strong()), plain(what)]);
    }
    lines.push(vec![styled("columns", theme.heading())]);
    lines.push(vec![plain("HEADROOM: what the P99 of the time shown leaves of the objective")]);
    lines.push(vec![plain("!: requests are without a reply for longer than the objective allows")]);
    lines.push(vec![plain("TAIL IS: what the time of the slowest 1 % is made of, a letter each:")]);
    for (row, kinds) in KINDS.chunks(4).enumerate() {
        let pieces = kinds.iter().enumerate().flat_map(|(at, (letter, name))| {
            [styled(format!("  {letter} "), theme.part(row * 4 + at)), plain(left(name, 15))]
        });
        lines.push(pieces.collect());
    }
    for (row, line) in (0..area.height).zip(lines) {
        put(buffer, area, row, &line);
    }
}
