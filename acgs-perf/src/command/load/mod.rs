//! `acgs-perf load`: sends requests when they are due, whether the server keeps up or not, and says how long they took.
//!
//! In: the command line. Out: the result on standard output, as text or JSON; exit code 1 if a condition of `--fail-on` holds. Beneath
//! `acgs-perf record … -- acgs-perf load …` the result also goes to `record`, which shows it beside the server's side. `plan` checks
//! everything before anything is sent.

mod near;
mod plan;
mod result;
mod shape;
mod signals;
mod target;
mod threshold;
mod url;

use std::path::PathBuf;

use anyhow::Context as _;

use crate::command::handover;
use crate::output::{self, Rendered, text};
use crate::{analysis, report};

/// Examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  acgs-perf load http://127.0.0.1:8000/health --rate 1000 --duration 30s
  acgs-perf load http://127.0.0.1:8000/api --header 'Content-Type: application/json' --body '{\"a\":1}' --arrivals poisson
  acgs-perf load redis://127.0.0.1:6379 --command 'GET key' --command 'SET key 1' --rate 20000 --connections 64
  acgs-perf load postgres://postgres@127.0.0.1/postgres --query 'SELECT 1' --extended
  acgs-perf load http://127.0.0.1:8000/ --rate 100..1000 --steps 10 --duration 30s     # where does it break?
  acgs-perf load http://127.0.0.1:8000/ --arrivals replay:night.capture                # as many requests as then, second by second
  acgs-perf load http://127.0.0.1:8000/ --rate 500 --fail-on 'p99>5ms' --fail-on 'errors>1%' || echo too slow
  sudo acgs-perf record --service api=port:8000 -- acgs-perf load http://127.0.0.1:8000/    # both sides in one report
Without --rate, 200 requests per second; without --duration and --requests, 10 seconds. Only servers of this host are loaded, unless
--allow-remote is given. Ctrl-C ends a load early, with its result.
Exit codes: 0 ok, 1 a condition of --fail-on holds, 2 wrong usage or nobody answers, 143 after SIGTERM.";

/// Arguments of `acgs-perf load`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to load: http://host:port/path, redis://host:port or postgres://user@host:port/database
    pub url: String,
    /// Requests per second, such as 1000; 100..1000 grows evenly, or in --steps [default: 200]
    #[arg(long, value_name = "RATE")]
    pub rate: Option<String>,
    /// From one rate to the other in this many steps
    #[arg(long, value_name = "COUNT")]
    pub steps: Option<usize>,
    /// How requests arrive: constant, poisson, or replay:CAPTURE for as many in each interval as a recorded service answered then
    #[arg(long, value_name = "HOW", default_value = "constant")]
    pub arrivals: String,
    /// Which service of the capture to replay
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
    /// Of random arrivals: the same seed gives the same moments
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// A closed loop instead: each connection sends when its reply came. What a stalled server keeps from being sent is not seen then
    #[arg(long, conflicts_with_all = ["rate", "steps", "arrivals", "service"])]
    pub closed: bool,
    /// Send for this long, such as 30s [default: 10s, or as long as --requests take]
    #[arg(long, value_name = "TIME")]
    pub duration: Option<String>,
    /// Send at most this many requests
    #[arg(long, value_name = "COUNT")]
    pub requests: Option<u64>,
    /// Connections, which are kept; each has one request at a time
    #[arg(long, value_name = "COUNT", default_value_t = 16)]
    pub connections: usize,
    /// A request that takes longer has failed, and its connection is made anew
    #[arg(long, value_name = "TIME", default_value = "5s")]
    pub timeout: String,
    /// Connect to this UNIX socket instead of host and port
    #[arg(long, value_name = "PATH")]
    pub unix: Option<PathBuf>,
    /// HTTP: the method [default: GET, or POST with --body]
    #[arg(long, value_name = "METHOD")]
    pub method: Option<String>,
    /// HTTP: a header, as 'Name: value'; may be given several times
    #[arg(long = "header", value_name = "HEADER")]
    pub headers: Vec<String>,
    /// HTTP: the body of each request
    #[arg(long, value_name = "TEXT")]
    pub body: Option<String>,
    /// Redis: a command, such as 'GET key'; several take turns [default: PING]
    #[arg(long = "command", value_name = "COMMAND")]
    pub commands: Vec<String>,
    /// PostgreSQL: a query; several take turns [default: SELECT 1]
    #[arg(long = "query", value_name = "SQL")]
    pub queries: Vec<String>,
    /// PostgreSQL: prepare the queries once on each connection, then bind and execute
    #[arg(long)]
    pub extended: bool,
    /// Exit with 1 if this holds: p99>5ms, uncorrected.p99>5ms, lateness.p99>1ms, errors>1%, errors>10, rate<900; may be given several
    /// times
    #[arg(long, value_name = "CONDITION")]
    pub fail_on: Vec<String>,
    /// How to show the result
    #[arg(long, value_enum, default_value_t)]
    pub format: result::Format,
    /// Write the result as JSON here too, over what is there
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Load also a server that is not on this host
    #[arg(long)]
    pub allow_remote: bool,
}

/// Runs the command and returns the exit code.
///
/// # Errors
/// Wrong usage, or nobody answers there; exit code 2.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    if let Some(path) = &args.output {
        report::check_writable(path).context("--output")?;
    }
    let mut plan = plan::Plan::new(args)?;
    let run = plan.carry_out()?;
    if let Err(error) = handover::give(&run) {
        output::note(&format!("`record` does not get this result: {error:#}"));
    }
    let client = analysis::client(&run);
    let failures: Vec<String> = plan.thresholds.iter().filter_map(|threshold| threshold.failure(&client)).collect();
    let json = result::json(&client, &failures)?;
    if let Some(path) = &args.output {
        report::write_atomically(path, json.as_bytes()).context("--output")?;
    }
    let rendered = match args.format {
        result::Format::Text => {
            Rendered::Page(text::client::alone(&client, env!("CARGO_PKG_VERSION"), output::width()))
        }
        result::Format::Json => Rendered::Json(json),
    };
    rendered.print().context("standard output")?;
    failures.iter().for_each(|failure| output::say(&format!("check failed: {failure}")));
    Ok(match signals::ended_by() {
        Some(libc::SIGTERM) => 143,
        _ => u8::from(!failures.is_empty()),
    })
}
