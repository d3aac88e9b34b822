//! The probes: sets of hooks that one can switch, one file each. To add a probe, write its file here, its hooks in the kernel
//! crate, what both sides share in `acgs-perf-common`, and add it to [`PROBES`]: what it counts goes by its tables into the report,
//! the schema and the text.
//!
//! In: the kernel's BTF, the names that the user chose. Out: a [`Choice`] per probe.

pub mod attribution;
pub mod block_io;
pub mod called_endpoints;
pub mod endpoints;
pub mod memory;
pub mod process;
pub mod request;
pub mod sched;
pub mod syscalls;
pub mod tcp;

use acgs_perf_common::fields::FieldName;
use acgs_perf_common::maps::counter_block;

use super::btf::Btf;
use super::hooks::{self, Hook, Program};
use super::maps::Maps;
use super::offsets;
use super::status::{ProbeState, ProbeStatus};
use super::table::TableSpec;
use crate::sums::{Key, Sections};

/// A probe: what it measures, with which hooks and maps, and how it is read and stopped.
pub struct ProbeSpec {
    /// Name on the command line and in the report.
    pub name: &'static str,
    /// What it measures, for `--help` and `doctor`.
    pub purpose: &'static str,
    /// Its own hooks, in the order in which they are attached.
    pub hooks: &'static [Hook],
    /// Whether `record` has it on unless told otherwise.
    pub default: bool,
    /// Probes without which it has nothing to work on.
    pub needs: &'static [&'static str],
    /// The global by which the programs of other probes know that it is active.
    pub global: Option<&'static str>,
    /// Kernel fields that it alone reads.
    pub fields: Option<FieldsSpec>,
    /// Its maps.
    pub maps: &'static [MapSpec],
    /// Task iterators.
    pub iterators: Option<Iterators>,
    /// Socket iterators.
    pub sockets: Option<SocketIterators>,
    /// Reads what it has counted for a service, sum by sum since the programs were loaded.
    pub read: fn(&Maps, u32, &mut Sections),
    /// Reads that part of it which is cheap enough to be read every second.
    pub read_often: Option<fn(&Maps, u32, &mut Sections)>,
    /// Reads what it has counted for the recording as a whole, which is no service's.
    pub read_recording: Option<fn(&Maps, &mut Sections)>,
    /// Which of its sections go into the report as tables.
    pub tables: &'static [TableSpec],
    /// Sections that could get ever more rows, and the key of the row that those without one of their own share.
    pub others: &'static [(&'static str, Others)],
    /// How it is stopped while a recording runs.
    pub stop: Stop,
}

/// Gives the key of the row that stands for the others, for a row that gets none of its own.
pub type Others = fn(&Key) -> Key;

/// Kernel fields that a probe alone reads.
pub struct FieldsSpec {
    /// The global that takes their offsets, made by `acgs_perf_common::kernel_fields!`.
    pub global: &'static str,
    /// Their names, in the order of the offsets.
    pub names: &'static [FieldName],
}

/// Programs that go over all threads.
#[derive(Clone, Copy, Debug)]
pub struct Iterators {
    /// Runs once the hooks are attached.
    pub begin: &'static str,
    /// Runs before everything that the probe has counted is read.
    pub refresh: Option<&'static str>,
    /// Runs once they are detached.
    pub settle: Option<&'static str>,
}

impl Iterators {
    /// All of them, each once.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let refresh = self.refresh.filter(|name| *name != self.begin);
        let settle = self.settle.filter(|name| *name != self.begin && Some(*name) != self.refresh);
        [self.begin].into_iter().chain(refresh).chain(settle)
    }
}

/// Programs that go over sockets. Where the kernel refuses them, the probe does without.
#[derive(Clone, Copy, Debug)]
pub struct SocketIterators {
    /// Goes over the sockets that have state in the map `sockets`, at each look.
    pub look: &'static str,
    /// That map.
    pub map: &'static str,
    /// In place of `look` where the kernel refuses that: go over all sockets of a network namespace; name and kind of each.
    pub look_everywhere: &'static [(&'static str, &'static str)],
    /// Run once the hooks are attached, over all sockets of the services' network namespaces: name and kind of each.
    pub begin: &'static [(&'static str, &'static str)],
}

impl SocketIterators {
    /// All of them, with their kind.
    pub fn programs(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let look = [(self.look, "bpf_sk_storage_map")].into_iter().chain(self.look_everywhere.iter().copied());
        look.chain(self.begin.iter().copied())
    }

    /// Those that look, of which a kernel needs the first or the others.
    pub fn looks(self) -> impl Iterator<Item = &'static str> {
        [self.look].into_iter().chain(self.look_everywhere.iter().map(|(name, _)| *name))
    }
}

/// An array or a table of the kernel side whose size the agent sets.
pub struct MapSpec {
    /// Its name in the object.
    pub name: &'static str,
    /// Its entries, by size of the recording; `services` is 0 where the probe is not active.
    pub entries: fn(&Sizes) -> u32,
}

/// What the sizes of maps follow from.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Shards of counters and histograms.
    pub shards: u32,
    /// Services.
    pub services: u32,
}

impl Sizes {
    /// So many entries, or none where the probe is not active.
    #[must_use]
    pub fn if_active(&self, entries: u32) -> u32 {
        if self.services == 0 { 0 } else { entries }
    }
}

/// Who is stopped first when the measurement takes too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Its own hooks tell what stopping it saves; the costliest goes first.
    ByCost,
    /// After those, in this order; `switches` tells the programs of other probes.
    InOrder {
        /// Place.
        place: u32,
        /// Bits of `Switches::bits`.
        switches: u64,
    },
    /// Never.
    Never,
}

/// All probes, in the order in which they are attached.
pub const PROBES: &[&ProbeSpec] = &[
    // One a line, so that a new one is a new line.
    &sched::PROBE,
    &syscalls::PROBE,
    &tcp::PROBE,
    &request::PROBE,
    &attribution::PROBE,
    &block_io::PROBE,
    &memory::PROBE,
    &endpoints::PROBE,
];

/// The probe with this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static ProbeSpec> {
    PROBES.iter().copied().find(|probe| probe.name == name)
}

/// The key under which a row of this section counts that gets none of its own; `None` for sections that are bounded anyway.
#[must_use]
pub fn others(section: &str) -> Option<Others> {
    let all = PROBES.iter().flat_map(|probe| probe.others);
    all.clone().find(|(name, _)| *name == section).map(|(_, others)| *others)
}

/// The tables of all probes, with the probe.
pub fn tables() -> impl Iterator<Item = (&'static ProbeSpec, &'static TableSpec)> {
    PROBES.iter().flat_map(|probe| probe.tables.iter().map(move |table| (*probe, table)))
}

/// Names of the probes that are off unless they are asked for.
#[must_use]
pub fn off_by_default() -> Vec<&'static str> {
    PROBES.iter().filter(|probe| !probe.default).map(|probe| probe.name).collect()
}

/// Names of all probes.
#[must_use]
pub fn names() -> Vec<&'static str> {
    PROBES.iter().map(|probe| probe.name).collect()
}

/// Maps of every recording: those in which probes count, and those of the service table.
pub const BASE_MAPS: &[MapSpec] = &[
    MapSpec { name: "HISTOGRAMS", entries: |s| acgs_perf_common::maps::histogram_base(s.shards, s.services, 0, 0) },
    MapSpec { name: "COUNTERS", entries: |s| counter_block(s.shards, s.services, 0) },
];

/// A probe on this kernel.
#[derive(Clone)]
pub struct Choice {
    /// What it is.
    pub spec: &'static ProbeSpec,
    /// Its state, for the report.
    pub status: ProbeStatus,
    /// Its programs, if it is active.
    pub programs: Vec<Program>,
    /// The offsets of its own fields, if it is active and has any.
    pub offsets: Vec<u32>,
}

impl Choice {
    /// Whether it counts.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.status.is_active()
    }

    /// It cannot run.
    pub fn fail(&mut self, state: ProbeState, reason: String) {
        self.status.state = state;
        self.status.reason = Some(reason);
        self.programs.clear();
    }
}

/// Parses `--probes`: a comma-separated list.
///
/// # Errors
/// Says which name is unknown and which there are.
pub fn parse(list: &str) -> Result<Vec<&'static ProbeSpec>, String> {
    let mut chosen: Vec<&'static ProbeSpec> = Vec::new();
    for name in list.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let probe = find(name)
            .ok_or_else(|| format!("unknown probe \"{name}\"; use a comma-separated list of {}", names().join(", ")))?;
        if !chosen.iter().any(|known| known.name == probe.name) {
            chosen.push(probe);
        }
    }
    if chosen.is_empty() {
        return Err("no probe named; leave the option out for all probes".to_owned());
    }
    Ok(chosen)
}

/// What this kernel can do for each probe, given those that the user chose; with a `standby` for each program that needs one.
#[must_use]
pub fn choose(btf: &Btf, chosen: &[&ProbeSpec], standby: bool) -> Vec<Choice> {
    let mut choices: Vec<Choice> = PROBES
        .iter()
        .map(|spec| {
            let wanted = chosen.iter().any(|c| c.name == spec.name);
            let programs = hooks::choose(btf, spec.hooks, standby);
            let offsets = offsets::of_probe(btf, spec.fields.as_ref().map_or(&[], |fields| fields.names));
            let (state, reason) = match (&programs, &offsets) {
                _ if !wanted => (ProbeState::Disabled, Some("not among --probes".to_owned())),
                (Ok(_), Ok(_)) => (ProbeState::Active, None),
                (Err(reason), _) | (_, Err(reason)) => (ProbeState::Unsupported, Some(reason.clone())),
            };
            let (programs, offsets) = (programs.unwrap_or_default(), offsets.unwrap_or_default());
            let hooks = programs.iter().filter(|program| !program.is_standby()).map(Program::hook).collect();
            let status = ProbeStatus { name: spec.name.to_owned(), state, reason, stopped_after_ns: None, hooks };
            let programs = if status.is_active() { programs } else { Vec::new() };
            Choice { spec, status, programs, offsets }
        })
        .collect();
    disable_dependents(&mut choices);
    choices
}

/// Probes that lack another one on which they stand are disabled.
pub fn disable_dependents(choices: &mut [Choice]) {
    let active: Vec<&str> = choices.iter().filter(|c| c.is_active()).map(|c| c.spec.name).collect();
    for choice in choices.iter_mut().filter(|choice| choice.is_active()) {
        let absent: Vec<_> = choice.spec.needs.iter().filter(|name| !active.contains(*name)).copied().collect();
        if !absent.is_empty() {
            choice.fail(ProbeState::Disabled, format!("needs the probe {}", absent.join(" and the probe ")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_parsed_without_duplicates() {
        let names: Vec<_> = parse("tcp, request,tcp").expect("valid").iter().map(|p| p.name).collect();
        assert_eq!(names, ["tcp", "request"]);
    }

    #[test]
    fn an_unknown_name_is_an_error_that_lists_the_names() {
        let Err(error) = parse("request,scheduler") else { panic!("unknown") };
        assert!(error.contains("\"scheduler\"") && error.contains("syscalls"), "{error}");
        assert!(parse(" , ").is_err());
    }

    #[test]
    fn standbys_follow_their_program_at_its_tracepoint_and_none_is_there_twice() {
        let mut names = Vec::new();
        let hooks = process::HOOKS.iter().chain(PROBES.iter().flat_map(|probe| probe.hooks));
        for way in hooks.flat_map(Hook::ways) {
            names.extend(way.iter().map(|program| program.name));
            let Some(first) = way.first() else { panic!("a way without programs") };
            assert!(!first.is_standby(), "{}", first.name);
            for standby in way.iter().filter(|program| program.is_standby()) {
                assert_eq!(standby.target, first.target);
                assert!(standby.stands_by_for(first), "{}", standby.name);
            }
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
