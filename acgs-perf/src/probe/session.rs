//! Loads the kernel programs, attaches the hooks of the chosen probes, and detaches them.
//!
//! In: probe states, number of services. Out: a [`Session`] that owns programs and maps; dropping it, or the death of the
//! agent, leaves nothing in the kernel, because nothing is pinned.

use std::io::Read as _;
use std::os::fd::{AsFd as _, AsRawFd as _, RawFd};
use std::time::{Duration, Instant};

use acgs_perf_common::attribution::attribution_row;
use acgs_perf_common::exemplar::GATE_WORDS;
use acgs_perf_common::fields::Fields;
use acgs_perf_common::maps::{
    COUNTERS, HISTOGRAMS, MAX_SERVICES, MAX_SHARDS, STOPPED_ATTRIBUTION, STOPPED_SCHED, SYSCALL_SLOTS, SYSCALL_WORDS,
    counter_index, downstream_base, histogram_base, others_index, syscall_slot_index,
};
use aya::maps::{MapData, RingBuf};
use aya::programs::links::FdLink;
use aya::{Btf as KernelTypes, Ebpf, EbpfLoader, Endianness};

use super::account::Account;
use super::diagnostics::{self, Diagnostics};
use super::hooks::Program;
use super::preemption::{self, Preemption};
use super::table::{self, Choice, PROBES};
use super::{Debug, ProbeError, calls, program};
use crate::capture;
use crate::snapshot::maps::{self, Maps};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/acgs-perf-ebpf"));

/// The smallest ring buffer.
const PAGE: u32 = 4096;

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
    /// What the programs say, if they were asked to.
    diagnostics: Option<Diagnostics>,
    /// Programs that keep the service table right.
    process: Vec<Program>,
    /// What each probe does.
    probes: Vec<Choice>,
    /// What each program took to load.
    pub loads: Vec<Load>,
    /// Time spent loading and attaching.
    pub attach: Duration,
}

/// What loading a program took.
#[derive(Clone, Debug)]
pub struct Load {
    /// Name in the object.
    pub name: &'static str,
    /// What it attaches to, such as `tp_btf/sched_switch`.
    pub hook: String,
    /// Instructions that the verifier looked at; `None` before Linux 5.16.
    pub verified_instructions: Option<u32>,
    /// Bytes of the machine code.
    pub jited_bytes: u32,
    /// Time in the system call.
    pub time: Duration,
}

/// Whether the agent was built with its kernel programs.
#[must_use]
pub fn has_object() -> bool {
    !OBJECT.is_empty()
}

/// Tells the system that the object's pages are not needed any more; they are part of the program's file, 2.6 MB.
pub(super) fn give_object_back() {
    // SAFETY: sysconf has no preconditions.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
    let range = OBJECT.as_ptr_range();
    let (begin, end) = ((range.start as usize).next_multiple_of(page), range.end as usize / page * page);
    if begin < end {
        // SAFETY: whole pages within a constant, which no relocation has changed: what is read there again comes from the file.
        unsafe {
            libc::madvise(begin as *mut libc::c_void, end - begin, libc::MADV_DONTNEED);
        }
    }
}

impl Session {
    /// Loads the programs for `services` services. Nothing is attached yet, so nothing is measured. `entry_points` are
    /// those of the kernel's BTF; they are parsed only when the object's own memory peak is over. `preemption` is there where
    /// programs need a standby. A probe of which the kernel refuses a program is `unsupported` and
    /// leaves the others alone.
    ///
    /// # Errors
    /// When the kernel refuses maps, or the programs without which no probe can work, with what it said.
    pub fn load(
        fields: &Fields,
        entry_points: &[u8],
        preemption: Option<Preemption>,
        process: Vec<Program>,
        probes: Vec<Choice>,
        services: usize,
        debug: &Debug,
    ) -> Result<Self, ProbeError> {
        let began = Instant::now();
        if !has_object() {
            return Err(ProbeError::NoObject);
        }
        if services > MAX_SERVICES as usize {
            return Err(ProbeError::TooManyServices(services));
        }
        let active = |name: &str| u32::from(probes.iter().any(|p| p.probe.name == name && p.is_active()));
        let (sched, tcp, syscalls) = (active("sched"), active("tcp"), active("syscalls"));
        let attribution = active("attribution");
        let preemptible = u32::from(preemption.is_some());
        let log_level = diagnostics::level();
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
            .override_global("PREEMPTIBLE", &preemptible, true)
            .override_global(diagnostics::LEVEL, &log_level, true)
            .map_max_entries("SERVICE_OF_TGID", pid_max().div_ceil(8))
            .map_max_entries("HISTOGRAMS", histogram_base(shards, n, 0, 0))
            .map_max_entries("COUNTERS", counter_index(shards, n, 0, 0))
            .map_max_entries("SYSCALL_SLOT", syscall_slot_index(syscall_services, 0).max(1))
            .map_max_entries("SYSCALL_SLOTS_USED", n)
            .map_max_entries("SYSCALL_OWNER", (syscall_services * SYSCALL_SLOTS).max(1))
            .map_max_entries("ATTRIBUTION", attribution_row(shards, n * attribution, 0, 0).max(1))
            .map_max_entries("DOWNSTREAM", downstream_base(n * attribution, 0).max(1))
            .map_max_entries("DOWNSTREAM_SLOTS_USED", n)
            .map_max_entries("PEER_OTHERS", others_index(n, false))
            .map_max_entries("EXEMPLAR_GATE", n * GATE_WORDS)
            .map_max_entries("SYSCALL_RECORDS", (syscall_services * SYSCALL_SLOTS * SYSCALL_WORDS).max(1));
        if log_level == 0 {
            loader.map_max_entries("AYA_LOGS", PAGE); // 128 KiB for nothing
        }
        for (name, entries) in &debug.map_entries {
            loader.map_max_entries(name, *entries);
        }
        let mut ebpf = loader.load(&preemption::resolved(OBJECT, preemption.as_ref()))?;
        let maps = Maps::open(&mut ebpf, services, shards)?;
        maps.set_call_classes(&calls::classes());
        let ring = Some(maps::exemplar_ring(&mut ebpf)?);
        let diagnostics = Diagnostics::open(&mut ebpf);
        let types = KernelTypes::parse(entry_points, Endianness::Little).map_err(|e| map_error("BTF", &e))?;
        let (links, loads, attach) = (Vec::new(), Vec::new(), Duration::ZERO);
        let mut session = Self { ebpf, links, maps, ring, diagnostics, process, probes, loads, attach };
        session.load_all(&types)?;
        session.attach = began.elapsed();
        Ok(session)
    }

    fn load_all(&mut self, types: &KernelTypes) -> Result<(), ProbeError> {
        for program in self.process.clone() {
            self.load_one(program, types)?;
        }
        for at in 0..self.probes.len() {
            let programs = self.probes[at].programs.clone();
            if let Err(error) = programs.into_iter().try_for_each(|program| self.load_one(program, types)) {
                self.probes[at].fail("unsupported", error.to_string());
            }
        }
        table::settle(&mut self.probes);
        if !self.probes.iter().any(Choice::is_active) {
            let reasons: Vec<String> = self.probes.iter().filter_map(|choice| choice.probe.reason.clone()).collect();
            return Err(ProbeError::NoProbe(reasons.join("; ")));
        }
        if self.is_active("sched") {
            for name in ITERATORS {
                program::iterator(&mut self.ebpf, name)?.load("task", types).map_err(|e| program::refused(name, e))?;
            }
        }
        Ok(())
    }

    fn load_one(&mut self, program: Program, types: &KernelTypes) -> Result<(), ProbeError> {
        let began = Instant::now();
        let info = program::load(&mut self.ebpf, &program, types)?;
        self.loads.push(Load {
            name: program.name,
            hook: program.hook(),
            verified_instructions: info.verified_instruction_count(),
            jited_bytes: info.size_jitted(),
            time: began.elapsed(),
        });
        Ok(())
    }

    /// Attaches the hooks that keep the service table right. From here on forks are inherited.
    ///
    /// # Errors
    /// When the kernel refuses a hook.
    pub fn attach_process_hooks(&mut self) -> Result<(), ProbeError> {
        self.attach_all(&self.process.clone())
    }

    /// Attaches the hooks of the active probes and begins the clocks of the threads that exist.
    ///
    /// # Errors
    /// When the kernel refuses a hook.
    pub fn attach_probes(&mut self) -> Result<(), ProbeError> {
        let began = Instant::now();
        for at in 0..self.probes.len() {
            self.attach_all(&self.probes[at].programs.clone())?;
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
        if let Some(choice) = self.probes.iter_mut().find(|choice| choice.probe.name == name) {
            choice.probe.state = "stopped".to_owned();
            choice.probe.reason = Some(reason);
            choice.probe.stopped_after = Some(after);
        }
        // Last: without it the probe is stopped all the same.
        if name == "sched" {
            self.iterate(ITERATORS[1])?;
        }
        Ok(())
    }

    /// Hands what the programs have said to the log.
    pub fn tell(&mut self) {
        if let Some(diagnostics) = &mut self.diagnostics {
            diagnostics.flush();
        }
    }

    /// Gives the ring buffer of exemplars away, once.
    pub fn take_ring(&mut self) -> Option<RingBuf<MapData>> {
        self.ring.take()
    }

    /// Whether a probe is active.
    #[must_use]
    pub fn is_active(&self, probe: &str) -> bool {
        self.probes.iter().any(|choice| choice.probe.name == probe && choice.is_active())
    }

    /// What each probe does, for the report.
    #[must_use]
    pub fn probes(&self) -> Vec<capture::Probe> {
        self.probes.iter().map(|choice| choice.probe.clone()).collect()
    }

    /// Whether a probe is active, or was until it was stopped.
    #[must_use]
    pub fn has_figures(&self, probe: &str) -> bool {
        self.is_active(probe)
            || self.probes.iter().any(|choice| choice.probe.name == probe && choice.probe.stopped_after.is_some())
    }

    /// The probe that a program belongs to; `None` for those of the service table.
    #[must_use]
    pub fn probe_of(&self, program: &str) -> Option<&'static str> {
        let is_of = |choice: &&Choice| choice.programs.iter().any(|of| of.name == program);
        let choice = self.probes.iter().find(is_of)?;
        PROBES.iter().find(|probe| probe.name == choice.probe.name).map(|probe| probe.name)
    }

    /// Runs and run time of each program that is or was attached.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn program_costs(&self) -> Result<Vec<capture::ProgramCost>, ProbeError> {
        self.programs()
            .filter_map(|program| Some((program.name, self.ebpf.program(program.name)?)))
            .map(|(name, program)| {
                let info = program.info().map_err(|e| program::refused(name, e))?;
                Ok(capture::ProgramCost { name: name.to_owned(), runs: info.run_count(), run_time: info.run_time() })
            })
            .collect()
    }

    /// What the kernel's account of run times costs per run; it must be on.
    ///
    /// # Errors
    /// When the kernel refuses to run an empty program.
    pub fn account(&mut self) -> Result<Account, ProbeError> {
        Account::measure(&mut self.ebpf)
    }

    /// How many events were missed at most because a program was already running on its CPU, given what each program missed;
    /// `None` where the kernel does not tell. Where there are standbys, all of them must have missed an event.
    pub fn missed(&self, of_program: impl Fn(RawFd) -> Option<u64>) -> Option<u64> {
        let misses = |program: &Program| of_program(self.ebpf.program(program.name)?.fd().ok()?.as_fd().as_raw_fd());
        let programs: Vec<&Program> = self.programs().collect();
        let standbys = |of: &'static str| programs.iter().filter(move |other| other.is_standby() && other.target == of);
        let missed = programs.iter().filter(|program| !program.is_standby()).filter_map(|program| {
            let own = misses(program)?;
            Some(standbys(program.target).filter_map(|standby| misses(standby)).fold(own, u64::min))
        });
        missed.reduce(|sum, of_one| sum + of_one)
    }

    /// Programs of the process hooks and of all active probes.
    fn programs(&self) -> impl Iterator<Item = &Program> {
        self.process.iter().chain(self.probes.iter().flat_map(|choice| &choice.programs))
    }

    fn attach_all(&mut self, programs: &[Program]) -> Result<(), ProbeError> {
        for program in programs {
            self.links.push((program.name, program::attach(&mut self.ebpf, program)?));
        }
        Ok(())
    }

    /// Runs a task iterator once over all threads.
    fn iterate(&mut self, name: &'static str) -> Result<(), ProbeError> {
        let program = program::iterator(&mut self.ebpf, name)?;
        let id = program.attach().map_err(|e| program::refused(name, e))?;
        let link = program.take_link(id).map_err(|e| program::refused(name, e))?;
        let mut file = link.into_file().map_err(|e| map_error(name, &e))?;
        file.read_to_end(&mut Vec::new()).map_err(|e| map_error(name, &e))?;
        Ok(())
    }
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
