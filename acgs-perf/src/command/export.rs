//! `acgs-perf export`: the intervals of a recording as a table for other engines.
//!
//! In: a capture, or a report, which is one interval. Out: a file, and a line on it. Of a damaged capture what is whole is exported,
//! with exit code 2.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::ValueEnum;

use super::open::capture;
use crate::export::{Rows, of_capture, of_report};
use crate::output::{self, Page};
use crate::report;
use crate::units::bytes as size;

/// Examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  acgs-perf export night.capture --format parquet --output night.parquet
  acgs-perf export night.capture --format parquet --endpoints --output routes.parquet
  acgs-perf merge web*.capture --by-host --output web.capture && acgs-perf export web.capture --format parquet --output web.parquet
  duckdb < deploy/queries/duckdb/fleet_p99.sql                  # over all *.parquet of this directory
  clickhouse local < deploy/queries/clickhouse/worst_services.sql";

/// Write the intervals of a recording as a table for other engines
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Capture that `acgs-perf record --capture` or `merge` wrote, or report that `record --output` wrote
    pub file: PathBuf,
    /// What to write
    #[arg(long, value_enum)]
    pub format: Format,
    /// A row per interval and endpoint, in place of one per interval and service
    #[arg(long)]
    pub endpoints: bool,
    /// Where it goes
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
}

/// A format that other engines read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A row per interval and service, with the counts by bucket.
    Parquet,
}

/// Runs the command and returns the exit code.
///
/// # Errors
/// If the file cannot be read or is neither, or the output cannot be written; exit code 2.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    if args.output == Path::new("-") {
        bail!("a table cannot go to standard output, because engines read it from its end; name a file with --output");
    }
    report::check_writable(&args.output)?;
    let Format::Parquet = args.format;
    let rows = if args.endpoints { Rows::Endpoints } else { Rows::Services };
    let (bytes, damage) = match capture(&args.file)? {
        Some((capture, damage)) => (of_capture(&capture, rows), damage),
        None => (of_report(&report::load(&args.file)?, rows), None),
    };
    report::write_atomically(&args.output, &bytes)?;
    let line = format!("{} written to {}", size(bytes.len() as u64), args.output.display());
    output::print(&Page::of(&line)).context("standard output")?;
    let Some(damage) = damage else { return Ok(0) };
    output::say(&format!("{}: {damage}", args.file.display()));
    Ok(2)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::analysis::sample::{self, assessed};

    #[test]
    fn captures_and_reports_are_written_and_mistakes_are_one_line() {
        let directory = tempfile::tempdir().unwrap();
        let place = |name: &str| directory.path().join(name);
        let capture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/captures/6.18.capture");
        let export = |file: &Path, output: PathBuf| {
            run(&Args { file: file.to_owned(), format: Format::Parquet, endpoints: false, output })
        };
        assert_eq!(export(&capture, place("c.parquet")).unwrap(), 0);
        let text = report::seal(&mut assessed(sample::whole())).unwrap();
        fs::write(place("r.json"), text).unwrap();
        assert_eq!(export(&place("r.json"), place("r.parquet")).unwrap(), 0);
        // Of half a capture what is whole, and that it is half.
        let bytes = fs::read(&capture).unwrap();
        fs::write(place("half"), &bytes[..bytes.len() - 3]).unwrap();
        assert_eq!(export(&place("half"), place("h.parquet")).unwrap(), 2);
        for name in ["c", "r", "h"] {
            assert!(fs::read(place(&format!("{name}.parquet"))).unwrap().ends_with(b"PAR1"));
        }
        fs::write(place("x"), "hello").unwrap();
        for (file, output, word) in [
            (capture.clone(), PathBuf::from("-"), "standard output"),
            (capture.clone(), place("no/x.parquet"), "does not exist"),
            (place("none"), place("x.parquet"), "cannot read"),
            (place("x"), place("x.parquet"), "not JSON"),
        ] {
            let line = format!("{:#}", export(&file, output).unwrap_err());
            assert!(line.contains(word) && !line.contains('\n'), "{line}");
        }
        assert!(!place("x.parquet").exists());
    }
}
