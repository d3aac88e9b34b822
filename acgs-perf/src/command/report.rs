//! `acgs-perf report`: shows a saved report.
//!
//! In: a report file. Out: its text summary, or its JSON, on standard output. A report whose digest does not fit its
//! content is refused, with exit code 2.

use std::path::PathBuf;

use crate::{output, report};

/// Examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  acgs-perf report report.json
  acgs-perf report report.json --format json | jq '.services[].requests.latency.p99_ns'";

/// How to show the report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Summary for the terminal
    #[default]
    Text,
    /// The report as it was written
    Json,
}

/// Show a saved report
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Report that `acgs-perf record --output` wrote
    pub file: PathBuf,
    /// How to show it
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Runs the command and returns the exit code.
///
/// # Errors
/// If the report cannot be read, is not one, or was changed; exit code 2.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let document = report::load_document(&args.file)?;
    let text = match args.format {
        Format::Text => output::text::render(&document.report, output::width()),
        Format::Json => document.to_json()?,
    };
    output::print(&text)?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::{analyse, sample};

    #[test]
    fn a_changed_report_is_refused_in_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("r.json");
        let text = report::seal(&mut analyse(&sample::small())).unwrap();
        report::write_atomically(&file, text.replace("\"tiny\"", "\"tidy\"").as_bytes()).unwrap();
        let line = format!("{:#}", run(&Args { file, format: Format::Text }).unwrap_err());
        assert!(line.contains("tampered") && !line.contains('\n'), "{line}");
    }

    #[test]
    fn an_unreadable_file_is_named_once_with_its_reason() {
        let line = format!("{:#}", run(&Args { file: "/nonexistent".into(), format: Format::Json }).unwrap_err());
        assert_eq!(
            line,
            "/nonexistent: cannot read the report: No such file or directory (os error 2); check the path and its permissions"
        );
    }
}
