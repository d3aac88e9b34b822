//! Loads the kernel programs, attaches the hooks of the chosen probes, and detaches them.
//!
//! In: probe states, number of services. Out: a [`Session`] that owns programs and maps; dropping it, or the death of the
//! agent, leaves nothing in the kernel, because nothing is pinned.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use acgs_perf_common::maps::{COUNTERS, HISTOGRAMS, MAX_SERVICES, MAX_SHARDS, histogram_base};
use aya::maps::{MapData, RingBuf};
use serde::{Deserialize, Serialize};

use super::account::{self, Account};
use super::diagnostics::{self, Diagnostics};
use super::hooks::Program;
use super::look::{self, Look, Over};
use super::maps::{self, Maps};
use super::object::{Loaded, Object, Settings};
use super::offsets::Resolved;
use super::preemption::{self, Preemption};
use super::probes::{
    self, BASE_MAPS, Choice, Iterators, MapSpec, PROBES, ProbeSpec, Sizes, SocketIterators, Stop, endpoints,
};
use super::program::Wanted;
use super::status::{ProbeState, ProbeStatus};
use super::{Debug, LiveError, bpf, calls, memory};
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
    object: Object,
    links: Vec<(&'static str, OwnedFd)>,
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

impl Session {
    /// Loads the programs `wanted` for `services` services. Nothing is attached yet, so nothing is measured. `preemption` is there
    /// where programs need a standby. A probe of which the kernel refuses a program is `unsupported` and
    /// leaves the others alone.
    ///
    /// # Errors
    /// When the kernel refuses maps, or the programs without which no probe can work, with what it said.
    pub fn load(
        fields: &Resolved,
        wanted: &[Wanted],
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
        let mut settings = Settings::default();
        settings.global("FIELDS", &fields.fields);
        settings.globals_of("SOCKET_FIELDS", &fields.sockets);
        settings.global("SHARDS", &shards);
        settings.global("PREEMPTIBLE", &preemptible);
        settings.global("TICK_NS", &tick_ns);
        settings.global("ENDPOINT_KEY", &endpoint_key);
        settings.global(diagnostics::LEVEL, &log_level);
        for (name, active) in &globals {
            settings.global(name, active);
        }
        for choice in probes.iter().filter(|choice| choice.is_active()) {
            if let Some(fields) = &choice.spec.fields {
                settings.globals_of(fields.global, &choice.offsets);
            }
        }
        for map in BASE_MAPS {
            settings.entries(map.name, (map.entries)(&sizes).max(1));
        }
        for spec in PROBES {
            let sizes = if is_active(spec) { sizes } else { Sizes { services: 0, ..sizes } };
            for map in spec.maps {
                settings.entries(map.name, (map.entries)(&sizes).max(1));
            }
        }
        if log_level == 0 {
            settings.entries("AYA_LOGS", PAGE); // 128 KiB for nothing
        }
        for (name, entries) in &debug.map_entries {
            settings.entries(name, *entries);
        }
        let names = wanted.iter().map(|program| program.name).chain([account::PROGRAM]).collect::<BTreeSet<_>>();
        let mut object = Object::open(&preemption::resolved(OBJECT, preemption.as_ref()), &settings, &names)?;
        // The object is part of the program's file, and so is what has read it.
        memory::give_files_back();
        let sized = BASE_MAPS.iter().chain(PROBES.iter().flat_map(|spec| spec.maps)).map(|map: &MapSpec| map.name);
        let ring = Some(maps::exemplar_ring(&mut object)?);
        let spare_names = PROBES.iter().filter_map(|spec| spec.sockets).flat_map(|sockets| sockets.look_everywhere);
        let spare_names: BTreeSet<&str> = spare_names.map(|(name, _)| *name).collect();
        let (spare, wanted): (Vec<&Wanted>, Vec<&Wanted>) =
            wanted.iter().partition(|program| spare_names.contains(program.name));
        let mut loaded = object.load(&wanted);
        let diagnostics = Diagnostics::open(&object);
        let (links, loads, attach) = (Vec::new(), Vec::new(), Duration::ZERO);
        let look = Err("no probe looks at sockets".to_owned());
        let maps = Maps::none(services, shards)?;
        let mut session = Self { object, links, maps, ring, diagnostics, look, process, probes, loads, attach };
        session.sort_out(&mut loaded)?;
        session.open_look(&mut loaded, &spare, debug.every_program);
        session.maps = Maps::open(&mut session.object, services, shards, sized)?;
        session.maps.set_call_classes(&calls::classes());
        session.attach = began.elapsed();
        Ok(session)
    }

    /// Fails the probes of which a program was not loaded.
    fn sort_out(&mut self, loaded: &mut BTreeMap<&'static str, Loaded>) -> Result<(), LiveError> {
        for program in self.process.clone() {
            self.note(program, loaded)?;
        }
        for at in 0..self.probes.len() {
            if let Err(error) = self.sort_out_probe(at, loaded) {
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

    fn sort_out_probe(&mut self, at: usize, loaded: &mut BTreeMap<&'static str, Loaded>) -> Result<(), LiveError> {
        if !self.probes[at].is_active() {
            return Ok(());
        }
        for program in self.probes[at].programs.clone() {
            self.note(program, loaded)?;
        }
        let iterators = self.probes[at].spec.iterators.iter().flat_map(|iterators| iterators.names());
        iterators.filter_map(|name| loaded.remove(name)).try_for_each(|loaded| loaded.map(drop))
    }

    /// Opens the look at sockets, if its programs are loaded; by the `spare` ones, if the kernel has refused the first. With `every_program`
    /// these have to load in any case.
    fn open_look(&mut self, loaded: &mut BTreeMap<&'static str, Loaded>, spare: &[&Wanted], every_program: bool) {
        let Some(iterators) = self.socket_iterators() else { return };
        let mut begin = iterators.begin.iter().filter_map(|(name, _)| loaded.remove(name));
        let look = begin.try_for_each(|loaded| loaded.map(drop)).and_then(|()| {
            let storage = loaded.remove(iterators.look).unwrap_or(Ok(Duration::ZERO));
            let storage = storage.and_then(|_| Over::storage(&self.object, iterators.look, iterators.map));
            let over = match storage {
                Ok(over) if !every_program => over,
                Ok(over) => self.look_everywhere(iterators, spare).map(|_| over)?,
                Err(refused) => self.look_everywhere(iterators, spare).map_err(|_also| refused)?,
            };
            Look::open(&mut self.object, over)
        });
        self.object.forget(spare);
        self.look = look.map_err(|error| error.to_string());
    }

    fn look_everywhere(&mut self, iterators: SocketIterators, spare: &[&Wanted]) -> Result<Over, LiveError> {
        self.object.load(spare).into_values().try_for_each(|loaded| loaded.map(drop))?;
        let names: Vec<&'static str> = iterators.look_everywhere.iter().map(|(name, _)| *name).collect();
        Over::networks(&self.object, &names)
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
        let (Some(iterators), Ok(look)) = (self.socket_iterators(), &mut self.look) else { return Ok(()) };
        let names: Vec<&'static str> = iterators.begin.iter().map(|(name, _)| *name).collect();
        look::begin(&self.object, &names, networks)?;
        look.goes_to(networks)
    }

    /// Notes what loading a program took.
    fn note(&mut self, program: Program, loaded: &mut BTreeMap<&'static str, Loaded>) -> Result<(), LiveError> {
        let Some(time) = loaded.remove(program.name).transpose()? else { return Ok(()) };
        let info = self.object.info(program.name)?;
        self.loads.push(Load {
            name: program.name,
            hook: program.hook(),
            verified_instructions: (info.verified_insns > 0).then_some(info.verified_insns),
            jited_bytes: info.jited_prog_len,
            time,
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
        self.programs().map(|program| self.program_cost(program.name)).collect()
    }

    /// The same of the looks at sockets. They run in the agent's own time.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn look_costs(&self) -> Result<Vec<ProgramCost>, LiveError> {
        let programs = self.socket_iterators().into_iter().flat_map(SocketIterators::looks);
        let loaded = programs.filter(|name| self.object.program(name).is_ok());
        loaded.map(|name| self.program_cost(name)).collect()
    }

    fn program_cost(&self, name: &'static str) -> Result<ProgramCost, LiveError> {
        let info = self.object.info(name)?;
        let run_time = Duration::from_nanos(info.run_time_ns);
        Ok(ProgramCost { name: name.to_owned(), runs: info.run_cnt, run_time })
    }

    /// What the kernel's account of run times costs per run; it must be on.
    ///
    /// # Errors
    /// When the kernel refuses to run an empty program.
    pub fn account(&mut self) -> Result<Account, LiveError> {
        Account::measure(&mut self.object)
    }

    /// How many events were missed at most because a program was already running on its CPU, given what each program missed;
    /// `None` where the kernel does not tell. Where there are standbys, all of them must have missed an event.
    pub fn missed(&self, of_program: impl Fn(RawFd) -> Option<u64>) -> Option<u64> {
        let misses = |program: &Program| of_program(self.object.program(program.name).ok()?.as_raw_fd());
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
            self.links.push((program.name, self.object.attach(program.name)?));
        }
        Ok(())
    }

    /// Runs a task iterator once over all threads.
    fn iterate(&self, name: &'static str) -> Result<(), LiveError> {
        let link = bpf::link_iterator(self.object.program(name)?, None).map_err(|e| map_error(name, &e))?;
        let mut file = bpf::iterate(link.as_fd()).map_err(|e| map_error(name, &e))?;
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
