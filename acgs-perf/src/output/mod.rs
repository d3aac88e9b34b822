//! Everything that is shown to people: text, traces, the terminal.
//!
//! In: a report. Out: text, and the one place that prints it.

mod format;
mod perfetto;
pub mod text;

pub use format::{Format, render};

use std::io::{self, ErrorKind, IsTerminal, Write};

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

/// Writes `text` to standard output. A reader that has gone away, as `head` does, is no error.
///
/// # Errors
/// Any other failure to write.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
