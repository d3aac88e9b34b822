//! The live view on a terminal: services by headroom, and what is behind the figures of one.
//!
//! In: a report of the last minute, what the person has chosen, where the figures come from. Out: cells of a screen; [`draw`] is pure.
//! `screen` alone talks to the terminal.

mod bar;
mod canvas;
mod detail;
mod edges;
mod help;
mod list;
mod panels;
mod rows;
mod screen;
mod state;
#[cfg(test)]
mod tests;
mod theme;

use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;

use crate::report::{Report, ServiceReport};
use canvas::{part, plain, put};

pub use screen::{Input, Screen};
pub use state::{Key, State, Wish};
pub use theme::Theme;

/// A smaller screen is told to be larger.
pub const MIN_COLUMNS: u16 = 80;
/// Lines, likewise.
pub const MIN_LINES: u16 = 24;

/// Where the figures come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// From a recording under way.
    Live,
    /// From a file.
    Replay(Replay),
}

/// A recording that is replayed.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    /// The name of its file.
    pub file: String,
    /// How much of it has passed.
    pub at_ns: u64,
    /// Its length.
    pub whole_ns: u64,
    /// How many times as fast as it happened.
    pub speed: f64,
}

/// What is shown.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// The figures; `None` before the first ones.
    pub report: Option<&'a Report>,
    /// Where they come from.
    pub source: &'a Source,
    /// What was chosen.
    pub state: &'a State,
    /// How things look.
    pub theme: Theme,
}

impl<'a> Shown<'a> {
    /// The services in the order in which they are shown.
    #[must_use]
    pub fn services(&self) -> Vec<&'a ServiceReport> {
        let (state, report) = (self.state, self.report);
        report.map(|report| rows::order(report, state.sort, state.is_reversed, &state.filter)).unwrap_or_default()
    }

    /// The service that is looked into.
    fn open(&self) -> Option<&'a ServiceReport> {
        let name = self.state.open.as_ref()?;
        self.report?.services.iter().find(|service| service.name == *name)
    }
}

/// Draws everything, and gives the number of lines that can go up.
pub fn draw(shown: &Shown<'_>, buffer: &mut Buffer) -> usize {
    let area = buffer.area;
    if area.width < MIN_COLUMNS || area.height < MIN_LINES {
        too_small(buffer, area);
        return 0;
    }
    edges::top(shown, buffer, part(area, 0, edges::TOP));
    edges::bottom(shown, buffer, part(area, area.height - edges::BOTTOM, edges::BOTTOM));
    let middle = part(area, edges::TOP, area.height - edges::TOP - edges::BOTTOM);
    if shown.state.has_help {
        help::draw(shown, buffer, middle);
        return 0;
    }
    match (shown.report, shown.open()) {
        (Some(report), Some(service)) => detail::draw(shown, report, service, buffer, middle),
        _ => {
            list::draw(shown, buffer, middle);
            0
        }
    }
}

fn too_small(buffer: &mut Buffer, area: Rect) {
    let text = format!("{}x{} is too small: {MIN_COLUMNS}x{MIN_LINES} are needed; q quits", area.width, area.height);
    for (row, line) in (0..).zip(canvas::wrapped(&text, usize::from(area.width), 0)) {
        put(buffer, area, row, &[plain(line)]);
    }
}
