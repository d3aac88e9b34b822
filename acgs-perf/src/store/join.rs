//! Makes one recording of intervals that may come from several runs of the agent.
//!
//! In: runs in the order in which they were, with their intervals. Out: a `Capture`. A service is the same if its name is; a time in
//! which nothing was recorded is no part of the duration, so that rates are right, and is named in the notes.

use std::collections::BTreeMap;

use super::names::Names;
use super::peers::Peers;
use super::segment::{Entry, Run};
use crate::snapshot::exemplar::{Exemplars, Kept};
use crate::snapshot::{Capture, Context, Ending, Interval, ServiceContext, Subject, Subjects, Timeline, bring_up};
use crate::sums::Sums;
use crate::units::{duration, timestamp};

/// Times without a recording that are named one by one.
const NAMED_GAPS: usize = 5;
/// Processes that are listed per service.
const MAX_LISTED: usize = 512;

/// A recording that is put together.
#[derive(Debug, Default)]
pub struct Joiner {
    context: Option<Context>,
    /// The first run, its begin on its own clock, and by the time of day.
    origin: Option<(String, u64, u64)>,
    run: OfRun,
    peers: Peers,
    /// Rows that name peers, for the next interval.
    naming: Subjects,
    timeline: Timeline,
    exemplars: Exemplars,
    /// End of the interval before, on the common clock, and by the time of day.
    end: Option<(u64, u64)>,
    duration_ns: u64,
    agent_cpu_ns: u64,
    gaps: Vec<(u64, u64, u64)>,
    lost: usize,
}

/// How the run under way becomes part of the whole.
#[derive(Debug, Default)]
struct OfRun {
    layout: u32,
    /// What is added to its clock, wrapping.
    shift_ns: u64,
    /// The common number of each of its services.
    services: Vec<u32>,
    /// The common number of each of its loss counters.
    ledger: Vec<u32>,
}

impl Joiner {
    /// Whether there is no interval yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.end.is_none()
    }

    /// The next run, of which the first interval that is wanted is `first`.
    pub fn begin_run(&mut self, run: &Run, context: Context, first: &Entry) {
        let shift_ns = match &self.origin {
            None => {
                self.origin = Some((run.boot.clone(), first.start_ns, first.unix_start_ns()));
                0
            }
            // The clock of one boot is one clock.
            Some((boot, ..)) if *boot == run.boot => 0,
            Some((_, start_ns, unix_ns)) => {
                let by_day = start_ns.saturating_add(first.unix_start_ns().saturating_sub(*unix_ns));
                // The time of day may have been set back.
                let at_ns = by_day.max(self.end.map_or(0, |(end_ns, _)| end_ns));
                at_ns.wrapping_sub(first.start_ns)
            }
        };
        let layout = context.layout;
        let is_first = self.context.is_none();
        let known = self.context.get_or_insert_with(|| Context { services: Vec::new(), ..context.clone() });
        let services = context.services.iter().map(|service| add_service(&mut known.services, service)).collect();
        let ledger = context.ledger.iter().map(|name| add_name(&mut known.ledger, name)).collect();
        known.directory.extend(context.directory);
        for note in context.notes.into_iter().filter(|_| !is_first) {
            if !known.notes.contains(&note) {
                known.notes.push(note);
            }
        }
        (known.probes, known.cost, known.agent) = (context.probes, context.cost, context.agent);
        known.host = context.host;
        self.run = OfRun { layout, shift_ns, services, ledger };
        if !is_first {
            self.peers.begin_later_run();
        }
    }

    /// Names the peers of the run, before its first interval.
    pub fn name_peers(&mut self, names: &Names) {
        let mut naming = Interval { subjects: names.rows(), ..Interval::default() };
        self.common(&mut naming);
        self.peers.learn(&naming);
        self.naming = naming.subjects;
    }

    /// The next interval of the run.
    pub fn add(&mut self, mut interval: Interval, entry: &Entry) {
        bring_up(self.run.layout, std::slice::from_mut(&mut interval), &mut Exemplars::new());
        self.common(&mut interval);
        for (subject, sections) in std::mem::take(&mut self.naming) {
            let own = interval.subjects.entry(subject).or_default();
            for (name, section) in sections {
                let own = own.entry(name).or_default();
                for (key, row) in section {
                    own.entry(key).or_insert(row);
                }
            }
        }
        self.peers.renumber(&mut interval);
        for (subject, slowest) in &interval.slowest.0 {
            let kept = self.exemplars.entry(subject.clone()).or_default();
            // Only the slowest: the others of an interval are not known, so that there is no fair sample of them.
            slowest.iter().for_each(|exemplar| kept.add(exemplar.clone(), 0));
        }
        if let Some((end_ns, unix_end_ns)) = self.end
            && interval.start_ns > end_ns
        {
            self.gaps.push((unix_end_ns, entry.unix_start_ns(), interval.start_ns - end_ns));
        }
        if let Some(context) = self.context.as_mut().filter(|_| self.end.is_none()) {
            (context.start_ns, context.start_unix_ns) = (interval.start_ns, entry.unix_start_ns());
        }
        self.end = Some((interval.end_ns(), entry.unix_end_ns));
        self.duration_ns = self.duration_ns.saturating_add(interval.len_ns);
        self.agent_cpu_ns = self.agent_cpu_ns.saturating_add(interval.agent_cpu_ns);
        self.timeline.push(interval);
    }

    /// An interval that was there a moment ago is gone.
    pub fn lost(&mut self) {
        self.lost += 1;
    }

    /// All of it.
    #[must_use]
    pub fn finish(self) -> Capture {
        let mut context = self.context.unwrap_or_default();
        context.duration_ns = self.duration_ns;
        context.cost.agent_cpu_ns = self.agent_cpu_ns;
        context.ended_by = Ending::Range;
        let mut exemplars = self.exemplars;
        // A sample would be one of what fell out of the slowest.
        exemplars
            .values_mut()
            .for_each(|kept| *kept = Kept { slowest: std::mem::take(&mut kept.slowest), ..Kept::default() });
        for (from, to, length) in self.gaps.iter().take(NAMED_GAPS) {
            context.notes.push(format!(
                "nothing was recorded from {} to {} ({}); rates are those of the time that was",
                timestamp(*from),
                timestamp(*to),
                duration(*length)
            ));
        }
        if let more @ 1.. = self.gaps.len().saturating_sub(NAMED_GAPS) {
            context.notes.push(format!("nor in {more} more times"));
        }
        if self.lost > 0 {
            context.notes.push(format!("{} intervals were overwritten while they were read", self.lost));
        }
        Capture { context, intervals: self.timeline, exemplars }
    }

    /// What is of one service; an error has the names of those that are there.
    pub fn only(self, name: &str) -> Result<Capture, Vec<String>> {
        let whole = self.finish();
        let services = &whole.context.services;
        let Some(at) = services.iter().position(|service| service.name == name) else {
            return Err(services.iter().map(|service| service.name.clone()).collect());
        };
        let (of, to) = (Subject::service(at).service, Subject::service(0).service);
        let rename = |subject: &Subject| match subject.service {
            service if service == of => Some(Subject { service: to, ..subject.clone() }),
            u32::MAX => Some(subject.clone()),
            _ => None,
        };
        let mut context = whole.context;
        context.services = context.services.into_iter().skip(at).take(1).collect();
        let mut intervals = Timeline::default();
        for mut interval in whole.intervals.iter() {
            interval.subjects = renamed(interval.subjects, rename);
            interval.slowest.0 = renamed(interval.slowest.0, rename);
            if let Some(look) = &mut interval.look {
                look.open = renamed(std::mem::take(&mut look.open), rename);
            }
            intervals.push(interval);
        }
        Ok(Capture { context, intervals, exemplars: renamed(whole.exemplars, rename) })
    }

    /// Brings an interval to the common clock and the common numbers.
    fn common(&self, interval: &mut Interval) {
        let shift = |ns: &mut u64| *ns = ns.wrapping_add(self.run.shift_ns);
        shift(&mut interval.start_ns);
        shift(&mut interval.rest_start_ns);
        let rename = |subject: &Subject| match self.run.services.get(subject.service as usize) {
            Some(service) => Some(Subject { service: *service, ..subject.clone() }),
            None => (subject.service == u32::MAX).then(|| subject.clone()),
        };
        interval.subjects = renamed(std::mem::take(&mut interval.subjects), rename);
        interval.slowest.0 = renamed(std::mem::take(&mut interval.slowest.0), rename);
        interval.slowest.0.values_mut().flatten().for_each(|exemplar| shift(&mut exemplar.arrived_ns));
        if let Some(look) = &mut interval.look {
            shift(&mut look.at_ns);
            look.open = renamed(std::mem::take(&mut look.open), rename);
        }
        let ledger = interval.ledger.iter().filter_map(|(at, count)| Some((*self.run.ledger.get(at as usize)?, count)));
        let mut ledger: Vec<_> = ledger.collect();
        ledger.sort_unstable();
        interval.ledger = Sums::sparse(ledger);
    }
}

fn renamed<T>(all: BTreeMap<Subject, T>, name: impl Fn(&Subject) -> Option<Subject>) -> BTreeMap<Subject, T> {
    all.into_iter().filter_map(|(subject, value)| Some((name(&subject)?, value))).collect()
}

/// Number of a service: that of the one with the same name, of which the later context counts.
fn add_service(known: &mut Vec<ServiceContext>, service: &ServiceContext) -> u32 {
    let at = known.iter().position(|other| other.name == service.name).unwrap_or(known.len());
    match known.get_mut(at) {
        None => known.push(service.clone()),
        Some(other) => {
            let mut processes: BTreeMap<u32, _> = service.processes.iter().map(|one| (one.pid, one.clone())).collect();
            // Those of an earlier run that nobody has seen since are gone.
            for earlier in std::mem::take(&mut other.processes) {
                if processes.len() < MAX_LISTED {
                    processes.entry(earlier.pid).or_insert(crate::snapshot::Process { exited: true, ..earlier });
                }
            }
            *other = ServiceContext { processes: processes.into_values().collect(), ..service.clone() };
        }
    }
    at as u32
}

fn add_name(known: &mut Vec<String>, name: &str) -> u32 {
    let at = known.iter().position(|other| other == name).unwrap_or(known.len());
    if at == known.len() {
        known.push(name.to_owned());
    }
    at as u32
}
