//! Everything that can go wrong before a recording, checked before anything is attached.
//!
//! In: the arguments. Out: a [`Plan`] that can be carried out, or one line that says what, where and what to do.

use std::ffi::OsString;
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::Args;
use super::wait::{Needed, until_running};
use crate::command::choice::{self, Choice, need_root};
use crate::command::deliver::Destination;
use crate::discover::Target;
use crate::engine::Setup;
use crate::engine::tuning::Tuning;
use crate::live::probes::{self, PROBES, endpoints};
use crate::{output, report, time};

/// Without `--duration` and without a command.
const DEFAULT_DURATION: Duration = Duration::from_secs(30);
const MIN_DURATION: Duration = Duration::from_millis(10);
/// Over a year: surely a mistake.
const MAX_DURATION: Duration = Duration::from_secs(366 * 24 * 3600);
const MIN_INTERVAL: Duration = Duration::from_millis(100);
/// Maps that `--tuning` takes: those of which the kernel side may find fewer entries than usual.
const RESIZABLE: &[&str] =
    &["MORE_MEMBERS_OF", "ERRNO", "PEER", "PREEMPTOR", "PARKED", "BLOCK_IO_IN_FLIGHT", "DOWNSTREAM_PEER", "EXEMPLARS"];

/// What to record, and where the report goes.
pub struct Plan {
    /// What the engine is to do; taken once.
    setup: Setup,
    /// The services and their processes now.
    pub targets: Vec<Target>,
    /// `None`: until the command ends.
    pub duration: Option<Duration>,
    /// Where the report goes.
    pub output: Destination,
    /// The command to run, empty for none.
    pub command: Vec<OsString>,
}

impl Plan {
    /// Whether the report goes to standard output.
    pub fn is_to_stdout(&self) -> bool {
        self.output == Destination::Stdout
    }

    /// What the engine is to do.
    pub fn take_setup(&mut self) -> Setup {
        let empty = Setup { targets: Vec::new(), probes: Vec::new(), tuning: Tuning::default() };
        std::mem::replace(&mut self.setup, empty)
    }

    /// Checks the arguments against each other and against the host.
    pub fn new(args: &Args) -> anyhow::Result<Self> {
        let duration = match &args.duration {
            Some(text) => Some(parse_duration("--duration", text)?),
            None if args.command.is_empty() => Some(DEFAULT_DURATION),
            None => None,
        };
        let wait = args.wait.as_deref().map(|text| parse_duration("--wait", text)).transpose()?;
        let interval = parse_time("--interval", &args.interval)?;
        if interval < MIN_INTERVAL {
            bail!("--interval {}: too short; the shortest is 100ms", args.interval);
        }
        let mut probes: Vec<_> = match &args.probes {
            Some(list) => probes::parse(list).map_err(|e| anyhow::anyhow!("--probes {list}: {e}"))?,
            None => PROBES.iter().copied().filter(|probe| probe.default).collect(),
        };
        probes.retain(|probe| !args.no_endpoints || probe.name != endpoints::PROBE.name);
        let max_overhead = args.max_overhead.as_deref().map(parse_percent).transpose()?;
        if let Some(program) = args.command.first() {
            which::which(program).map_err(|e| anyhow::anyhow!("cannot run {}: {e}", program.to_string_lossy()))?;
        }
        let is_listed = !args.services.is_empty();
        let choice = Choice {
            services: &args.services,
            config: args.config.as_deref(),
            // Of a catalogue, only what runs here is recorded; what was named is recorded also if it starts later, as long as
            // something was found or a command is about to start it.
            keeps_absent: is_listed,
            waits: is_listed && !args.command.is_empty(),
        };
        let specs = choice.specs()?;
        need_root("record")?;
        let output = Destination::new(args.output.as_deref());
        output.check().context("--output")?;
        if let Some(path) = &args.capture {
            report::check_writable(path).context("--capture")?;
        }
        if let Some(most) = wait {
            until_running(&specs, if is_listed { Needed::All } else { Needed::One }, most)?;
        }
        let targets = match args.all {
            true => {
                let (targets, notes) = choice::every()?;
                notes.iter().for_each(|note| output::note(note));
                targets
            }
            false => choice.targets(&specs)?,
        };
        let mut tuning = Tuning { interval, measure_cost: args.measure_cost, max_overhead, ..Tuning::default() };
        args.tuning.iter().flat_map(|list| list.split(',')).try_for_each(|text| tune(&mut tuning, text))?;
        let setup = Setup { targets: targets.clone(), probes, tuning };
        Ok(Self { setup, targets, duration, output, command: args.command.clone() })
    }
}

fn parse_duration(option: &str, text: &str) -> anyhow::Result<Duration> {
    let duration = parse_time(option, text)?;
    if duration < MIN_DURATION {
        bail!("{option} {text}: too short; the shortest is 10ms");
    }
    if duration > MAX_DURATION {
        bail!("{option} {text}: over a year; write for example 30s or 24h");
    }
    Ok(duration)
}

/// Parses what `--max-overhead` takes.
pub fn parse_percent(text: &str) -> anyhow::Result<f64> {
    match text.parse::<f64>() {
        Ok(percent) if percent > 0.0 && percent <= 100.0 => Ok(percent),
        _ => bail!("--max-overhead {text}: want a percentage above 0 and at most 100, for example 0.5"),
    }
}

/// Takes one word of `--tuning`.
fn tune(tuning: &mut Tuning, text: &str) -> anyhow::Result<()> {
    let number = |value: &str| value.parse().ok().filter(|number| *number > 0);
    match text.split_once('=').map_or((text, None), |(name, value)| (name, number(value))) {
        ("standby", None) => tuning.debug.standby = true,
        ("speed", Some(factor)) => tuning.speed = factor,
        (name, Some(entries)) if RESIZABLE.contains(&name) => tuning.debug.map_entries.push((name.to_owned(), entries)),
        _ => {
            bail!("--tuning {text}: want standby, speed=FACTOR, or NAME=ENTRIES with NAME of {}", RESIZABLE.join(", "))
        }
    }
    Ok(())
}

/// Parses a time such as `30s`; a number alone is seconds.
///
/// # Errors
/// If it is none.
pub fn parse_time(option: &str, text: &str) -> anyhow::Result<Duration> {
    time::length(text).map_err(|e| anyhow::anyhow!("{option} {text}: {e}; write for example 30 (seconds), 500ms or 5m"))
}
