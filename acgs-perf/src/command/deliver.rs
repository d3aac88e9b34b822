//! Brings the report to where it was asked for; if it cannot go there, elsewhere, because the recording cannot be had again.
//!
//! In: the report as it is to be written, and its summary. Out: a file, or standard output; and the exit code, which is 2 when
//! the report is not where it was asked for.

use std::path::{Path, PathBuf};

use crate::output::{self, Page, Rendered};
use crate::report::{self, WriteError};
use crate::snapshot::{Capture, file};

/// Exit code when something could not go where it was asked for.
const ELSEWHERE: u8 = 2;

/// Where a report is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// `--output -`.
    Stdout,
    /// `--output FILE`, which is replaced if it is there.
    File(PathBuf),
    /// Without `--output`: `report.json` in the current directory, or the first of `report-2.json` … that is not there yet.
    Numbered,
}

impl Destination {
    /// What the command line says.
    pub fn new(output: Option<&Path>) -> Self {
        match output {
            Some(path) if path == Path::new("-") => Self::Stdout,
            Some(path) => Self::File(path.to_owned()),
            None => Self::Numbered,
        }
    }

    /// Whether a report can be written there, before anything is recorded.
    pub fn check(&self) -> Result<(), WriteError> {
        match self {
            Self::Stdout => Ok(()),
            Self::File(path) => report::check_writable(path),
            Self::Numbered => report::check_numbered(),
        }
    }
}

/// Saves a capture; whether it is where it was asked for. If it cannot go there it goes to the directory for temporary files.
#[must_use]
pub fn capture(path: &Path, capture: &Capture) -> bool {
    let bytes = match file::encode(capture) {
        Ok(bytes) => bytes,
        Err(error) => {
            output::say(&error.to_string());
            return false;
        }
    };
    let Err(why) = report::write_atomically(path, &bytes) else { return true };
    match report::write_aside(&bytes, ".capture") {
        Ok(path) => output::say(&format!("{why}; the capture is in {} instead", path.display())),
        Err(second) => output::say(&format!("{why}; {second}; the capture is lost, the report is not")),
    }
    false
}

/// Writes the report and prints the summary; gives the exit code, which is `code` if all went well.
///
/// # Errors
/// When the report could go nowhere at all.
pub fn deliver(destination: &Destination, content: &Rendered, summary: &Page, code: u8) -> anyhow::Result<u8> {
    let bytes = content.as_str().as_bytes();
    let written = match destination {
        Destination::Stdout => match content.print() {
            Ok(()) => return Ok(code),
            Err(why) => Err(format!("cannot write to standard output: {why}")),
        },
        Destination::File(path) => match report::write_atomically(path, bytes) {
            Ok(()) => Ok(path.clone()),
            Err(error) => Err(error.to_string()),
        },
        Destination::Numbered => report::write_numbered(bytes).map_err(|error| error.to_string()),
    };
    match written {
        Ok(path) => Ok(summarise(summary, destination, &path, code)),
        Err(why) => elsewhere(destination, content, summary, &why),
    }
}

/// Prints the summary, and where the report is.
fn summarise(summary: &Page, destination: &Destination, path: &Path, code: u8) -> u8 {
    let mut page = summary.clone();
    let kept = match destination {
        Destination::Numbered if path != Path::new(report::DEFAULT_NAME) => {
            format!(" ({} was there already)", report::DEFAULT_NAME)
        }
        _ => String::new(),
    };
    page.lines(["", &format!("Report written to {}{kept}", path.display())]);
    match output::print(&page) {
        Ok(()) => code,
        // The terminal may have hung up, which has its own exit code.
        Err(why) => {
            output::say(&format!("cannot print the summary: {why}; the report is in {}", path.display()));
            if code == 0 { ELSEWHERE } else { code }
        }
    }
}

fn elsewhere(destination: &Destination, content: &Rendered, summary: &Page, why: &str) -> anyhow::Result<u8> {
    match report::write_aside(content.as_str().as_bytes(), content.extension()) {
        Ok(path) => {
            output::say(&format!("{why}; the report is in {} instead", path.display()));
            if *destination != Destination::Stdout {
                summarise(summary, &Destination::File(path.clone()), &path, ELSEWHERE);
            }
        }
        Err(second) if *destination == Destination::Stdout => anyhow::bail!("{why}; {second}"),
        Err(second) => {
            output::say(&format!("{why}; {second}; the report goes to standard output instead"));
            content.print()?;
        }
    }
    Ok(ELSEWHERE)
}
