//! Loads the kernel programs, attaches the hooks of the chosen probes, and detaches them.
//!
//! In: probe states, number of services. Out: a [`Session`] that owns programs and maps; dropping it, or the death of the
//! agent, leaves nothing in the kernel, because nothing is pinned.

use std::io::Read as _;
use std::os::fd::{AsFd as _, AsRawFd as _, RawFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use acgs_perf_common::maps::{COUNTERS, HISTOGRAMS, MAX_SERVICES, MAX_SHARDS, histogram_base};
use aya::maps::{MapData, RingBuf};
use aya::programs::links::FdLink;
use aya::{Btf as KernelTypes, Ebpf, Endianness};
use serde::{Deserialize, Serialize};

use super::account::Account;
use super::diagnostics::{self, Diagnostics};
use super::hooks::Program;
use super::look::{self, Look};
use super::maps::{self, Maps};
use super::offsets::Resolved;
use super::preemption::{self, Preemption};
use super::probes::{
    self, BASE_MAPS, Choice, Iterators, MapSpec, PROBES, ProbeSpec, Sizes, SocketIterators, Stop, endpoints,
};
use super::status::{ProbeState, ProbeStatus};
use super::{Debug, LiveError, calls, memory, program};
use crate::sums::Sections;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/acgs-perf-ebpf"));

/// The smallest ring buffer.
const PAGE: u32 = 4096;

/// Cost of one kernel program since it was loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramCost {
    /// Name of the program.
    pub name: String,
    /// How often it ran.
    pub runs: u64,
    /// Time in it.
    pub run_time: Duration,
}

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
    /// Looks at sockets; an error says why there are none.
    look: Result<Look, String>,
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
        fields: &Resolved,
        entry_points: &[u8],
        preemption: Option<Preemption>,
        process: Vec<Program>,
        probes: Vec<Choice>,
        services: usize,
        debug: &Debug,
    ) -> Result<Self, LiveError> {
        let began = Instant::now();
        if !has_object() {
            return Err(LiveError::NoObject);
        }
        if services > MAX_SERVICES as usize {
            return Err(LiveError::TooManyServices(services));
        }
        let is_active =
            |spec: &ProbeSpec| probes.iter().any(|choice| choice.spec.name == spec.name && choice.is_active());
        let globals: Vec<(&str, u32)> =
            PROBES.iter().filter_map(|spec| Some((spec.global?, u32::from(is_active(spec))))).collect();
        let preemptible = u32::from(preemption.is_some());
        let tick_ns = look::tick_ns();
        let log_level = diagnostics::level();
        let sizes = Sizes { shards: shards(), services: services as u32 };
        let shards = sizes.shards;
        let endpoint_key = endpoints::random_key();
        let mut loader = memory::loader();
        loader
            .btf(None)
            .allow_unsupported_maps()
            .override_global("FIELDS", &fields.fields, true)
            .override_global("SOCKET_FIELDS", fields.sockets.as_slice(), true)
            .override_global("SHARDS", &shards, true)
            .override_global("PREEMPTIBLE", &preemptible, true)
            .override_global("TICK_NS", &tick_ns, true)
            .override_global("ENDPOINT_KEY", &endpoint_key, true)
            .override_global(diagnostics::LEVEL, &log_level, true);
        for (name, active) in &globals {
            loader.override_global(name, active, true);
        }
        for choice in probes.iter().filter(|choice| choice.is_active()) {
            if let Some(fields) = &choice.spec.fields {
                loader.override_global(fields.global, choice.offsets.as_slice(), true);
            }
        }
        for map in BASE_MAPS {
            loader.map_max_entries(map.name, (map.entries)(&sizes).max(1));
        }
        for spec in PROBES {
            let sizes = if is_active(spec) { sizes } else { Sizes { services: 0, ..sizes } };
            for map in spec.maps {
                loader.map_max_entries(map.name, (map.entries)(&sizes).max(1));
            }
        }
        if log_level == 0 {
            loader.map_max_entries("AYA_LOGS", PAGE); // 128 KiB for nothing
        }
        for (name, entries) in &debug.map_entries {
            loader.map_max_entries(name, *entries);
        }
        let mut ebpf = loader.load(&preemption::resolved(OBJECT, preemption.as_ref()))?;
        let sized = BASE_MAPS.iter().chain(PROBES.iter().flat_map(|spec| spec.maps)).map(|map: &MapSpec| map.name);
        let ring = Some(maps::exemplar_ring(&mut ebpf)?);
        let diagnostics = Diagnostics::open(&mut ebpf);
        let types = KernelTypes::parse(entry_points, Endianness::Little).map_err(|e| map_error("BTF", &e))?;
        let (links, loads, attach) = (Vec::new(), Vec::new(), Duration::ZERO);
        let look = Err("no probe looks at sockets".to_owned());
        let maps = Maps::none(services, shards)?;
        let mut session = Self { ebpf, links, maps, ring, diagnostics, look, process, probes, loads, attach };
        session.load_all(&types)?;
        session.load_looks(&types);
        // Only now, without the types, which are as large.
        drop(types);
        session.maps = Maps::open(&mut session.ebpf, services, shards, sized)?;
        session.maps.set_call_classes(&calls::classes());
        session.attach = began.elapsed();
        Ok(session)
    }

    fn load_all(&mut self, types: &KernelTypes) -> Result<(), LiveError> {
        for program in self.process.clone() {
            self.load_one(program, types)?;
        }
        for at in 0..self.probes.len() {
            if let Err(error) = self.load_probe(at, types) {
                self.probes[at].fail(ProbeState::Unsupported, error.to_string());
            }
        }
        probes::disable_dependents(&mut self.probes);
        if !self.probes.iter().any(Choice::is_active) {
            let reasons: Vec<String> = self.probes.iter().filter_map(|choice| choice.status.reason.clone()).collect();
            return Err(LiveError::NoProbe(reasons.join("; ")));
        }
        Ok(())
    }

    fn load_probe(&mut self, at: usize, types: &KernelTypes) -> Result<(), LiveError> {
        if !self.probes[at].is_active() {
            return Ok(());
        }
        for program in self.probes[at].programs.clone() {
            self.load_one(program, types)?;
        }
        for name in self.probes[at].spec.iterators.iter().flat_map(|iterators| iterators.names()) {
            program::iterator(&mut self.ebpf, name)?.load("task", types).map_err(|e| program::refused(name, e))?;
        }
        Ok(())
    }

    /// Loads the socket iterators of the active probes.
    fn load_looks(&mut self, types: &KernelTypes) {
        let Some(iterators) = self.socket_iterators() else { return };
        let load = |ebpf: &mut Ebpf| {
            for (name, kind) in iterators.programs() {
                program::iterator(ebpf, name)?.load(kind, types).map_err(|e| program::refused(name, e))?;
            }
            Look::open(ebpf, iterators.look, iterators.map)
        };
        self.look = load(&mut self.ebpf).map_err(|error| error.to_string());
    }

    fn socket_iterators(&self) -> Option<SocketIterators> {
        self.probes.iter().filter(|choice| choice.is_active()).find_map(|choice| choice.spec.sockets)
    }

    /// The looks at sockets.
    ///
    /// # Errors
    /// Why there are none.
    pub fn look(&self) -> Result<&Look, &str> {
        self.look.as_ref().map_err(String::as_str)
    }

    /// Finds requests that had arrived before the hooks, in this network namespace and in those of these files. The hooks are
    /// attached: what arrives meanwhile they see.
    ///
    /// # Errors
    /// When the kernel refuses to go over the sockets.
    pub fn begin_sockets(&mut self, networks: &[PathBuf]) -> Result<(), LiveError> {
        let Some(iterators) = self.socket_iterators().filter(|_| self.look.is_ok()) else { return Ok(()) };
        let names: Vec<&'static str> = iterators.begin.iter().map(|(name, _)| *name).collect();
        look::begin(&mut self.ebpf, &names, networks)
    }

    fn load_one(&mut self, program: Program, types: &KernelTypes) -> Result<(), LiveError> {
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

    /// Attaches the hooks that keep the service table right. From here on forks are inherited. Programs of probes that look at the
    /// end of a process come first, while its service is still known.
    ///
    /// # Errors
    /// When the kernel refuses a hook.
    pub fn attach_process_hooks(&mut self) -> Result<(), LiveError> {
        let of_probes = self.probes.iter().flat_map(|choice| &choice.programs);
        let first: Vec<Program> = of_probes.filter(|program| is_at_exit(program)).copied().collect();
        self.attach_all(&first)?;
        self.attach_all(&self.process.clone())
    }

    /// Attaches the hooks of the active probes and begins the clocks of the threads that exist.
    ///
    /// # Errors
    /// When the kernel refuses a hook.
    pub fn attach_probes(&mut self) -> Result<(), LiveError> {
        let began = Instant::now();
        for at in 0..self.probes.len() {
            let programs = self.probes[at].programs.iter().filter(|program| !is_at_exit(program));
            self.attach_all(&programs.copied().collect::<Vec<_>>())?;
        }
        // After the hooks: a thread that they have seen meanwhile keeps its clock.
        for iterators in self.iterators() {
            self.iterate(iterators.begin)?;
        }
        self.attach += began.elapsed();
        Ok(())
    }

    /// Detaches all hooks and settles the thread clocks; the maps stay and are final.
    ///
    /// # Errors
    /// When the threads cannot be walked.
    pub fn detach(&mut self) -> Result<(), LiveError> {
        self.links.clear();
        for settle in self.iterators().filter_map(|iterators| iterators.settle) {
            self.iterate(settle)?;
        }
        Ok(())
    }

    /// Brings up to date what active probes count where it is read.
    ///
    /// # Errors
    /// When the threads cannot be walked.
    pub fn refresh(&mut self) -> Result<(), LiveError> {
        for refresh in self.iterators().filter_map(|iterators| iterators.refresh) {
            self.iterate(refresh)?;
        }
        Ok(())
    }

    /// Task iterators of the active probes.
    fn iterators(&self) -> std::vec::IntoIter<Iterators> {
        let active = self.probes.iter().filter(|choice| choice.is_active());
        active.filter_map(|choice| choice.spec.iterators).collect::<Vec<_>>().into_iter()
    }

    /// Stops a probe for good, `after` the begin of the window: its hooks come off, and what it has counted stays.
    ///
    /// # Errors
    /// When the threads cannot be walked.
    pub fn stop(&mut self, name: &str, after: Duration, reason: String) -> Result<(), LiveError> {
        let links = std::mem::take(&mut self.links);
        self.links = links.into_iter().filter(|(hook, _)| self.probe_of(hook) != Some(name)).collect();
        let Some(choice) = self.probes.iter_mut().find(|choice| choice.spec.name == name) else { return Ok(()) };
        if let Stop::InOrder { switches, .. } = choice.spec.stop {
            self.maps.stop(switches);
        }
        choice.status.state = ProbeState::Stopped;
        choice.status.reason = Some(reason);
        choice.status.stopped_after_ns = Some(after.as_nanos() as u64);
        // Last: without it the probe is stopped all the same.
        if let Some(settle) = choice.spec.iterators.and_then(|iterators| iterators.settle) {
            self.iterate(settle)?;
        }
        Ok(())
    }

    /// Reads what the active probes have counted for a service, or what is cheap enough of it to be read every second.
    pub fn read(&self, service: u32, often: bool, sections: &mut Sections) {
        for choice in self.probes.iter().filter(|choice| choice.is_active()) {
            match choice.spec.read_often {
                Some(read_often) if often => read_often(&self.maps, service, sections),
                _ if often => {}
                _ => (choice.spec.read)(&self.maps, service, sections),
            }
        }
        if !often {
            probes::process::read(&self.maps, service, sections);
        }
    }

    /// Reads what the active probes have counted that is no service's.
    pub fn read_recording(&self, sections: &mut Sections) {
        for choice in self.probes.iter().filter(|choice| choice.is_active()) {
            if let Some(read) = choice.spec.read_recording {
                read(&self.maps, sections);
            }
        }
    }

    /// The probe of this name, if it has counted, active or not.
    #[must_use]
    pub fn counted(&self, name: &str) -> Option<&'static ProbeSpec> {
        let counted = self.probes.iter().find(|choice| choice.spec.name == name && choice.status.has_figures());
        counted.map(|choice| choice.spec)
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
        self.probes.iter().any(|choice| choice.spec.name == probe && choice.is_active())
    }

    /// What each probe does, for the report.
    #[must_use]
    pub fn probes(&self) -> Vec<ProbeStatus> {
        self.probes.iter().map(|choice| choice.status.clone()).collect()
    }

    /// The probe that a program belongs to; `None` for those of the service table.
    #[must_use]
    pub fn probe_of(&self, program: &str) -> Option<&'static str> {
        let is_of = |choice: &&Choice| choice.programs.iter().any(|of| of.name == program);
        self.probes.iter().find(is_of).map(|choice| choice.spec.name)
    }

    /// Runs and run time of each program that is or was attached.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn program_costs(&self) -> Result<Vec<ProgramCost>, LiveError> {
        self.programs().filter_map(|program| self.program_cost(program.name).transpose()).collect()
    }

    /// The same of the looks at sockets. They run in the agent's own time.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn look_cost(&self) -> Result<Option<ProgramCost>, LiveError> {
        let iterators = self.socket_iterators().filter(|_| self.look.is_ok());
        iterators.map_or(Ok(None), |iterators| self.program_cost(iterators.look))
    }

    fn program_cost(&self, name: &'static str) -> Result<Option<ProgramCost>, LiveError> {
        let Some(program) = self.ebpf.program(name) else { return Ok(None) };
        let info = program.info().map_err(|e| program::refused(name, e))?;
        Ok(Some(ProgramCost { name: name.to_owned(), runs: info.run_count(), run_time: info.run_time() }))
    }

    /// What the kernel's account of run times costs per run; it must be on.
    ///
    /// # Errors
    /// When the kernel refuses to run an empty program.
    pub fn account(&mut self) -> Result<Account, LiveError> {
        Account::measure(&mut self.ebpf)
    }

    /// How many events were missed at most because a program was already running on its CPU, given what each program missed;
    /// `None` where the kernel does not tell. Where there are standbys, all of them must have missed an event.
    pub fn missed(&self, of_program: impl Fn(RawFd) -> Option<u64>) -> Option<u64> {
        let misses = |program: &Program| of_program(self.ebpf.program(program.name)?.fd().ok()?.as_fd().as_raw_fd());
        let programs: Vec<&Program> = self.programs().collect();
        let missed = programs.iter().filter(|program| !program.is_standby()).filter_map(|program| {
            let standbys = programs.iter().filter(|other| other.stands_by_for(program));
            Some(standbys.filter_map(|standby| misses(standby)).fold(misses(program)?, u64::min))
        });
        missed.reduce(|sum, of_one| sum + of_one)
    }

    /// Programs of the process hooks and of all active probes.
    fn programs(&self) -> impl Iterator<Item = &Program> {
        self.process.iter().chain(self.probes.iter().flat_map(|choice| &choice.programs))
    }

    fn attach_all(&mut self, programs: &[Program]) -> Result<(), LiveError> {
        for program in programs {
            self.links.push((program.name, program::attach(&mut self.ebpf, program)?));
        }
        Ok(())
    }

    /// Runs a task iterator once over all threads.
    fn iterate(&mut self, name: &'static str) -> Result<(), LiveError> {
        let program = program::iterator(&mut self.ebpf, name)?;
        let id = program.attach().map_err(|e| program::refused(name, e))?;
        let link = program.take_link(id).map_err(|e| program::refused(name, e))?;
        let mut file = link.into_file().map_err(|e| map_error(name, &e))?;
        file.read_to_end(&mut Vec::new()).map_err(|e| map_error(name, &e))?;
        Ok(())
    }
}

fn is_at_exit(program: &Program) -> bool {
    program.target == probes::process::EXIT
}

fn map_error(name: &'static str, reason: &dyn std::fmt::Display) -> LiveError {
    LiveError::Map { name, reason: reason.to_string() }
}

/// Shards of the counters: one per possible CPU up to the maximum, a power of two.
fn shards() -> u32 {
    let cpus = aya::util::nr_cpus().unwrap_or(1) as u32;
    cpus.next_power_of_two().min(MAX_SHARDS)
}

const _: () = assert!(histogram_base(MAX_SHARDS, MAX_SERVICES, 0, 0) < u32::MAX / 8);
const _: () = assert!(HISTOGRAMS > 0 && COUNTERS > 0);
