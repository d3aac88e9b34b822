//! Opens what a verb is given: a report, or a capture from which one is made.
//!
//! In: a path. Out: the report and its text as it is, or would be, sealed; of a damaged capture what could be saved.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, bail};

use super::rules;
use crate::analysis;
use crate::output::words;
use crate::report::{self, Report};
use crate::snapshot::Capture;
use crate::snapshot::file::{decode, is_capture};

/// A larger file is no capture: an hour of twenty services takes less than a tenth of this.
const MAX_CAPTURE_BYTES: u64 = 256 << 20;
/// Enough to tell what a file is.
const BEGIN: u64 = 64;

/// A report that was opened.
pub struct Opened {
    /// The report.
    pub report: Report,
    /// Its text.
    pub sealed: String,
    /// What is wrong with the capture that it was made from.
    pub damage: Option<String>,
}

/// Opens a report or a capture.
///
/// # Errors
/// When it cannot be read, or is neither, or was changed.
pub fn open(path: &Path) -> anyhow::Result<Opened> {
    open_by(path, None)
}

/// The same, of a capture with the rules of `config` in place of its own.
///
/// # Errors
/// The same; or when there are other rules, and nothing that follows them.
pub fn open_by(path: &Path, config: Option<&Path>) -> anyhow::Result<Opened> {
    if let Some((mut capture, damage)) = capture(path)? {
        if let Some(config) = config {
            rules::apply(config, &mut capture.context)?;
        }
        let mut report = words::said(analysis::analyse(&capture));
        let sealed = report::seal_to_fit(&mut report).with_context(|| path.display().to_string())?;
        return Ok(Opened { report, sealed, damage });
    }
    let document = report::load_document(path)?;
    if config.is_some() {
        bail!("{}: a report, which has its endpoints as they were named; give --config a capture", path.display());
    }
    let sealed = document.to_json()?;
    Ok(Opened { report: document.report, sealed, damage: None })
}

/// The capture in a file, and what is wrong with it; `None` if the file is something else, or cannot be read, which is for others
/// to say.
///
/// # Errors
/// When it is a capture of which nothing can be saved.
pub fn capture(path: &Path) -> anyhow::Result<Option<(Capture, Option<String>)>> {
    let mut bytes = Vec::new();
    let Ok(file) = File::open(path) else { return Ok(None) };
    // A directory opens, and does not read.
    if (&file).take(BEGIN).read_to_end(&mut bytes).is_err() || !is_capture(&bytes) {
        return Ok(None);
    }
    let read = file.take(MAX_CAPTURE_BYTES).read_to_end(&mut bytes);
    read.with_context(|| format!("{}: cannot read the capture", path.display()))?;
    let decoded = decode(&bytes).with_context(|| path.display().to_string())?;
    Ok(Some((decoded.capture, decoded.damage)))
}
