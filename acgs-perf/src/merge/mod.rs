//! Many captures into one, by addition: of hosts, of workers side by side, of runs one after another.
//!
//! In: what [`plan`] has to know of each capture, then each capture part by part, in the order of the plan. Out: a `Capture`. Every
//! count of every capture is in it once, and nothing is estimated; what is given up, where there is too much of it or where intervals
//! of different hosts do not fit each other, is how finely time is told.

mod cells;
mod clock;
mod cost;
mod exemplars;
mod hosts;
mod names;
mod plan;
mod probes;
mod services;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;

use crate::live::probes::attribution::DOWNSTREAM;
use crate::snapshot::exemplar::Exemplars;
use crate::snapshot::file::Part;
use crate::snapshot::open::OpenRequests;
use crate::snapshot::{Capture, Context, Ending, Interval, LAYOUT_VERSION, Look, ServiceContext, Subject, Timeline};
use crate::store::peers::Peers;
use crate::sums::{Difference as _, Sums};
use crate::units::{duration, timestamp};
use cells::Cells;
use clock::Times;
use hosts::Hosts;
pub use names::either;
use names::number;
pub use plan::{Head, Refusal, plan};
use probes::Probes;
use services::Services;

/// Times without a recording that are named one by one.
const NAMED_GAPS: usize = 5;
/// A shorter time between two captures is no gap, but what clocks differ by.
const GAP_NS: u64 = 1_000_000;
/// Notes that are kept.
const MAX_NOTES: usize = 100;

/// A capture that is put together.
#[derive(Debug, Default)]
pub struct Merger {
    by_host: bool,
    /// The first one's begin, on the common clock and by the time of day.
    origin: Option<(u64, u64)>,
    context: Context,
    services: Services,
    hosts: Hosts,
    probes: Probes,
    peers: Peers,
    cells: Cells,
    exemplars: Exemplars,
    times: Times,
    agents: Vec<String>,
    endings: Vec<Ending>,
    /// The last look at each service of each host.
    looks: BTreeMap<(String, u32), LastLook>,
    of_file: OfFile,
    dropped_notes: usize,
}

/// The last look at a service of a host.
#[derive(Debug, Default)]
struct LastLook {
    /// Middle of the cell that has it.
    cell_ns: u64,
    at_ns: u64,
    open: Vec<(Subject, OpenRequests)>,
}

/// How the capture under way becomes part of the whole.
#[derive(Debug, Default)]
struct OfFile {
    host: String,
    /// What is added to its clock, wrapping.
    shift_ns: u64,
    /// The common number of each of its services.
    services: Vec<u32>,
    /// The common number of each of its loss counters.
    ledger: Vec<u32>,
    start_ns: u64,
    duration_ns: u64,
    /// Its intervals, which wait until all peers are known.
    intervals: Vec<Interval>,
    times: Times,
    look: Option<Look>,
}

impl Merger {
    /// A merger; `by_host` keeps services of the same name apart where their hosts are not the same.
    #[must_use]
    pub fn new(by_host: bool) -> Self {
        Self { by_host, ..Self::default() }
    }

    /// The next part of the capture under way, whose clock `head` knows how to bring to the common one. Captures come in the order of
    /// the plan.
    pub fn part(&mut self, head: &Head, part: Part) {
        match part {
            Part::Context(context) => self.begin(head, *context),
            Part::Intervals(mut intervals) => {
                for interval in &mut intervals {
                    self.of_file.common(interval);
                    self.peers.learn(interval);
                }
                self.of_file.intervals.append(&mut intervals);
            }
            Part::Exemplars(exemplars) => self.keep(exemplars),
        }
    }

    /// No more of the capture under way.
    pub fn end(&mut self) {
        for interval in std::mem::take(&mut self.of_file.intervals) {
            self.add(interval);
        }
        let cell_ns = self.cells.flush();
        let file = std::mem::take(&mut self.of_file);
        // Coarse intervals of a merged capture may hold times in which nothing was recorded.
        let of_intervals = file.times.total();
        match file.duration_ns.abs_diff(of_intervals) <= file.duration_ns / 1000 {
            true => self.times.extend(&file.times),
            false => self.times.add(file.start_ns, file.start_ns.saturating_add(file.duration_ns)),
        }
        let (Some(look), Some(cell_ns)) = (file.look, cell_ns) else { return };
        for service in file.services {
            let of = look.open.iter().filter(|(subject, _)| subject.service == service);
            let open: Vec<_> = of.map(|(subject, open)| (subject.clone(), open.clone())).collect();
            let known = self.looks.entry((file.host.clone(), service)).or_default();
            if known.at_ns <= look.at_ns {
                *known = LastLook { cell_ns, at_ns: look.at_ns, open };
            }
        }
    }

    /// All of it.
    #[must_use]
    pub fn finish(mut self) -> Capture {
        let (start_ns, start_unix_ns) = self.origin.unwrap_or_default();
        self.carry_looks();
        self.note_gaps(start_ns, start_unix_ns);
        let mut context = self.context;
        context.layout = LAYOUT_VERSION;
        context.agent = self.agents.join(", ");
        (context.start_ns, context.start_unix_ns) = (start_ns, start_unix_ns);
        context.duration_ns = self.times.total();
        context.ended_by = match self.endings.as_slice() {
            [one] => one.clone(),
            several => Ending::Other(several.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
        };
        context.services = self.services.finish();
        context.clients.sort_by(|a, b| (a.start_unix_ns, &a.url).cmp(&(b.start_unix_ns, &b.url)));
        let (probes, notes) = self.probes.finish();
        context.probes = probes;
        context.notes.extend(notes);
        (context.host, context.hosts) = self.hosts.finish();
        if self.dropped_notes > 0 {
            context.notes.push(format!("{} more notes of the captures are left out", self.dropped_notes));
        }
        let mut intervals = Timeline::default();
        self.cells.finish().for_each(|interval| intervals.push(interval));
        let mut exemplars = self.exemplars;
        exemplars::settle(&mut exemplars);
        Capture { context, intervals, exemplars }
    }

    fn begin(&mut self, head: &Head, context: Context) {
        let start_ns = head.common_start_ns();
        let is_first = self.origin.is_none();
        self.origin.get_or_insert((start_ns, context.start_unix_ns));
        let host = context.host.name.clone();
        let common = |of: &ServiceContext| self.services.add(&host, head.name_of(&of.name, self.by_host), of);
        let services = context.services.iter().map(common).collect();
        let ledger = context.ledger.iter().map(|name| number(&mut self.context.ledger, name)).collect();
        for (address, name) in context.directory {
            let known = self.context.directory.entry(address).or_default();
            *known = either(std::mem::take(known), &name);
        }
        if !self.agents.contains(&context.agent) {
            self.agents.push(context.agent.clone());
        }
        if !self.endings.contains(&context.ended_by) {
            self.endings.push(context.ended_by.clone());
        }
        let is_alone = head.is_alone;
        for note in context.notes {
            let note = if is_alone { note } else { format!("{host}: {note}") };
            match self.context.notes.contains(&note) {
                true => {}
                false if self.context.notes.len() < MAX_NOTES => self.context.notes.push(note),
                false => self.dropped_notes += 1,
            }
        }
        for client in context.clients {
            // Each part of a recording that was cut has it.
            if !self.context.clients.contains(&client) {
                self.context.clients.push(client);
            }
        }
        cost::add(&mut self.context.cost, context.cost, is_first);
        let first_ns = self.origin.map_or(start_ns, |(first_ns, _)| first_ns);
        self.probes.add(&host, start_ns.saturating_sub(first_ns), context.probes);
        self.hosts.add(&context.host, &context.hosts, &context.agent, head);
        self.peers.begin_later_run();
        self.cells.begin();
        self.of_file = OfFile {
            host,
            shift_ns: head.shift_ns,
            services,
            ledger,
            start_ns,
            duration_ns: context.duration_ns,
            ..OfFile::default()
        };
    }

    fn add(&mut self, mut interval: Interval) {
        self.peers.renumber(&mut interval);
        for sections in interval.subjects.values_mut() {
            // Rows that only name a peer have done so.
            let Some(section) = sections.get_mut(DOWNSTREAM) else { continue };
            section.retain(|_, row| !row.is_nothing());
            if section.is_empty() {
                sections.remove(DOWNSTREAM);
            }
        }
        interval.subjects.retain(|_, sections| !sections.is_empty());
        self.of_file.times.add(interval.start_ns, interval.end_ns());
        if let Some(look) = &interval.look {
            self.of_file.look = Some(look.clone());
        }
        self.cells.add(interval);
    }

    fn keep(&mut self, exemplars: Exemplars) {
        for (subject, mut kept) in exemplars {
            let Some(subject) = self.of_file.subject(&subject) else { continue };
            for exemplar in kept.slowest.iter_mut().chain(&mut kept.sample) {
                exemplar.arrived_ns = exemplar.arrived_ns.wrapping_add(self.of_file.shift_ns);
                self.peers.renumber_exemplar(&subject, exemplar);
            }
            exemplars::add(self.exemplars.entry(subject).or_default(), kept);
        }
    }

    /// Requests that were open when the captures of a host ended are open at the end of all, unless a later capture has looked again.
    fn carry_looks(&mut self) {
        let Some((from, look)) = self.cells.last_look() else { return };
        for LastLook { open, .. } in std::mem::take(&mut self.looks).into_values().filter(|last| last.cell_ns < from) {
            look.add_beside(Look { at_ns: 0, open: open.into_iter().collect() });
        }
    }

    fn note_gaps(&mut self, start_ns: u64, start_unix_ns: u64) {
        let unix = |ns: u64| start_unix_ns.saturating_add(ns.saturating_sub(start_ns));
        let gaps: Vec<(u64, u64)> = self.times.gaps().filter(|(from, to)| to - from >= GAP_NS).collect();
        for (from, to) in gaps.iter().take(NAMED_GAPS) {
            self.context.notes.push(format!(
                "nothing was recorded from {} to {} ({}); rates are those of the time that was",
                timestamp(unix(*from)),
                timestamp(unix(*to)),
                duration(to - from)
            ));
        }
        if let more @ 1.. = gaps.len().saturating_sub(NAMED_GAPS) {
            self.context.notes.push(format!("nor in {more} more times"));
        }
    }
}

impl OfFile {
    fn subject(&self, subject: &Subject) -> Option<Subject> {
        match self.services.get(subject.service as usize) {
            Some(service) => Some(Subject { service: *service, ..subject.clone() }),
            None => (subject.service == u32::MAX).then(|| subject.clone()),
        }
    }

    fn renamed<T>(&self, all: BTreeMap<Subject, T>) -> BTreeMap<Subject, T> {
        all.into_iter().filter_map(|(subject, value)| Some((self.subject(&subject)?, value))).collect()
    }

    /// Brings an interval to the common clock and the common numbers.
    fn common(&self, interval: &mut Interval) {
        let shift = |ns: &mut u64| *ns = ns.wrapping_add(self.shift_ns);
        shift(&mut interval.start_ns);
        shift(&mut interval.rest_start_ns);
        interval.subjects = self.renamed(std::mem::take(&mut interval.subjects));
        interval.slowest.0 = self.renamed(std::mem::take(&mut interval.slowest.0));
        interval.slowest.0.values_mut().flatten().for_each(|exemplar| shift(&mut exemplar.arrived_ns));
        if let Some(look) = &mut interval.look {
            shift(&mut look.at_ns);
            look.open = self.renamed(std::mem::take(&mut look.open));
        }
        let known = interval.ledger.iter().filter_map(|(at, count)| Some((*self.ledger.get(at as usize)?, count)));
        let mut ledger: Vec<_> = known.collect();
        ledger.sort_unstable();
        interval.ledger = Sums::sparse(ledger);
    }
}
