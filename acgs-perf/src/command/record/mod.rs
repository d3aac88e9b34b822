//! `acgs-perf record`: attach to running services, count for a while, write the report.
//!
//! In: the command line. Out: the JSON report in a file, a summary on standard output. `plan` checks everything that can be
//! checked before anything is attached; `recorder` drives the kernel side; `child` runs the COMMAND; `deliver` finds a place for
//! the report.

mod against;
mod check;
mod child;
mod plan;
mod progress;
mod recorder;
mod signals;
mod wait;

pub(crate) use plan::{parse_percent, parse_time};
pub(crate) use recorder::ending;
pub(crate) use signals::Signals;

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::command::baseline::runs;
use crate::command::deliver;
use crate::live::{memory, probes};
use crate::output::{self, Format, Rendered};
use crate::{analysis, report};

/// Examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  sudo acgs-perf record                                              # the ACGS catalogue, 30 seconds
  sudo acgs-perf record --all --duration 10s                         # whatever listens here
  sudo acgs-perf record --service api=port:8000 --duration 10          # seconds
  sudo acgs-perf record --service api=port:8000 --service db=comm:postgres --output before.json
  sudo acgs-perf record --service api=port:8000 --wait --duration 1m    # begins when it runs
  sudo acgs-perf record --service redis=port:6379 -- redis-benchmark -t get -n 1000000
  sudo acgs-perf record --service api=port:8000 -- acgs-perf load http://127.0.0.1:8000/    # with the client's side
  sudo acgs-perf record --duration 8h --capture night.capture          # to be analysed again later
  sudo acgs-perf record --interval 200ms --save-baseline main            # what later ones are compared with
  sudo acgs-perf record --interval 200ms --against main --check --junit results.xml --markdown summary.md
A SELECTOR is port:8016 | pid:123 | comm:redis-server | exe:/path | cmdline:REGEX | cgroup:PATH | unit:NAME | unix:PATH;
several joined by ',' must all hold. Ctrl-C, SIGTERM and a terminal that hangs up end a recording early, with its report.
Without --output no report is replaced: report.json, report-2.json, … A report that cannot go where it was asked for goes
to the directory for temporary files, or to standard output, and the exit code is 2.";

/// Arguments of `acgs-perf record`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Record for this long, such as 30 (seconds), 500ms or 5m [default: 30s, or as long as COMMAND runs]
    #[arg(long, value_name = "TIME")]
    pub duration: Option<String>,
    /// Record this service; may be given several times [default: the services of the catalogue that run here]
    #[arg(long = "service", value_name = "NAME=SELECTOR")]
    pub services: Vec<String>,
    /// Take services and objectives from this file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Record every service that listens on TCP, named by command and port: at most 64, the busiest; the others are named
    #[arg(long, conflicts_with_all = ["services", "config"])]
    pub all: bool,
    /// Wait until the services run, for TIME at most, and begin then: each that --service names, or one of those of --config or
    /// the catalogue [default of TIME: 10m]
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "10m", conflicts_with_all = ["all", "command"])]
    pub wait: Option<String>,
    /// Write the report here, over what is there; - is standard output [default: report.json, or the first of report-2.json,
    /// report-3.json, … that is not there yet]
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// What to write
    #[arg(long, value_enum, default_value_t = Format::Json)]
    pub format: Format,
    /// Show all figures when it has ended, not only the first screen
    #[arg(long)]
    pub details: bool,
    /// Say nothing on standard error but what is wrong
    #[arg(long, short)]
    pub quiet: bool,
    /// Save the recording itself too, over what is there, so that it can be analysed again with `acgs-perf report FILE`
    #[arg(long, value_name = "FILE")]
    pub capture: Option<PathBuf>,
    /// Which probes to use; the help has their names from the list of all
    #[arg(long, value_name = "LIST", help = probes_help())]
    pub probes: Option<String>,
    /// Do not follow what is said on connections: no names of requests, and what is read until a reply counts as one request
    #[arg(long)]
    pub no_endpoints: bool,
    /// Distance of the points of the time series
    #[arg(long, value_name = "TIME", default_value = "1s")]
    pub interval: String,
    /// Have the kernel time its programs, and report their cost, which adds a little to each run
    #[arg(long)]
    pub measure_cost: bool,
    /// Stop probes, the costliest first, while the measurement takes more than this share of the host's whole CPU capacity,
    /// which is the CPU time of all online CPUs together: kernel programs and agent; a decimal, above 0 and at most 100
    #[arg(long, value_name = "PERCENT")]
    pub max_overhead: Option<String>,
    /// For tests: standby, speed=FACTOR, or other sizes of maps as NAME=ENTRIES, separated by commas
    #[arg(long, value_name = "LIST", hide = true)]
    pub tuning: Option<String>,
    /// Exit with 1 unless every service meets its objective, next to nothing was lost, and nothing is worse than with --against
    #[arg(long)]
    pub check: bool,
    /// With --check: a service that was offered fewer requests than its objective asks for is no failure
    #[arg(long, requires = "check")]
    pub allow_untested: bool,
    /// With --check: any event that was lost is a failure, also where these are fewer than 0.1 % of the requests
    #[arg(long, requires = "check")]
    pub strict: bool,
    /// Add the recording to this baseline, as one more run of it
    #[arg(long, value_name = "NAME")]
    pub save_baseline: Option<String>,
    /// Compare with this baseline while it runs; the recording ends early when something is worse beyond doubt
    #[arg(long, value_name = "NAME")]
    pub against: Option<String>,
    /// Where the baselines are
    #[arg(long, value_name = "DIR", default_value = runs::DIRECTORY)]
    pub baseline_dir: PathBuf,
    /// Write the results of --check here, for a pipeline: JUnit's XML
    #[arg(long, value_name = "FILE", requires = "check")]
    pub junit: Option<PathBuf>,
    /// Write them here for a pull request, in Markdown, with the comparison if there is one
    #[arg(long, value_name = "FILE", requires = "check")]
    pub markdown: Option<PathBuf>,
    /// Record for as long as this command runs
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

fn probes_help() -> String {
    let off = probes::off_by_default().join(", ");
    let default = if off.is_empty() { "all".to_owned() } else { format!("all but {off}") };
    format!("Which probes to use: a comma-separated list of {} [default: {default}]", probes::names().join(", "))
}

/// Runs the command; errors are for the caller to map to exit code 2.
///
/// # Errors
/// Wrong usage or an environment in which nothing can be recorded; nothing was written then. What fails once counting has begun is
/// none: the report goes elsewhere, or says what it lacks.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    // What has read the command line, and later what has recorded, runs no more.
    memory::give_files_back();
    let mut plan = plan::Plan::new(args)?;
    let mut against = check::prepare(args, &plan.targets)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the event loop")?;
    let capture = runtime.block_on(recorder::record(&mut plan, against.as_mut(), args.quiet))?;
    memory::give_files_back();
    let mut is_saved = match &args.capture {
        Some(path) => deliver::capture(path, &capture),
        None => true,
    };
    let judged = against.map(|against| against.judge(&capture));
    let mut report = output::words::said(analysis::analyse(&capture));
    memory::give_files_back();
    let sealed = report::seal_to_fit(&mut report);
    let mut summary = match args.details {
        true => output::text::render(&report, output::width()),
        false => output::text::summary(&report, output::width()),
    };
    if let Some(judged) = &judged {
        let compared = output::text::compare::render(&judged.comparison, output::width());
        summary.line("");
        summary.lines(compared.as_str().lines());
    }
    let content = match sealed {
        Ok(json) => output::render(args.format.detailed(args.details), &report, json.clone(), output::width())
            .unwrap_or_else(|error| {
                output::say(&format!("{error}; the report is written as JSON"));
                Rendered::Json(json)
            }),
        Err(error) => {
            output::say(&format!("the report cannot be written as JSON: {error}; its summary goes to standard output"));
            output::print(&summary).context("standard output")?;
            return Ok(2);
        }
    };
    let wanted = check::Strictness { allow_untested: args.allow_untested, strict: args.strict };
    let results = check::results(&report, wanted, judged.as_ref());
    let of_grade = |grade| results.iter().filter_map(move |of| of.line(grade)).collect::<Vec<String>>();
    let failed = of_grade(check::Grade::Failed);
    let refused = judged.as_ref().and_then(|judged| judged.refused.as_ref());
    refused.iter().for_each(|why| output::say(why));
    if args.check {
        failed.iter().for_each(|failure| output::say(&format!("check failed: {failure}")));
        of_grade(check::Grade::Warning).iter().for_each(|warning| output::say(&format!("warning: {warning}")));
        is_saved &= check::write(args, &results, judged.as_ref());
    }
    is_saved &= check::save(args, &capture);
    let code = match capture.context.ended_by.exit_code() {
        _ if !is_saved => 2,
        0 if refused.is_some() => 2,
        0 if args.check && !failed.is_empty() => 1,
        code => code,
    };
    deliver::deliver(&plan.output, &content, &summary, code)
}
