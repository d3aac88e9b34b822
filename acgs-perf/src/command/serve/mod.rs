//! `acgs-perf serve`: records for ever, into a ring on disk.
//!
//! In: the command line. Out: the ring, from which `report --from --to` takes any time that is still there; and metrics over HTTP, from
//! a process of its own. `plan` checks what can be checked before anything is attached; `keeper` keeps what the engine gives.

mod keeper;
mod network;
mod plan;
mod signals;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::engine::thread::{Event, Recording};
use crate::live::{memory, rights};
use crate::output;
use crate::serve::alerts::watch::Watch;
use crate::serve::link::Link;
use crate::snapshot::Ending;
use crate::store;
use keeper::Keeper;
use plan::Plan;
use signals::{Received, Signals};

/// Examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  sudo acgs-perf serve --config /etc/acgs-perf.toml
  sudo acgs-perf serve --service api=port:8000 --state-dir /var/lib/acgs-perf
  sudo acgs-perf serve --config /etc/acgs-perf.toml --listen 127.0.0.1:9187       # and curl http://127.0.0.1:9187/metrics
  sudo acgs-perf report --from 03:05 --to 03:20       # what happened then, also while it runs
SIGHUP has it read its configuration again; SIGTERM and SIGINT end it, with exit code 0.";

/// A context is written after so many intervals: what was read of the host may be so old.
const CONTEXT_EVERY: u32 = 60;

/// Arguments of `acgs-perf serve`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Record this service; may be given several times [default: the services of the catalogue that run here]
    #[arg(long = "service", value_name = "NAME=SELECTOR")]
    pub services: Vec<String>,
    /// Take services and objectives from this file; SIGHUP has it read again
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the ring of intervals is
    #[arg(long, value_name = "DIR", default_value = store::DIRECTORY)]
    pub state_dir: PathBuf,
    /// The ring takes at most so much, such as 64M or 1G
    #[arg(long, value_name = "BYTES", default_value = "64M")]
    pub state_bytes: String,
    /// Show metrics at this address, such as 127.0.0.1:9187; beyond loopback only with TLS and a token or certificates of clients
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// Who comes over the network, and who is told
    #[command(flatten)]
    pub network: network::Args,
    /// Give alerts as JSON to this program on standard input; a whole path [default: that of the configuration, and standard error]
    #[arg(long, value_name = "PROGRAM")]
    pub alert_command: Option<String>,
    /// Post alerts as JSON to this URL of loopback, such as http://127.0.0.1:9095/hook
    #[arg(long, value_name = "URL")]
    pub alert_webhook: Option<String>,
    /// Watch no objective: a Prometheus does (`acgs-perf alerts`)
    #[arg(long, conflicts_with_all = ["alert_command", "alert_webhook"])]
    pub no_alerts: bool,
    /// For tests: the windows of alerts pass so many times as fast
    #[arg(long, value_name = "FACTOR", hide = true, default_value_t = 1)]
    pub alert_speed: u32,
    /// Which probes to use, separated by commas [default: all but those that cost most, as record]
    #[arg(long, value_name = "LIST")]
    pub probes: Option<String>,
    /// Do not follow what is said on connections: no names of requests, and what is read until a reply counts as one request
    #[arg(long)]
    pub no_endpoints: bool,
    /// Stop probes, the costliest first, while the measurement takes more than this share of the host's whole CPU capacity
    #[arg(long, value_name = "PERCENT")]
    pub max_overhead: Option<String>,
}

/// Runs the command; errors are for the caller to map to exit code 2.
///
/// # Errors
/// Wrong usage, or an environment in which nothing can be recorded or kept; nothing was recorded then.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    // What has read the command line runs no more.
    memory::give_files_back();
    let plan = Plan::new(args)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the event loop")?;
    runtime.block_on(serve(args, plan))
}

async fn serve(args: &Args, plan: Plan) -> anyhow::Result<u8> {
    // Before anything is attached: from here on a signal ends the recording, not the process.
    let mut signals = Signals::catch().context("cannot catch signals")?;
    // The network-facing process has been given away; from here on no thread has more than it takes to start a recording.
    rights::keep(rights::RECORD_TIMED).and_then(|()| rights::hide_memory()).context("cannot give up capabilities")?;
    store::check_writable(&args.state_dir).context("--state-dir")?;
    let names = names(&plan);
    let link = plan.side.map(|side| Link::start(side, &args.state_dir)).transpose()?;
    let kept = plan.feeder.map(|feeder| feeder.start(link.as_ref().map(Link::teller))).transpose()?;
    let mut keeper = Keeper::new(plan.ring, link, kept, plan.alerts.map(Watch::start).transpose()?);
    let mut recording = Recording::start(plan.setup, None, Some(CONTEXT_EVERY))?;
    // For a configuration that is read again; the engine's thread loads what it says.
    rights::keep(rights::LOOK).context("cannot give up capabilities")?;
    let scheme = if args.network.tls_cert.is_some() { "https" } else { "http" };
    let shown = args.listen.map(|address| format!(", metrics at {scheme}://{address}/metrics")).unwrap_or_default();
    output::say(&format!("serving {names} until it is ended; intervals go to {}{shown}", args.state_dir.display()));
    keeper.ready(&names);
    let ending = loop {
        tokio::select! {
            biased;
            received = signals.received() => match received {
                Received::End(ending) => break ending,
                Received::Reload => reload(args, &recording, &mut keeper),
            },
            event = recording.events.recv() => match event {
                Some(Event::Ended(ended)) => break super::record::ending(ended),
                Some(event) => keeper.take(event),
                None => break Ending::EngineLost,
            },
        }
    };
    keeper.stopping();
    let (finished, rest) = recording.finish()?;
    rest.into_iter().for_each(|event| keeper.take(event));
    keeper.finish(finished);
    Ok(match ending {
        // To be ended is what it waits for.
        Ending::Terminated | Ending::Interrupted => 0,
        other => {
            output::say(&format!("it has ended: {other}"));
            other.exit_code()
        }
    })
}

/// Reads the configuration again. What is wrong with it is said, and nothing changes then.
fn reload(args: &Args, recording: &Recording, keeper: &mut Keeper) {
    keeper.reloading();
    match args.network.access(args.listen) {
        Ok(access) => keeper.let_in(access),
        Err(error) => output::complain(&error.context("certificate and token stay as they were")),
    }
    match plan::setup(args) {
        Ok(setup) => recording.replace(setup),
        Err(error) => {
            output::complain(
                &error.context("the configuration is not taken over, and the recording goes on as before"),
            );
            keeper.ready_again();
        }
    }
}

fn names(plan: &Plan) -> String {
    plan.setup.targets.iter().map(|target| target.spec.name.clone()).collect::<Vec<_>>().join(", ")
}
