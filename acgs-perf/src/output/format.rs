//! The forms in which a report can be shown.
//!
//! In: a report, and its text as it was sealed. Out: what `--format` asks for.

use std::io;

use crate::report::Report;

use super::{perfetto, text};

/// How to show a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Summary for the terminal
    #[default]
    Text,
    /// The report as it was written
    Json,
    /// The exemplars as a trace, for <https://ui.perfetto.dev>
    Perfetto,
}

/// The report in the form asked for; `sealed` is its JSON text, `width` that of the terminal.
///
/// # Errors
/// If there are no exemplars to show as a trace.
pub fn render(format: Format, report: &Report, sealed: String, width: usize) -> io::Result<String> {
    match format {
        Format::Text => Ok(text::render(report, width)),
        Format::Json => Ok(sealed),
        Format::Perfetto => perfetto::render(report),
    }
}
