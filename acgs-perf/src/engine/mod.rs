//! Records: loads, attaches, counts, and gives an interval after the other.
//!
//! In: services with their processes, probes, a [`Tuning`]. Out: [`Interval`]s, and at the end a [`Finished`] recording. Nothing is
//! printed here, and once counting has begun nothing is an error: what fails is noted.
//!
//! Hooks that keep the service table go on first, so that a fork during the start is not missed; hooks come off before the last
//! reading, so that it is one state.

mod budget;
mod directory;
mod exemplars;
pub mod host;
mod looks;
mod members;
pub mod notes;
mod refusals;
mod scanner;
pub mod thread;
pub mod tuning;

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use acgs_perf_common::ledger::{LOSS_COUNT, LOSSES};

pub use host::host as host_facts;

use crate::discover::{ServiceSpec, Target};
use crate::live::probes::ProbeSpec;
use crate::live::probes::attribution::DOWNSTREAM;
use crate::live::session::{ProgramCost, Session};
use crate::live::{self, LiveError};
use crate::snapshot::exemplar::Exemplars;
use crate::snapshot::read::{Depth, count_below_zero, freeze, snapshot};
use crate::snapshot::{Context, Cost, Ending, Interval, LAYOUT_VERSION, ServiceContext, Snapshot, Subject};
use crate::sums::{Difference as _, Sums};
use crate::units::downstream_address;
use budget::watch::{UNSETTLED, Verdict, Watch};
use directory::Listeners;
use exemplars::Collector;
use looks::{Looks, Thoroughness};
use members::Members;
use notes::Notes;
use tuning::Tuning;

/// What is missing where the threads could not be walked.
const NOT_REFRESHED: &str = "what threads have counted themselves is in a later interval";

/// What is missing where sockets cannot be gone over.
const OLDER_UNKNOWN: &str = "requests from before the recording are not known";

/// What to record.
pub struct Setup {
    /// The services and their processes.
    pub targets: Vec<Target>,
    /// The probes.
    pub probes: Vec<&'static ProbeSpec>,
    /// How.
    pub tuning: Tuning,
}

/// What a step has brought.
#[derive(Debug)]
pub enum Step {
    /// Nothing yet.
    Nothing,
    /// An interval has ended.
    Interval(Interval),
    /// The recording must end, for this reason.
    End(End),
}

/// Why the engine ends a recording by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It takes more than `--max-overhead` allows, and no probe is left to stop.
    Overhead,
    /// What it takes could not be measured, so that the limit cannot be kept.
    OverheadNotKnown,
}

/// A recording that has ended.
#[derive(Debug)]
pub struct Finished {
    /// What was recorded, where, and how. How it ended is for the caller to say.
    pub context: Context,
    /// The last interval.
    pub last: Interval,
    /// Single requests.
    pub exemplars: Exemplars,
    /// What went wrong at the end, each in one line; it is in the context's notes.
    pub news: Vec<String>,
}

/// Programs that are attached, and do not count yet.
pub struct Prepared {
    targets: Vec<Target>,
    tuning: Tuning,
    session: Session,
    members: Members,
    looks: Looks,
    notes: Notes,
    statistics: Option<OwnedFd>,
}

/// A recording under way.
pub struct Engine {
    tuning: Tuning,
    specs: Vec<ServiceSpec>,
    udp_ports: Vec<Vec<u16>>,
    /// Names of the services that listen at addresses which were called, as far as somebody asked for them.
    directory: BTreeMap<String, String>,
    /// The addresses that were looked for.
    looked_up: BTreeSet<String>,
    had_processes: bool,
    session: Session,
    members: Members,
    /// When the window was closed, if that is past.
    closed_ns: Option<u64>,
    exemplars: Option<Collector>,
    watch: Option<Watch>,
    looks: Looks,
    notes: Notes,
    /// The state at the end of the last interval.
    last: Snapshot,
    intervals: u32,
    began: Instant,
    start_unix_ns: u64,
    agent_cpu_before_ns: u64,
    glances: u32,
    next_glance: Instant,
    next_interval: Instant,
    died: bool,
    /// The kernel times its programs until this is closed.
    _statistics: Option<OwnedFd>,
}

impl Prepared {
    /// Loads and attaches.
    ///
    /// # Errors
    /// When this kernel can do nothing of what was asked for, with the reason.
    pub fn new(setup: Setup) -> anyhow::Result<Self> {
        let Setup { targets, probes, tuning } = setup;
        let statistics = tuning
            .measure_cost
            .then(|| aya::sys::enable_stats(aya::sys::Stats::RunTime))
            .transpose()
            .map_err(|e| anyhow::anyhow!("--measure-cost: the kernel does not keep run times: {e}"))?;
        let mut session = live::start(&probes, targets.len(), &tuning.debug)?;
        session.attach_process_hooks()?;
        let members = Members::begin(&targets, &mut session.maps);
        session.attach_probes()?;
        let pids = || targets.iter().flat_map(|target| target.pids.iter().copied());
        let (mut notes, looks) = (Notes::default(), Looks::begin(pids()));
        let networks = looks::networks(pids());
        notes.unless(session.begin_sockets(&networks), OLDER_UNKNOWN);
        Ok(Self { targets, tuning, session, members, looks, notes, statistics })
    }

    /// Begins to count. `then` is called as soon as that is so: who counted until now closes its window there.
    #[must_use]
    pub fn open(self, then: impl FnOnce()) -> Engine {
        let Self { targets, tuning, mut session, members, mut looks, mut notes, statistics } = self;
        let looked = looks.take(&session, host::monotonic_ns(), Thoroughness::WhereDue, &mut notes);
        // What was counted before the window is no part of the recording.
        let before = snapshot(&session, &Snapshot::default(), Depth::Whole, 0, 0, 0, looked);
        let agent_cpu_ns = host::cpu().as_nanos() as u64;
        let began = Instant::now();
        session.maps.set_wall_clock(host::wall_ahead_ns());
        let at_ns = session.maps.open_window(host::monotonic_ns);
        then();
        let unix_ns = host::unix_ns();
        // What was lost until now is lost to the recording.
        let ledger = Sums::default();
        let last = Snapshot { at_ns, unix_ns, rest_at_ns: at_ns, ledger, agent_cpu_ns, ..before };
        let exemplars = session.take_ring().map(|ring| Collector::new(ring, &session.maps, tuning.keeps_exemplars));
        let watch = tuning.max_overhead.map(|percent| Watch::begin(percent, tuning.measure_cost));
        Engine {
            specs: targets.iter().map(|target| target.spec.clone()).collect(),
            udp_ports: targets.iter().map(|target| target.udp_ports.clone()).collect(),
            had_processes: targets.iter().any(|target| !target.pids.is_empty()),
            session,
            members,
            exemplars,
            watch,
            looks,
            notes,
            last,
            intervals: 0,
            began,
            start_unix_ns: unix_ns,
            agent_cpu_before_ns: agent_cpu_ns,
            glances: 0,
            next_glance: began,
            next_interval: began + tuning.interval / tuning.speed,
            died: false,
            directory: BTreeMap::new(),
            looked_up: BTreeSet::new(),
            closed_ns: None,
            _statistics: statistics,
            tuning,
        }
    }
}

impl Engine {
    /// Loads, attaches, and begins to count.
    ///
    /// # Errors
    /// When this kernel can do nothing of what was asked for, with the reason.
    pub fn start(setup: Setup) -> anyhow::Result<Self> {
        Ok(Prepared::new(setup)?.open(|| {}))
    }

    /// Lets another recording take over: it begins to count, and this one ends within the same microsecond, so that next to nothing
    /// is counted twice and nothing by neither. [`Engine::finish`] gives what this one has counted.
    #[must_use]
    pub fn hand_over(&mut self, next: Prepared) -> Self {
        let maps = &self.session.maps;
        let closed_ns = &mut self.closed_ns;
        next.open(|| *closed_ns = Some(maps.close_window(host::monotonic_ns)))
    }

    /// When counting began.
    #[must_use]
    pub fn began(&self) -> Instant {
        self.began
    }

    /// When [`Engine::step`] has something to do.
    #[must_use]
    pub fn due(&self) -> Instant {
        let due = self.next_glance.min(self.next_interval);
        self.watch.as_ref().map_or(due, |watch| due.min(watch.due()))
    }

    /// News since the last call, each in one line; they are in the report anyway.
    pub fn take_news(&mut self) -> Vec<String> {
        self.notes.take_news()
    }

    /// Does what is due.
    pub fn step(&mut self) -> Step {
        let now = Instant::now();
        if self.watch.as_ref().is_some_and(|watch| watch.due() <= now) {
            let elapsed = self.began.elapsed();
            let watch = self.watch.as_mut();
            match watch.map(|watch| watch.tick(&mut self.session, elapsed, &mut self.notes)) {
                None | Some(Ok(Verdict::Keep)) => {}
                Some(Ok(Verdict::Stopped(probe))) => return Step::Interval(self.interval(Some(probe))),
                Some(Ok(Verdict::End)) => return Step::End(End::Overhead),
                // A limit that cannot be watched is not kept: to end is what it was set for.
                Some(Err(error)) => {
                    let why = format!("the recording ended early, because its cost could not be measured: {error:#}");
                    self.notes.add(why);
                    return Step::End(End::OverheadNotKnown);
                }
            }
        }
        if self.next_glance <= now {
            self.next_glance = next(self.next_glance, self.tuning.glance / self.tuning.speed, now);
            self.glance();
        }
        if self.next_interval <= now {
            self.next_interval = next(self.next_interval, self.tuning.interval / self.tuning.speed, now);
            return Step::Interval(self.interval(None));
        }
        Step::Nothing
    }

    /// Stops counting, takes everything off, and reads what is there. It does not fail: what is missing is noted.
    #[must_use]
    pub fn finish(mut self) -> Finished {
        let closed_ns = self.closed_ns;
        let end_ns = closed_ns.unwrap_or_else(|| self.session.maps.close_window(host::monotonic_ns));
        // At once: what is answered from now on is open in what was recorded.
        let looked = self.looks.take(&self.session, end_ns, Thoroughness::Last, &mut self.notes);
        self.notes.unless(self.session.detach(), UNSETTLED);
        self.session.tell();
        self.members.list(&self.session.maps);
        if let Some(exemplars) = &mut self.exemplars {
            exemplars.take(&self.session.maps);
        }
        let (cpu, agent_max_rss_bytes) = (host::cpu(), host::max_rss_bytes());
        let map_bytes = host::map_bytes();
        let cpu_ns = cpu.as_nanos() as u64;
        let mut end = snapshot(&self.session, &self.last, Depth::Whole, end_ns, host::unix_ns(), cpu_ns, looked);
        count_below_zero(&mut end);
        let missed = self.session.missed(host::recursion_misses);
        end.ledger.add(&Sums::sparse(missed.map(|missed| (LOSS_COUNT as u32, missed as i64))));
        let mut last = Interval::between(&self.last, &end);
        if let Some(exemplars) = &mut self.exemplars {
            exemplars.end_interval(&mut last);
        }
        // Who listens may have changed.
        self.looked_up.clear();
        self.look_up(&end);
        self.session.maps.unread().into_iter().for_each(|note| self.notes.add(note));
        let context = self.context_until(end_ns, cpu_ns, agent_max_rss_bytes, map_bytes);
        let exemplars = self.exemplars.map(Collector::finish).unwrap_or_default();
        Finished { context, last, exemplars, news: self.notes.take_news() }
    }

    /// What is recorded, where, and how, so far.
    pub fn context(&mut self) -> Context {
        let last = std::mem::take(&mut self.last);
        self.look_up(&last);
        self.last = last;
        let (cpu, agent_max_rss_bytes) = (host::cpu(), host::max_rss_bytes());
        self.context_until(self.last.at_ns, cpu.as_nanos() as u64, agent_max_rss_bytes, host::map_bytes())
    }

    fn context_until(&mut self, end_ns: u64, cpu_ns: u64, agent_max_rss_bytes: u64, map_bytes: u64) -> Context {
        let mut ledger: Vec<String> = LOSSES.iter().map(|(name, _)| (*name).to_owned()).collect();
        if self.session.missed(host::recursion_misses).is_some() {
            ledger.push("recursion_misses".to_owned());
        }
        let agent_cpu_ns = cpu_ns.saturating_sub(self.agent_cpu_before_ns);
        let start_ns = self.session.maps.window().0;
        Context {
            layout: LAYOUT_VERSION,
            agent: env!("CARGO_PKG_VERSION").to_owned(),
            host: host::host(),
            start_unix_ns: self.start_unix_ns,
            start_ns,
            duration_ns: end_ns.saturating_sub(start_ns),
            ended_by: Ending::default(),
            probes: self.session.probes(),
            ledger,
            cost: Cost { agent_cpu_ns, agent_max_rss_bytes, map_bytes, ..self.cost() },
            services: self.services(),
            directory: self.directory.clone(),
            notes: self.notes.all().to_vec(),
            hosts: Vec::new(),
            clients: Vec::new(),
        }
    }

    /// Takes exemplars, and every few times new processes.
    fn glance(&mut self) {
        if self.glances % self.tuning.look_every == self.tuning.look_every - 1 {
            self.session.tell();
            let is_alive = self.members.tick(&mut self.session.maps);
            if self.members.take_new_ports() {
                let pids = self.session.maps.processes().into_iter().map(|(pid, _)| pid);
                let networks = looks::networks(pids);
                self.notes.unless(self.session.begin_sockets(&networks), OLDER_UNKNOWN);
            }
            if !self.died && !is_alive && self.had_processes {
                self.died = true;
                self.notes.tell("all recorded processes have exited; waiting for new ones to match");
            }
        }
        self.glances = self.glances.wrapping_add(1);
        // It may have been set meanwhile.
        self.session.maps.set_wall_clock(host::wall_ahead_ns());
        if self.session.is_active("attribution")
            && let Some(exemplars) = &mut self.exemplars
        {
            exemplars.look(&self.session.maps);
        }
    }

    /// Ends the interval under way. What a probe has counted that was stopped just now is read for the last time.
    fn interval(&mut self, stopped: Option<&str>) -> Interval {
        self.intervals += 1;
        let is_whole = stopped.is_some() || self.intervals.is_multiple_of(self.tuning.rest_every.max(1));
        let depth = if is_whole { Depth::Whole } else { Depth::Often };
        if is_whole {
            self.notes.unless(self.session.refresh(), NOT_REFRESHED);
        }
        let at_ns = host::monotonic_ns();
        let how = if is_whole { Thoroughness::WithProcesses } else { Thoroughness::WhereDue };
        let looked = self.looks.take(&self.session, at_ns, how, &mut self.notes);
        let cpu_ns = host::cpu().as_nanos() as u64;
        let mut now = snapshot(&self.session, &self.last, depth, at_ns, host::unix_ns(), cpu_ns, looked);
        if let Some(probe) = stopped {
            freeze(&self.session, probe, &mut now);
        }
        let mut interval = Interval::between(&self.last, &now);
        if let Some(exemplars) = &mut self.exemplars {
            exemplars.end_interval(&mut interval);
        }
        self.last = now;
        interval
    }

    fn services(&self) -> Vec<ServiceContext> {
        let service = |(index, spec): (usize, &ServiceSpec)| ServiceContext {
            name: spec.name.clone(),
            selector: spec.selector_text(),
            objective: spec.objective,
            endpoints: spec.endpoints.clone(),
            processes: self.members.processes(&self.session.maps, index),
            udp_ports: self.udp_ports[index].clone(),
        };
        self.specs.iter().enumerate().map(service).collect()
    }

    /// Finds names of the services that listen at the addresses that were called, for those that nobody has looked for yet: that is a
    /// walk over /proc.
    fn look_up(&mut self, state: &Snapshot) {
        let of_service = |service: usize| state.rest.get(&Subject::service(service))?.get(DOWNSTREAM);
        let called = (0..self.specs.len()).filter_map(of_service).flatten();
        let addresses: BTreeSet<String> = called.filter_map(|(key, row)| downstream_address(key, &row.label)).collect();
        if addresses.is_subset(&self.looked_up) {
            return;
        }
        let listeners = Listeners::find(&self.specs, &self.session.maps, &mut self.notes);
        let name = |address: &String| Some((address.clone(), listeners.name(address)?));
        self.directory = addresses.iter().filter_map(name).collect();
        self.looked_up = addresses;
    }

    fn program_costs(&self) -> Result<Vec<ProgramCost>, LiveError> {
        let mut costs = self.session.program_costs()?;
        costs.extend(self.session.look_costs()?);
        Ok(costs)
    }

    fn cost(&mut self) -> Cost {
        let programs = self
            .tuning
            .measure_cost
            .then(|| self.notes.unless(self.program_costs(), "run times of the programs are missing"));
        Cost {
            attach_ns: self.session.attach.as_nanos() as u64,
            programs_unmeasured: matches!(programs, Some(None))
                .then(|| "the kernel did not tell; see the notes".into()),
            programs: programs.flatten(),
            overhead: self.watch.as_ref().map(Watch::figures),
            ..Cost::default()
        }
    }
}

/// The next time at or after `now`, in steps of `period` from `last`: who is late skips what is past.
fn next(last: Instant, period: Duration, now: Instant) -> Instant {
    let period = period.max(Duration::from_micros(100));
    let missed = now.saturating_duration_since(last).as_nanos() / period.as_nanos();
    last + period * u32::try_from(missed + 1).unwrap_or(1)
}
