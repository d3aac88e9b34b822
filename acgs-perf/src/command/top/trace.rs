//! The slowest requests of what is shown, as a trace in the working directory.
//!
//! In: the report, the service that is looked into. Out: a file that was not there before, and its name.

use std::fs::OpenOptions;
use std::io::{self, Write as _};

use crate::output::{Format, render};
use crate::report::Report;

/// So many files of the name are tried.
const TRIED: u32 = 1_000;
/// How the name of each begins.
const NAME: &str = "acgs-perf-top";

/// Writes it, and says what has come of it.
pub fn write(report: Option<&Report>, service: Option<&str>) -> String {
    let Some(report) = report else { return "there is nothing to write yet".into() };
    let mut report = report.clone();
    if let Some(service) = service {
        report.services.retain(|one| one.name == service);
    }
    match written(&report) {
        Ok(name) => format!("the slowest requests are in {name}, for ui.perfetto.dev"),
        Err(error) => format!("no trace was written: {error}"),
    }
}

fn written(report: &Report) -> io::Result<String> {
    let trace = render(Format::Perfetto, report, String::new(), 0)?;
    for at in 1..=TRIED {
        let name = match at {
            1 => format!("{NAME}{}", trace.extension()),
            _ => format!("{NAME}-{at}{}", trace.extension()),
        };
        match OpenOptions::new().write(true).create_new(true).open(&name) {
            Ok(mut file) => return file.write_all(trace.as_str().as_bytes()).map(|()| name),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other(format!("there are {TRIED} files {NAME}-… here already")))
}
