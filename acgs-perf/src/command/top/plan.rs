//! Everything that can go wrong before a view is shown, checked before anything is attached.
//!
//! In: the arguments. Out: what the engine is to do, and what the person should hear at first; or one line that says what is wrong.

use super::Args;
use crate::command::choice::{self, Choice, need_root};
use crate::command::record::parse_percent;
use crate::discover::Target;
use crate::engine::Setup;
use crate::engine::tuning::Tuning;
use crate::live::probes::{self, PROBES, endpoints};

/// What is dear to read is read after so many intervals: components and endpoints are so old at most.
const REST_EVERY: u32 = 5;

/// What the engine is to do, what the person should know of the choice of services, and whether it is every service that listens.
pub fn setup(args: &Args) -> anyhow::Result<(Setup, Vec<String>, bool)> {
    let mut probes: Vec<_> = match &args.probes {
        Some(list) => probes::parse(list).map_err(|e| anyhow::anyhow!("--probes {list}: {e}"))?,
        None => PROBES.iter().copied().filter(|probe| probe.default && probe.name != "syscalls").collect(),
    };
    probes.retain(|probe| !args.no_endpoints || probe.name != endpoints::PROBE.name);
    let max_overhead = args.max_overhead.as_deref().map(parse_percent).transpose()?;
    let (targets, notes, is_every) = targets(args)?;
    let tuning = Tuning { rest_every: REST_EVERY, max_overhead, ..Tuning::always_on() };
    Ok((Setup { targets, probes, tuning }, notes, is_every))
}

fn targets(args: &Args) -> anyhow::Result<(Vec<Target>, Vec<String>, bool)> {
    let choice = Choice { services: &args.services, config: args.config.as_deref(), keeps_absent: true, waits: true };
    if !choice.is_named() {
        need_root("top")?;
        let (targets, notes) = choice::every()?;
        return Ok((targets, notes, true));
    }
    let specs = choice.specs()?;
    need_root("top")?;
    Ok((choice.targets(&specs)?, Vec::new(), false))
}
