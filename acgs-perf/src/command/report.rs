//! `acgs-perf report`: shows a saved report, analyses a capture again, or a time out of the ring that `serve` writes.
//!
//! In: the file of either, or begin and end. Out: the text summary, the JSON, or a trace of the exemplars, on standard output. A report
//! whose digest does not fit its content is refused, with exit code 2; of a damaged capture what is whole is shown, with exit code 2
//! too.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};

use super::open::{Opened, open};
use crate::output::{self, words};
use crate::store::{self, Wanted};
use crate::time;
use crate::{analysis, report};

/// Examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  acgs-perf report report.json
  acgs-perf report report.json --format json | jq '.services[].requests.latency.p99_ns'
  acgs-perf report night.capture --format html > night.html         # one page for a browser
  acgs-perf report report.json --format markdown                   # for a pull request
  acgs-perf report report.json --format perfetto > trace.json      # open it at https://ui.perfetto.dev
  acgs-perf report night.capture                                   # what `record --capture` saved, analysed by this version
  sudo acgs-perf report --from 03:05 --to 03:20                    # what `serve` has recorded then
  sudo acgs-perf report --from 15m --service api                   # in the last quarter of an hour, of one service";

/// Show a saved report, analyse a saved capture, or a time that `serve` has recorded
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Report that `acgs-perf record --output` wrote, or capture that `--capture` wrote
    #[arg(required_unless_present = "from")]
    pub file: Option<PathBuf>,
    /// Of what `acgs-perf serve` has recorded, from this time on: 03:05, 2026-11-29T03:05 (local; UTC with Z), or 15m ago
    #[arg(long, value_name = "TIME", conflicts_with = "file")]
    pub from: Option<String>,
    /// Until this time [default: now]
    #[arg(long, value_name = "TIME", requires = "from")]
    pub to: Option<String>,
    /// Only this service
    #[arg(long, value_name = "NAME", requires = "from")]
    pub service: Option<String>,
    /// Where `acgs-perf serve` writes
    #[arg(long, value_name = "DIR", requires = "from", default_value = store::DIRECTORY)]
    pub state_dir: PathBuf,
    /// How to show it
    #[arg(long, value_enum, default_value_t)]
    pub format: output::Format,
}

/// Runs the command and returns the exit code.
///
/// # Errors
/// If the report cannot be read, is not one, was changed, or has nothing to show in this format; exit code 2.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let (opened, name) = match (&args.file, &args.from) {
        (Some(file), _) => (open(file)?, file),
        (None, Some(from)) => (of_time(args, from)?, &args.state_dir),
        (None, None) => bail!("name a report, a capture, or a time with --from"),
    };
    output::render(args.format, &opened.report, opened.sealed, output::width())
        .with_context(|| name.display().to_string())?
        .print()
        .context("standard output")?;
    let Some(damage) = opened.damage else { return Ok(0) };
    output::say(&format!("{}: {damage}", name.display()));
    Ok(2)
}

fn of_time(args: &Args, from: &str) -> anyhow::Result<Opened> {
    let now_unix_ns = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
    let from_unix_ns = time::parse("--from", from, now_unix_ns)?;
    let to_unix_ns = args.to.as_deref().map_or(Ok(now_unix_ns), |to| time::parse("--to", to, now_unix_ns))?;
    if to_unix_ns <= from_unix_ns {
        bail!("--to {} is not after --from {from}", args.to.as_deref().unwrap_or("now"));
    }
    of_ring(&args.state_dir, &Wanted { from_unix_ns, to_unix_ns, service: args.service.clone() })
}

/// The report of a time out of a ring.
fn of_ring(directory: &Path, wanted: &Wanted) -> anyhow::Result<Opened> {
    let found = store::capture(directory, wanted)?;
    let mut report = words::said(analysis::analyse(&found.capture));
    let sealed = report::seal_to_fit(&mut report).with_context(|| directory.display().to_string())?;
    Ok(Opened { report, sealed, damage: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::sample::{self, assessed};
    use crate::output::Format;
    use crate::report;

    fn args(file: PathBuf, format: Format) -> Args {
        Args { file: Some(file), from: None, to: None, service: None, state_dir: PathBuf::new(), format }
    }

    #[test]
    fn a_changed_report_is_refused_in_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("r.json");
        let text = report::seal(&mut assessed(sample::small())).unwrap();
        report::write_atomically(&file, text.replace("\"tiny\"", "\"tidy\"").as_bytes()).unwrap();
        let line = format!("{:#}", run(&args(file, Format::Text)).unwrap_err());
        assert!(line.contains("tampered") && !line.contains('\n'), "{line}");
    }

    #[test]
    fn a_report_without_exemplars_is_no_trace() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("r.json");
        let text = report::seal(&mut assessed(sample::small())).unwrap();
        report::write_atomically(&file, text.as_bytes()).unwrap();
        let line = format!("{:#}", run(&args(file, Format::Perfetto)).unwrap_err());
        assert!(line.contains("r.json: the report holds no exemplars") && !line.contains('\n'), "{line}");
    }

    #[test]
    fn an_unreadable_file_is_named_once_with_its_reason() {
        let line = format!("{:#}", run(&args("/nonexistent".into(), Format::Json)).unwrap_err());
        assert_eq!(
            line,
            "/nonexistent: cannot read the report: No such file or directory (os error 2); check the path and its permissions"
        );
    }
}
