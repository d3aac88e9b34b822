//! Everything that can go wrong before an agent serves, checked before anything is attached.
//!
//! In: the arguments. Out: a [`Plan`] that can be carried out, or one line that says what, where and what to do.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context as _, bail};

use super::Args;
use crate::command::choice::{Choice, need_root};
use crate::command::record::parse_percent;
use crate::discover::config;
use crate::engine::Setup;
use crate::engine::tuning::Tuning;
use crate::live::probes::{self, PROBES, endpoints};
use crate::serve;
use crate::serve::access::Access;
use crate::serve::alerts::runner::Runner;
use crate::serve::alerts::target::Targets;
use crate::serve::alerts::watch;
use crate::serve::otlp::{self, Config, Feeder};
use crate::store::{self, Limits, Ring};

/// What to record, and where to.
pub struct Plan {
    /// What the engine is to do.
    pub setup: Setup,
    /// Where intervals go.
    pub ring: Ring,
    /// The way to the network-facing process.
    pub side: Option<UnixStream>,
    /// What feeds the process that exports.
    pub feeder: Option<Feeder>,
    /// Who watches the objectives.
    pub alerts: Option<watch::Setup>,
}

impl Plan {
    /// Checks the arguments against each other and against the host.
    pub fn new(args: &Args) -> anyhow::Result<Self> {
        let access = args.network.access(args.listen)?;
        let exporting = args.network.exporting()?;
        let bytes = parse_bytes(&args.state_bytes)?;
        let setup = setup_if(args, || need_root("serve"))?;
        let ring = Ring::open(&args.state_dir, &Limits::of_bytes(bytes)).context("--state-dir")?;
        let side = args.listen.map(|address| side(address, &access)).transpose()?;
        let feeder = exporting.map(|config| feeder(&config, &args.state_dir)).transpose()?;
        let alerts = if args.no_alerts { None } else { Some(alerts(args)?) };
        Ok(Self { setup, ring, side, feeder, alerts })
    }
}

/// What to record, as the arguments and the configuration say now.
///
/// # Errors
/// What is wrong with them.
pub fn setup(args: &Args) -> anyhow::Result<Setup> {
    setup_if(args, || Ok(()))
}

/// The same if, once the services are understood, `allowed` has nothing against it.
fn setup_if(args: &Args, allowed: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Setup> {
    let mut probes: Vec<_> = match &args.probes {
        Some(list) => probes::parse(list).map_err(|e| anyhow::anyhow!("--probes {list}: {e}"))?,
        None => PROBES.iter().copied().filter(|probe| probe.default && probe.name != "syscalls").collect(),
    };
    probes.retain(|probe| !args.no_endpoints || probe.name != endpoints::PROBE.name);
    let max_overhead = args.max_overhead.as_deref().map(parse_percent).transpose()?;
    let mut choice =
        Choice { services: &args.services, config: args.config.as_deref(), keeps_absent: false, waits: false };
    // Of the catalogue, only what runs here is recorded: each service takes room in the kernel.
    (choice.keeps_absent, choice.waits) = (choice.is_named(), choice.is_named());
    let specs = choice.specs()?;
    allowed()?;
    Ok(Setup { targets: choice.targets(&specs)?, probes, tuning: Tuning { max_overhead, ..Tuning::always_on() } })
}

/// Starts the network-facing process. No thread has been started yet, and nothing is attached.
fn side(address: SocketAddr, access: &Access) -> anyhow::Result<UnixStream> {
    let listener = TcpListener::bind(address).with_context(|| format!("--listen {address}"))?;
    serve::side::fork(listener, access).with_context(|| format!("--listen {address}"))
}

/// Starts the process that exports, as early.
fn feeder(config: &Config, ring: &Path) -> anyhow::Result<Feeder> {
    let to = config.endpoint.authority();
    let stream = otlp::fork(config).with_context(|| format!("--otlp {to}"))?;
    Feeder::new(stream, config.endpoint.clone(), ring).with_context(|| format!("--otlp {to}"))
}

/// Starts the process that tells alerts, if they are to be told to anybody. What the command line names counts before the configuration.
fn alerts(args: &Args) -> anyhow::Result<watch::Setup> {
    let config = args.config.as_deref().map(config::load).transpose()?.map(|config| config.alerts).unwrap_or_default();
    let command: Vec<String> = args.alert_command.clone().map_or(config.command, |program| vec![program]);
    let targets = Targets::new(&command, args.alert_webhook.as_deref().or(config.webhook.as_deref()))?;
    let kinds = targets.kinds();
    let runner = (!kinds.is_empty()).then(|| Runner::fork(targets)).transpose().context("alerts")?;
    let runner = runner.map(|runner| (runner, kinds));
    Ok(watch::Setup { directory: args.state_dir.clone(), runner, speed: args.alert_speed.max(1) })
}

fn parse_bytes(text: &str) -> anyhow::Result<u64> {
    let (number, factor) = match text.trim_end_matches(['B', 'i']) {
        text if text.ends_with(['K', 'k']) => (&text[..text.len() - 1], 1u64 << 10),
        text if text.ends_with('M') => (&text[..text.len() - 1], 1 << 20),
        text if text.ends_with('G') => (&text[..text.len() - 1], 1 << 30),
        text => (text, 1),
    };
    let Some(bytes) = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)) else {
        bail!("--state-bytes {text}: want a size, for example 64M or 1G");
    };
    if bytes < store::MIN_BYTES {
        bail!("--state-bytes {text}: too small; the smallest ring is {}M", store::MIN_BYTES >> 20);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_as_people_do() {
        for (text, bytes) in
            [("64M", 64 << 20), ("1G", 1 << 30), ("16MiB", 16 << 20), ("16384k", 16 << 20), ("9000000", 9_000_000)]
        {
            assert_eq!(parse_bytes(text).unwrap(), bytes, "{text}");
        }
        for text in ["", "M", "-64M", "1M", "64T", "99999999999G", "6.4M"] {
            let error = parse_bytes(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("--state-bytes {text}: ")) && !error.contains('\n'), "{error}");
        }
    }
}
