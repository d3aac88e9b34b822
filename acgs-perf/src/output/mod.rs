//! Everything that is shown to people: text, traces, the terminal.
//!
//! In: a report. Out: text, and the one place that prints it.

pub mod ci;
mod format;
pub mod html;
mod markdown;
mod page;
mod perfetto;
mod terminal;
pub mod text;
pub mod tui;
pub mod words;

pub use format::{Format, Rendered, render};
pub use page::{Page, WithList, clean};
pub use terminal::{Log, check_binary, complain, note, print, print_json, say, say_as};

use std::io::{self, IsTerminal};

/// Width used when there is no terminal to ask.
const DEFAULT_WIDTH: usize = 100;

/// Width for text on standard output: `COLUMNS`, else the terminal's, else 100; at least 60.
#[must_use]
pub fn width() -> usize {
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    columns.or_else(terminal_width).unwrap_or(DEFAULT_WIDTH).clamp(60, 200)
}

fn terminal_width() -> Option<usize> {
    if !io::stdout().is_terminal() {
        return None;
    }
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ writes one `winsize`, which `size` is and which outlives the call.
    let result = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size) };
    (result == 0 && size.ws_col > 0).then_some(usize::from(size.ws_col))
}
