//! `acgs-perf report`: shows a saved report.
//!
//! In: a report file. Out: its text summary, its JSON, or a trace of its exemplars, on standard output. A report whose digest does not fit its
//! content is refused, with exit code 2.

use std::path::PathBuf;

use anyhow::Context;

use crate::{output, report};

/// Examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  acgs-perf report report.json
  acgs-perf report report.json --format json | jq '.services[].requests.latency.p99_ns'
  acgs-perf report report.json --format perfetto > trace.json      # open it at https://ui.perfetto.dev";

/// Show a saved report
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Report that `acgs-perf record --output` wrote
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
    let document = report::load_document(&args.file)?;
    output::render(args.format, &document.report, document.to_json()?, output::width())
        .with_context(|| args.file.display().to_string())?
        .print()
        .context("standard output")?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::{analyse, sample};
    use crate::output::Format;

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
    fn a_report_without_exemplars_is_no_trace() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("r.json");
        let text = report::seal(&mut analyse(&sample::small())).unwrap();
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
