//! `acgs-perf report`: shows a saved report, or analyses a capture again.
//!
//! In: the file of either. Out: the text summary, the JSON, or a trace of the exemplars, on standard output. A report whose digest
//! does not fit its content is refused, with exit code 2; of a damaged capture what is whole is shown, with exit code 2 too.

use std::path::PathBuf;

use anyhow::Context;

use super::open::open;
use crate::output;

/// Examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  acgs-perf report report.json
  acgs-perf report report.json --format json | jq '.services[].requests.latency.p99_ns'
  acgs-perf report report.json --format perfetto > trace.json      # open it at https://ui.perfetto.dev
  acgs-perf report night.capture                                   # what `record --capture` saved, analysed by this version";

/// Show a saved report, or analyse a saved capture
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Report that `acgs-perf record --output` wrote, or capture that `--capture` wrote
    pub file: PathBuf,
    /// How to show it
    #[arg(long, value_enum, default_value_t)]
    pub format: output::Format,
}

/// Runs the command and returns the exit code.
///
/// # Errors
/// If the report cannot be read, is not one, was changed, or has nothing to show in this format; exit code 2.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let opened = open(&args.file)?;
    output::render(args.format, &opened.report, opened.sealed, output::width())
        .with_context(|| args.file.display().to_string())?
        .print()
        .context("standard output")?;
    let Some(damage) = opened.damage else { return Ok(0) };
    output::say(&format!("{}: {damage}", args.file.display()));
    Ok(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::sample::{self, assessed};
    use crate::output::Format;
    use crate::report;

    #[test]
    fn a_changed_report_is_refused_in_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("r.json");
        let text = report::seal(&mut assessed(sample::small())).unwrap();
        report::write_atomically(&file, text.replace("\"tiny\"", "\"tidy\"").as_bytes()).unwrap();
        let line = format!("{:#}", run(&Args { file, format: Format::Text }).unwrap_err());
        assert!(line.contains("tampered") && !line.contains('\n'), "{line}");
    }

    #[test]
    fn a_report_without_exemplars_is_no_trace() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("r.json");
        let text = report::seal(&mut assessed(sample::small())).unwrap();
        report::write_atomically(&file, text.as_bytes()).unwrap();
        let line = format!("{:#}", run(&Args { file, format: Format::Perfetto }).unwrap_err());
        assert!(line.contains("r.json: the report holds no exemplars") && !line.contains('\n'), "{line}");
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
