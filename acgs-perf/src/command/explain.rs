//! `acgs-perf explain`: what a finding means, when it is found, and what to do.
//!
//! In: the id of a finding. Out: its page on standard output; without an id, all of them in a line each.

use anyhow::{Context as _, bail};

use super::nearest::nearest;
use crate::output::pages::{PAGES, page, summary};
use crate::output::{self, Page};

/// Examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  acgs-perf explain
  acgs-perf explain tail_event_loop";

/// Say what a finding means, and what to do about it
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The finding, by its id; without it all are listed
    pub finding: Option<String>,
}

/// Runs the command and returns the exit code.
///
/// # Errors
/// If there is no such finding; exit code 2.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let text = match &args.finding {
        Some(id) => explained(id)?,
        None => list(),
    };
    output::print(&text).context("standard output")?;
    Ok(0)
}

fn explained(id: &str) -> anyhow::Result<Page> {
    // As a report says them, or as one would.
    let wanted = id.trim().to_lowercase().replace([' ', '-'], "_");
    let Some(page) = page(&wanted).or_else(|| page(&format!("tail_{wanted}"))) else {
        match nearest(&wanted, PAGES.iter().map(|(id, _)| *id)) {
            Some(near) => bail!("there is no finding {id}; is {near} meant? `acgs-perf explain` lists all"),
            None => bail!("there is no finding {id}; `acgs-perf explain` lists all"),
        }
    };
    let mut text = Page::default();
    text.lines(page.lines());
    Ok(text)
}

fn list() -> Page {
    let widest = PAGES.iter().map(|(id, _)| id.len()).max().unwrap_or(0);
    let mut text = Page::default();
    text.lines(PAGES.iter().map(|(id, page)| format!("{id:<widest$}  {}", summary(page))));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_explained_and_all_are_listed() {
        assert!(explained("tail_lock").unwrap().as_str().starts_with("# `tail_lock`\n"));
        assert_eq!(explained("Event Loop").unwrap().as_str(), explained("tail_event_loop").unwrap().as_str());
        assert_eq!(list().as_str().lines().count(), PAGES.len());
    }

    #[test]
    fn a_misspelt_one_is_put_right() {
        let error = explained("tail_lokc").unwrap_err().to_string();
        assert!(error.contains("is tail_lock meant?"), "{error}");
        let error = explained("qwertyuiop").unwrap_err().to_string();
        assert!(error.ends_with("there is no finding qwertyuiop; `acgs-perf explain` lists all"), "{error}");
    }
}
