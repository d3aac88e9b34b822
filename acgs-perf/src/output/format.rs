//! The forms in which a report can be shown.
//!
//! In: a report, and its text as it was sealed. Out: what `--format` asks for.

use std::io;

use crate::report::Report;

use super::page::Page;
use super::terminal::{print, print_json};
use super::{html, markdown, perfetto, text};

/// How to show a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Summary for the terminal
    #[default]
    Text,
    /// The report as it was written
    Json,
    /// One page for a browser, that needs nothing else
    Html,
    /// Short, for a pull request
    Markdown,
    /// The exemplars as a trace, for <https://ui.perfetto.dev>
    Perfetto,
}

/// A report in a form.
#[derive(Clone, Debug)]
pub enum Rendered {
    /// For people.
    Page(Page),
    /// For programs.
    Json(String),
    /// For a browser, or what else shows it; and how its file is called.
    Document(Page, &'static str),
}

impl Rendered {
    /// The text, as it goes into a file.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Page(page) | Self::Document(page, _) => page.as_str(),
            Self::Json(text) => text,
        }
    }

    /// How the name of a file with it ends.
    #[must_use]
    pub fn extension(&self) -> &'static str {
        match self {
            Self::Page(_) => ".txt",
            Self::Json(_) => ".json",
            Self::Document(_, extension) => extension,
        }
    }

    /// Prints it.
    ///
    /// # Errors
    /// If it cannot be written, but not when the reader has gone away.
    pub fn print(&self) -> io::Result<()> {
        match self {
            Self::Page(page) | Self::Document(page, _) => print(page),
            Self::Json(text) => print_json(text),
        }
    }
}

/// The report in the form asked for; `sealed` is its JSON text, `width` that of the terminal.
///
/// # Errors
/// If there are no exemplars to show as a trace.
pub fn render(format: Format, report: &Report, sealed: String, width: usize) -> io::Result<Rendered> {
    match format {
        Format::Text => Ok(Rendered::Page(text::render(report, width))),
        Format::Json => Ok(Rendered::Json(sealed)),
        Format::Html => html::render(report).map(|page| Rendered::Document(page, ".html")),
        Format::Markdown => Ok(Rendered::Document(markdown::render(report), ".md")),
        Format::Perfetto => perfetto::render(report).map(Rendered::Json),
    }
}
