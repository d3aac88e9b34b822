//! `acgs-perf verify`: proves that a report or a capture is the one that was written.
//!
//! In: the file of either. Out: one line on standard output. Exit code 0 if every byte, the digest and the constitutional hash
//! are right, 1 if not, 2 if the file cannot be read or is no whole report of a schema version that is known.

use std::path::PathBuf;

use acgs_perf_common::CONSTITUTIONAL_HASH;
use anyhow::Context as _;

use super::open::capture;
use crate::units::{duration, timestamp};
use crate::{output, report};

/// Examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  acgs-perf verify report.json
  acgs-perf verify report.json && deploy";

/// Check that a report or a capture is unchanged and carries the constitutional hash
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Report that `acgs-perf record --output` wrote, or capture that `--capture` wrote
    pub file: PathBuf,
}

/// Runs the command and returns the exit code.
///
/// # Errors
/// If the file cannot be read or is no whole report of this schema version; exit code 2.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    if let Some((capture, damage)) = capture(&args.file)? {
        let context = &capture.context;
        let (line, code) = match damage {
            Some(damage) => (format!("failed: {}: {damage}", args.file.display()), 1),
            None => (
                format!(
                    "ok: {} · capture of {} · constitutional hash {CONSTITUTIONAL_HASH} · recorded {} on {}",
                    args.file.display(),
                    duration(context.duration_ns),
                    timestamp(context.start_unix_ns),
                    context.host.name,
                ),
                0,
            ),
        };
        output::print(&output::Page::of(&line)).context("standard output")?;
        return Ok(code);
    }
    let (line, code) = match report::verify(&args.file) {
        Ok(report) => (
            format!(
                "ok: {} · {} · constitutional hash {} · recorded {} on {}",
                args.file.display(),
                report.digest,
                report.constitutional_hash,
                timestamp(report.window.start_unix_ns),
                report.host.name,
            ),
            0,
        ),
        Err(error) if error.is_failed_check() => (format!("failed: {error}"), 1),
        Err(error) => return Err(error.into()),
    };
    output::print(&output::Page::of(&line)).context("standard output")?;
    Ok(code)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::analysis::sample::{self, assessed};

    #[test]
    fn says_ok_failed_or_unreadable_by_exit_code() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("r.json");
        let args = Args { file: file.clone() };
        assert!(run(&args).is_err());
        let text = report::seal(&mut assessed(sample::small())).unwrap();
        report::write_atomically(&file, text.as_bytes()).unwrap();
        assert_eq!(run(&args).unwrap(), 0);
        fs::write(&file, text.replacen("200", "201", 1)).unwrap();
        assert_eq!(run(&args).unwrap(), 1);
        for bytes in [&text.as_bytes()[..text.len() / 2], b"", b"{}", b"hello"] {
            fs::write(&file, bytes).unwrap();
            assert!(run(&args).is_err());
        }
    }
}
