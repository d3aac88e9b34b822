//! Reports, and captures of which reports are made, into one report.
//!
//! In: reports and captures. Out: the sealed text of a report of all. Each is read twice, so that one at a time is in memory.

use std::path::{Path, PathBuf};

use super::outcome::{Merged, all, count, hosts, not_added};
use crate::analysis::{self, merge};
use crate::command::open::open;
use crate::merge::{Head, plan};
use crate::output::words;
use crate::report::{self, Report};

/// All of them as one; so many of them are captures.
///
/// # Errors
/// If one cannot be read or is not whole, or some are not to be added.
pub fn merged(files: &[PathBuf], by_host: bool, captures: usize) -> anyhow::Result<Merged> {
    let heads = plan(heads(files)?, by_host).map_err(|refusals| not_added(&refusals))?;
    let mut merger = merge::ReportMerger::new(by_host);
    for head in &heads {
        merger.add(head, open(&head.path)?.report);
    }
    let mut report = analysis::merged(merger);
    if captures > 0 {
        let were = if captures == 1 { "was made a report" } else { "were made reports" };
        report.notes.push(format!(
            "{} of the {} {were} before they were added; captures alone tell more",
            count(captures, "capture"),
            files.len()
        ));
    }
    let mut report = words::said(report);
    let bytes = report::seal_to_fit(&mut report)?.into_bytes();
    Ok(Merged { bytes, hosts: hosts(&heads), services: report.services.len(), duration_ns: report.window.duration_ns })
}

/// What the plan has to know of each.
fn heads(files: &[PathBuf]) -> anyhow::Result<Vec<Head>> {
    let (mut heads, mut wrong, mut unfit) = (Vec::with_capacity(files.len()), Vec::new(), Vec::new());
    for path in files {
        match whole(path) {
            Err(why) => wrong.push(format!("{why:#}")),
            Ok(report) => {
                unfit.extend(merge::unfit(path, &report));
                heads.push(merge::head(path, &report));
            }
        }
    }
    match (wrong.is_empty(), unfit.is_empty()) {
        (true, true) => Ok(heads),
        (true, false) => Err(not_added(&unfit)),
        (false, _) => Err(all("not all of these are whole, and nothing was written; leave these out", wrong)),
    }
}

fn whole(path: &Path) -> anyhow::Result<Report> {
    let opened = open(path)?;
    match opened.damage {
        Some(damage) => Err(anyhow::anyhow!("{}: the capture is damaged: {damage}", path.display())),
        None => Ok(opened.report),
    }
}
