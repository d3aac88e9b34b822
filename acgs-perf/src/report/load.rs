//! Reading a report back, and proving that nobody changed it.
//!
//! In: a path. Out: the report, or one line that says what is wrong, where, and what to do. [`load`] accepts a file that
//! was only laid out anew (the digest covers the value); [`verify`] also wants every byte to be the one that was written.
//! The digest shows damage and careless edits. It is no signature: who rewrites a report can compute it too.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use acgs_perf_common::CONSTITUTIONAL_HASH;
use serde_json::Value;
use thiserror::Error;

use super::seal::{DIGEST, digest, render};
use crate::analysis::model::{Report, SCHEMA_VERSION};

/// Larger files are refused before they are parsed, which takes many times their size in memory.
pub(super) const MAX_BYTES: u64 = 32 << 20;

/// Why a report could not be loaded or does not verify.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("{}: cannot read the report: {why}; check the path and its permissions", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// The file is larger than any report.
    #[error("{}: larger than {} MiB, not an acgs-perf report; name a file that `acgs-perf record` wrote", .0.display(), MAX_BYTES >> 20)]
    TooLarge(PathBuf),
    /// The file has no content.
    #[error("{}: the file is empty; record again or restore it from a copy", .0.display())]
    Empty(PathBuf),
    /// The file ends in the middle of the document.
    #[error("{}: truncated: the JSON ends at line {line}, column {column}; record again or restore it from a copy", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Where the parser ran out of text.
        line: usize,
        /// Where the parser ran out of text.
        column: usize,
    },
    /// The file is not JSON.
    #[error("{}: not JSON: {why}; name a file that `acgs-perf record --output` wrote", path.display())]
    NotJson {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        why: serde_json::Error,
    },
    /// JSON, but no report.
    #[error("{}: not an acgs-perf report: {what}; name a file that `acgs-perf record --output` wrote", path.display())]
    NotAReport {
        /// The file.
        path: PathBuf,
        /// What is missing or wrong.
        what: String,
    },
    /// Written by a newer version.
    #[error(
        "{}: written by a newer acgs-perf: schema_version {found}, this one reads up to {SCHEMA_VERSION}; upgrade",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema version.
        found: u64,
    },
    /// Another constitution.
    #[error(
        "{}: constitutional_hash is {found:?}, expected \"{CONSTITUTIONAL_HASH}\"; do not rely on this report",
        path.display()
    )]
    WrongHash {
        /// The file.
        path: PathBuf,
        /// The hash in it.
        found: String,
    },
    /// The digest does not fit the content.
    #[error(
        "{}: tampered with or damaged: the digest in it is {found:?}, its content gives \"{computed}\"; do not rely on this report",
        path.display()
    )]
    Tampered {
        /// The file.
        path: PathBuf,
        /// The digest in the file.
        found: String,
        /// The digest of its content.
        computed: String,
    },
    /// The content is right, but its text is not the one that was written.
    #[error(
        "{}: changed after it was written: from byte {offset} on, the text is not the one that acgs-perf writes; restore it from a copy",
        path.display()
    )]
    Rewritten {
        /// The file.
        path: PathBuf,
        /// Where it first differs.
        offset: usize,
    },
}

impl LoadError {
    /// Whether a check failed on what is a report (its bytes, digest or hash), and not the reading of one.
    #[must_use]
    pub fn is_failed_check(&self) -> bool {
        matches!(self, Self::Tampered { .. } | Self::Rewritten { .. } | Self::WrongHash { .. })
    }
}

/// A loaded report: its typed form, and all of its fields, also those that this version does not know.
#[derive(Clone, Debug)]
pub struct Document {
    /// What this version understands.
    pub report: Report,
    value: Value,
}

impl Document {
    /// The text as it was sealed, unknown fields included.
    ///
    /// # Errors
    /// Never in practice: the value came from JSON.
    pub fn to_json(&self) -> serde_json::Result<String> {
        render(&self.value)
    }
}

/// Loads a report and checks schema version, constitutional hash and digest.
///
/// # Errors
/// See [`LoadError`].
pub fn load(path: &Path) -> Result<Report, LoadError> {
    load_document(path).map(|document| document.report)
}

/// As [`load`], and keeps the fields that this version does not know.
///
/// # Errors
/// See [`LoadError`].
pub fn load_document(path: &Path) -> Result<Document, LoadError> {
    parse(path, &read(path)?)
}

/// As [`load`], and checks that every byte of the file is the one that was written.
///
/// # Errors
/// See [`LoadError`].
pub fn verify(path: &Path) -> Result<Report, LoadError> {
    verify_bytes(path, &read(path)?)
}

/// Verifies a report that is already in memory; `path` is what messages call it.
///
/// # Errors
/// See [`LoadError`].
pub fn verify_bytes(path: &Path, bytes: &[u8]) -> Result<Report, LoadError> {
    let document = parse(path, bytes)?;
    let expected = document.to_json().map_err(|why| LoadError::NotJson { path: path.into(), why })?;
    if expected.as_bytes() != bytes {
        let common = expected.bytes().zip(bytes).take_while(|(a, b)| a == *b).count();
        return Err(LoadError::Rewritten { path: path.into(), offset: common });
    }
    Ok(document.report)
}

fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    let unreadable = |why| LoadError::Unreadable { path: path.into(), why };
    let file = File::open(path).map_err(unreadable)?;
    // A file tells its size; a pipe, or one that grows, is read up to the limit.
    if file.metadata().map_err(unreadable)?.len() > MAX_BYTES {
        return Err(LoadError::TooLarge(path.into()));
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(LoadError::TooLarge(path.into()));
    }
    Ok(bytes)
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Document, LoadError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(LoadError::Empty(path.into()));
    }
    let value: Value = serde_json::from_slice(bytes).map_err(|why| match why.is_eof() {
        true => LoadError::Truncated { path: path.into(), line: why.line(), column: why.column() },
        false => LoadError::NotJson { path: path.into(), why },
    })?;
    let not_a_report = |what: &str| LoadError::NotAReport { path: path.into(), what: what.into() };
    let object = value.as_object().ok_or_else(|| not_a_report("the document is not an object"))?;
    let version =
        object.get("schema_version").and_then(Value::as_u64).ok_or_else(|| not_a_report("no schema_version"))?;
    if version > u64::from(SCHEMA_VERSION) {
        return Err(LoadError::Newer { path: path.into(), found: version });
    }
    let text = |key: &str| object.get(key).and_then(Value::as_str).ok_or_else(|| not_a_report(&format!("no {key}")));
    let hash = text("constitutional_hash")?;
    if hash != CONSTITUTIONAL_HASH {
        return Err(LoadError::WrongHash { path: path.into(), found: hash.into() });
    }
    let found = text(DIGEST)?;
    let computed = digest(&value).map_err(|why| LoadError::NotJson { path: path.into(), why })?;
    if found != computed {
        return Err(LoadError::Tampered { path: path.into(), found: found.into(), computed });
    }
    let report = Report::deserialize_from(&value).map_err(|error| not_a_report(&error.to_string()))?;
    Ok(Document { report, value })
}

impl Report {
    fn deserialize_from(value: &Value) -> serde_json::Result<Self> {
        serde::Deserialize::deserialize(value)
    }
}
