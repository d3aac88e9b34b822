//! `acgs-perf verify`: proves that a report is the one that was written.
//!
//! In: a report file. Out: one line on standard output. Exit code 0 if every byte, the digest and the constitutional hash
//! are right, 1 if not, 2 if the file cannot be read or is no whole report of this schema version.

use std::path::PathBuf;

use anyhow::Context as _;

use crate::units::timestamp;
use crate::{output, report};

/// Examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  acgs-perf verify report.json
  acgs-perf verify report.json && deploy";

/// Check that a report is unchanged and carries the constitutional hash
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Report that `acgs-perf record --output` wrote
    pub file: PathBuf,
}

/// Runs the command and returns the exit code.
///
/// # Errors
/// If the file cannot be read or is no whole report of this schema version; exit code 2.
pub fn run(args: &Args) -> anyhow::Result<u8> {
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
    use crate::analysis::{analyse, sample};

    #[test]
    fn says_ok_failed_or_unreadable_by_exit_code() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("r.json");
        let args = Args { file: file.clone() };
        assert!(run(&args).is_err());
        let text = report::seal(&mut analyse(&sample::small())).unwrap();
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
