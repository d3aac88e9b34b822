//! Loads the kernel programs, attaches the hooks of the chosen probes, and detaches them.
//!
//! In: probe states, number of services. Out: a [`Session`] that owns programs and maps; dropping it, or the death of the
//! agent, leaves nothing in the kernel, because nothing is pinned.

use std::io::Read as _;
use std::time::{Duration, Instant};

use acgs_perf_common::attribution::attribution_row;
use acgs_perf_common::exemplar::GATE_WORDS;
use acgs_perf_common::fields::Fields;
use acgs_perf_common::maps::{
    COUNTERS, HISTOGRAMS, MAX_SERVICES, MAX_SHARDS, STOPPED_ATTRIBUTION, STOPPED_SCHED, SYSCALL_SLOTS, SYSCALL_WORDS,
    counter_index, downstream_base, histogram_base, syscall_slot_index,
};
use aya::maps::{MapData, RingBuf};
use aya::programs::links::FdLink;
use aya::programs::{BtfTracePoint, Iter, ProgramError};
use aya::{Btf as KernelTypes, Ebpf, EbpfLoader, Endianness};

use super::table::{PROBES, PROCESS_HOOKS};
use super::{ProbeError, calls};
use crate::capture;
use crate::snapshot::maps::{self, Maps};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/acgs-perf-ebpf"));

/// The program that begins the clocks of existing threads, and the one that settles them at the end.
const ITERATORS: [&str; 2] = ["threads_begin", "threads_settle"];

/// Loaded programs, not yet or already attached.
pub struct Session {
    ebpf: Ebpf,
    links: Vec<(&'static str, FdLink)>,
    /// The kernel's maps in the agent's memory.
    pub maps: Maps,
    /// Where exemplars come from.
    ring: Option<RingBuf<MapData>>,
    /// What each probe does.
    pub probes: Vec<capture::Probe>,
    /// Time spent loading and attaching.
    pub attach: Duration,
}

/// Whether the agent was built with its kernel programs.
#[must_use]
pub fn has_object() -> bool {
    !OBJECT.is_empty()
}

impl Session {
    /// Loads the programs for `services` services. Nothing is attached yet, so nothing is measured. `entry_points` are
    /// those of the kernel's BTF; they are parsed only when the object's own memory peak is over. `map_entries` are sizes of
    /// maps that tests want to be other than usual.
    ///
    /// # Errors
    /// When the kernel refuses programs or maps, with what it said.
    pub fn load(
        fields: &Fields,
        entry_points: &[u8],
        probes: Vec<capture::Probe>,
        services: usize,
        map_entries: &[(String, u32)],
    ) -> Result<Self, ProbeError> {
        let began = Instant::now();
        if !has_object() {
            return Err(ProbeError::NoObject);
        }
        if services > MAX_SERVICES as usize {
            return Err(ProbeError::TooManyServices(services));
        }
        let active = |name: &str| u32::from(probes.iter().any(|p| p.name == name && p.state == "active"));
        let (sched, tcp, syscalls) = (active("sched"), active("tcp"), active("syscalls"));
        let attribution = active("attribution");
        let shards = shards();
        let n = services as u32;
        let syscall_services = n * syscalls;
        let mut loader = EbpfLoader::new();
        loader
            .btf(None)
            .allow_unsupported_maps()
            .override_global("FIELDS", fields, true)
            .override_global("SHARDS", &shards, true)
            .override_global("SCHED_ACTIVE", &sched, true)
            .override_global("TCP_ACTIVE", &tcp, true)
            .override_global("SYSCALLS_ACTIVE", &syscalls, true)
            .override_global("ATTRIBUTION_ACTIVE", &attribution, true)
            .map_max_entries("SERVICE_OF_TGID", pid_max().div_ceil(8))
            .map_max_entries("HISTOGRAMS", histogram_base(shards, n, 0, 0))
            .map_max_entries("COUNTERS", counter_index(shards, n, 0, 0))
            .map_max_entries("SYSCALL_SLOT", syscall_slot_index(syscall_services, 0).max(1))
            .map_max_entries("SYSCALL_SLOTS_USED", n)
            .map_max_entries("SYSCALL_OWNER", (syscall_services * SYSCALL_SLOTS).max(1))
            .map_max_entries("ATTRIBUTION", attribution_row(shards, n * attribution, 0, 0).max(1))
            .map_max_entries("DOWNSTREAM", downstream_base(n * attribution, 0).max(1))
            .map_max_entries("DOWNSTREAM_SLOTS_USED", n)
            .map_max_entries("EXEMPLAR_GATE", n * GATE_WORDS)
            .map_max_entries("SYSCALL_RECORDS", (syscall_services * SYSCALL_SLOTS * SYSCALL_WORDS).max(1));
        for (name, entries) in map_entries {
            loader.map_max_entries(name, *entries);
        }
        let mut ebpf = loader.load(OBJECT)?;
        let maps = Maps::open(&mut ebpf, services, shards)?;
        maps.set_call_classes(&calls::classes());
        let ring = Some(maps::exemplar_ring(&mut ebpf)?);
        let mut session = Self { ebpf, links: Vec::new(), maps, ring, probes, attach: Duration::ZERO };
        let types = KernelTypes::parse(entry_points, Endianness::Little).map_err(|e| map_error("BTF", &e))?;
        for hook in session.hooks() {
            let program = session.program(hook)?;
            program.load(hook, &types).map_err(|e| refused(hook, e))?;
        }
        if session.is_active("sched") {
            for name in ITERATORS {
                session.iterator(name)?.load("task", &types).map_err(|e| refused(name, e))?;
            }
        }
        session.attach = began.elapsed();
        Ok(session)
    }

    /// Attaches the hooks that keep the service table right. From here on forks are inherited.
    ///
    /// # Errors
    /// When the kernel refuses a hook.
    pub fn attach_process_hooks(&mut self) -> Result<(), ProbeError> {
        self.attach_all(PROCESS_HOOKS)
    }

    /// Attaches the hooks of the active probes and begins the clocks of the threads that exist.
    ///
    /// # Errors
    /// When the kernel refuses a hook.
    pub fn attach_probes(&mut self) -> Result<(), ProbeError> {
        let began = Instant::now();
        for probe in PROBES {
            if self.is_active(probe.name) {
                self.attach_all(probe.hooks)?;
            }
        }
        // After the hooks: a thread that they have seen meanwhile keeps its clock.
        if self.is_active("sched") {
            self.iterate(ITERATORS[0])?;
        }
        self.attach += began.elapsed();
        Ok(())
    }

    /// Detaches all hooks and settles the thread clocks; the maps stay and are final.
    ///
    /// # Errors
    /// When the threads cannot be walked.
    pub fn detach(&mut self) -> Result<(), ProbeError> {
        self.links.clear();
        if self.is_active("sched") {
            self.iterate(ITERATORS[1])?;
        }
        Ok(())
    }

    /// Stops a probe for good, `after` the begin of the window: its hooks come off, and what it has counted stays.
    ///
    /// # Errors
    /// When the threads cannot be walked.
    pub fn stop(&mut self, name: &str, after: Duration, reason: String) -> Result<(), ProbeError> {
        let links = std::mem::take(&mut self.links);
        self.links = links.into_iter().filter(|(hook, _)| self.probe_of(hook) != Some(name)).collect();
        self.maps.stop(match name {
            "attribution" => STOPPED_ATTRIBUTION,
            // It has nothing to work on then.
            "sched" => STOPPED_ATTRIBUTION | STOPPED_SCHED,
            _ => 0,
        });
        if name == "sched" {
            self.iterate(ITERATORS[1])?;
        }
        if let Some(probe) = self.probes.iter_mut().find(|probe| probe.name == name) {
            probe.state = "stopped".to_owned();
            probe.reason = Some(reason);
            probe.stopped_after = Some(after);
        }
        Ok(())
    }

    /// Gives the ring buffer of exemplars away, once.
    pub fn take_ring(&mut self) -> Option<RingBuf<MapData>> {
        self.ring.take()
    }

    /// Whether a probe is active.
    #[must_use]
    pub fn is_active(&self, probe: &str) -> bool {
        self.probes.iter().any(|p| p.name == probe && p.state == "active")
    }

    /// Whether a probe is active, or was until it was stopped.
    #[must_use]
    pub fn has_figures(&self, probe: &str) -> bool {
        self.is_active(probe) || self.probes.iter().any(|p| p.name == probe && p.stopped_after.is_some())
    }

    /// The probe that a program belongs to; `None` for those of the service table.
    #[must_use]
    pub fn probe_of(&self, program: &str) -> Option<&'static str> {
        PROBES.iter().find(|probe| probe.hooks.contains(&program)).map(|probe| probe.name)
    }

    /// Runs and run time of each program that is or was attached.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn program_costs(&self) -> Result<Vec<capture::ProgramCost>, ProbeError> {
        self.hooks()
            .into_iter()
            .filter_map(|hook| Some((hook, self.ebpf.program(hook)?)))
            .map(|(hook, program)| {
                let info = program.info().map_err(|e| refused(hook, e))?;
                Ok(capture::ProgramCost { name: hook.to_owned(), runs: info.run_count(), run_time: info.run_time() })
            })
            .collect()
    }

    /// Tracepoints of the process hooks and of all probes that are or were active.
    fn hooks(&self) -> Vec<&'static str> {
        let of_probes = PROBES.iter().filter(|probe| self.has_figures(probe.name)).flat_map(|probe| probe.hooks);
        PROCESS_HOOKS.iter().chain(of_probes).copied().collect()
    }

    fn attach_all(&mut self, hooks: &[&'static str]) -> Result<(), ProbeError> {
        for &hook in hooks {
            let program = self.program(hook)?;
            let id = program.attach().map_err(|e| refused(hook, e))?;
            let link = program.take_link(id).map_err(|e| refused(hook, e))?;
            self.links.push((hook, link.into()));
        }
        Ok(())
    }

    /// Runs a task iterator once over all threads.
    fn iterate(&mut self, name: &'static str) -> Result<(), ProbeError> {
        let program = self.iterator(name)?;
        let id = program.attach().map_err(|e| refused(name, e))?;
        let link = program.take_link(id).map_err(|e| refused(name, e))?;
        let mut file = link.into_file().map_err(|e| map_error(name, &e))?;
        file.read_to_end(&mut Vec::new()).map_err(|e| map_error(name, &e))?;
        Ok(())
    }

    fn program(&mut self, name: &'static str) -> Result<&mut BtfTracePoint, ProbeError> {
        let program = self.ebpf.program_mut(name).ok_or_else(|| map_error(name, &"no such program in the object"))?;
        program.try_into().map_err(|e| refused(name, e))
    }

    fn iterator(&mut self, name: &'static str) -> Result<&mut Iter, ProbeError> {
        let program = self.ebpf.program_mut(name).ok_or_else(|| map_error(name, &"no such program in the object"))?;
        program.try_into().map_err(|e| refused(name, e))
    }
}

fn refused(name: &'static str, source: ProgramError) -> ProbeError {
    ProbeError::Program { name, source: Box::new(source) }
}

fn map_error(name: &'static str, reason: &dyn std::fmt::Display) -> ProbeError {
    ProbeError::Map { name, reason: reason.to_string() }
}

/// Shards of the counters: one per possible CPU up to the maximum, a power of two.
fn shards() -> u32 {
    let cpus = aya::util::nr_cpus().unwrap_or(1) as u32;
    cpus.next_power_of_two().min(MAX_SHARDS)
}

/// One more than the largest process id; the kernel's own maximum where it does not tell.
fn pid_max() -> u32 {
    std::fs::read_to_string("/proc/sys/kernel/pid_max").ok().and_then(|s| s.trim().parse().ok()).unwrap_or(1 << 22)
}

const _: () = assert!(histogram_base(MAX_SHARDS, MAX_SERVICES, 0, 0) < u32::MAX / 8);
const _: () = assert!(HISTOGRAMS > 0 && COUNTERS > 0);
