//! What a comparison needs of a recording: whole figures, and the same by block.
//!
//! In: a capture, all of it or a time, or a report. Out: a [`Side`]. Of a capture, a block of latencies is an interval, and a block of
//! components is as long as what is dear to read was not read: ten intervals, unless a probe was stopped. A report has no blocks, but a
//! time series of rates and fates.

use std::collections::BTreeMap;

use acgs_perf_common::attribution::{ALL, COMPONENTS, COUNT_WORD, LATENCY_WORD, PEER_SLOTS, PEER_WORD, component_word};
use acgs_perf_common::histogram::{BUCKETS, bucket_high, bucket_low};
use acgs_perf_common::maps::{Counter, DownstreamWord, Histogram};

use super::endpoints::{self, EndpointSide};
use super::model::SideFacts;
use crate::analysis::censored::Ages;
use crate::analysis::hdr;
use crate::analysis::model::{AttributionRowReport, HostReport, Report, SchedulerReport, ServiceReport};
use crate::analysis::number::{measured, nanos};
use crate::analysis::sections::attribution::{attribution, name};
use crate::analysis::sections::downstream::Peers;
use crate::analysis::sections::scheduler::scheduler;
use crate::analysis::tail::merge_rows;
use crate::live::probes::attribution::{DOWNSTREAM, ROWS};
use crate::live::probes::request::{COUNTERS, LATENCY};
use crate::snapshot::interval::{row, section};
use crate::snapshot::{Capture, Fates, Interval, Process, Subject};
use crate::sums::{Difference as _, Sections, Sums};

/// An interval that is shorter is no block, but a part of the one before.
const MIN_BLOCK_NS: u64 = 50_000_000;

/// A recording.
#[derive(Clone, Debug, Default)]
pub struct Side {
    /// What it is.
    pub facts: SideFacts,
    /// Whether it has blocks.
    pub has_blocks: bool,
    /// Its services.
    pub services: Vec<ServiceSide>,
}

/// A service in it.
#[derive(Clone, Debug, Default)]
pub struct ServiceSide {
    /// Its name.
    pub name: String,
    /// Its objective of the P99.
    pub objective_ns: u64,
    /// Requests that were answered.
    pub requests: u64,
    /// Latencies by bucket; the last one is over range.
    pub latency: Vec<u64>,
    /// The same by block.
    pub latencies: Vec<Sums>,
    /// Of a report: by how much more the number of slow requests varies than chance has it.
    pub design_effect: Option<f64>,
    /// Seconds and requests by block.
    pub rate: Vec<(f64, f64)>,
    /// Requests and those without a reply by block, by fate.
    pub fates: BTreeMap<&'static str, Vec<(f64, f64)>>,
    /// Where the time went, by block.
    pub parts: Vec<PartBlock>,
    /// Where the time went, by latency.
    pub rows: Vec<AttributionRowReport>,
    /// How much others used the CPUs that it wanted.
    pub contention: Contention,
    /// Its endpoints, by name.
    pub endpoints: BTreeMap<String, EndpointSide>,
}

/// How much others used the CPUs that a service wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Contention {
    /// Time in which its threads waited for a CPU that processes of others had.
    pub waited_ns: f64,
    /// Time in which they had one.
    pub on_cpu_ns: f64,
}

impl Contention {
    /// What came later.
    pub fn add(&mut self, later: &Self) {
        self.waited_ns += later.waited_ns;
        self.on_cpu_ns += later.on_cpu_ns;
    }

    /// Waiting by running; `None` where nobody knows.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        (self.on_cpu_ns > 0.0).then(|| self.waited_ns / self.on_cpu_ns)
    }
}

/// Where the time of the requests of a block went.
#[derive(Clone, Debug, Default)]
pub struct PartBlock {
    /// Requests.
    pub requests: f64,
    /// Sum of their latencies.
    pub latency_ns: f64,
    /// Sums of their components, by name.
    pub components: BTreeMap<String, f64>,
    /// Sums of the component `downstream`, by peer.
    pub peers: BTreeMap<String, f64>,
    /// Calls, by peer.
    pub calls: BTreeMap<String, f64>,
}

impl Side {
    /// A capture; `within` is a time on the clock of its intervals, and what is not whole in it is left out.
    #[must_use]
    pub fn of_capture(name: &str, capture: &Capture, within: Option<(u64, u64)>) -> Self {
        let (from, to) = within.unwrap_or((0, u64::MAX));
        let inside = |interval: &Interval| interval.len_ns > 0 && interval.start_ns >= from && interval.end_ns() <= to;
        let intervals: Vec<Interval> = capture.intervals.iter().filter(inside).collect();
        let mut whole = intervals.first().cloned().unwrap_or_default();
        intervals.iter().skip(1).for_each(|interval| whole.merge(interval));
        let context = &capture.context;
        let host = &context.host;
        let facts = SideFacts {
            name: name.to_owned(),
            recordings: 1,
            host: HostReport {
                name: host.name.clone(),
                kernel: host.kernel.clone(),
                arch: host.arch.clone(),
                cpus: (host.cpus > 0).then_some(host.cpus),
                memory_bytes: measured(host.memory_bytes),
            },
            start_unix_ns: context.start_unix_ns.saturating_add(whole.start_ns.saturating_sub(context.start_ns)),
            duration_ns: whole.len_ns,
            lost: whole.ledger.iter().map(|(_, count)| u64::try_from(count).unwrap_or(0)).sum(),
        };
        let services = context.services.iter().enumerate().map(|(index, of)| {
            let subject = Subject::service(index);
            let mut service = of_intervals(&intervals, &whole, &subject, &context.directory);
            (service.name, service.objective_ns) = (of.name.clone(), nanos(of.objective.p99));
            service.endpoints = endpoints::of_intervals(&intervals, &whole, &subject, &of.endpoints);
            service.contention = contention(&whole, &subject, &of.processes);
            let open = Fates::of(&whole, &subject);
            let mut ages = Ages::default();
            [&open.unread.ages, &open.in_service.ages].into_iter().for_each(|sums| ages.add(sums.iter()));
            let left = ages.of_age(service.objective_ns) as f64;
            service.fates.insert("unanswered", vec![(service.requests as f64, left)]);
            service
        });
        Self { facts, has_blocks: true, services: services.collect() }
    }

    /// One interval of a recording under way, of services with these names and processes.
    #[must_use]
    pub fn of_interval(interval: &Interval, services: &[(String, Vec<Process>)]) -> Self {
        let one = |(index, (name, processes)): (usize, &(String, Vec<Process>))| {
            let subject = Subject::service(index);
            let mut service = of_intervals(std::slice::from_ref(interval), interval, &subject, &BTreeMap::new());
            service.contention = contention(interval, &subject, processes);
            service.name.clone_from(name);
            service
        };
        Self { facts: SideFacts::default(), has_blocks: true, services: services.iter().enumerate().map(one).collect() }
    }

    /// A report.
    #[must_use]
    pub fn of_report(name: &str, report: &Report) -> Self {
        let facts = SideFacts {
            name: name.to_owned(),
            recordings: 1,
            host: report.host.clone(),
            start_unix_ns: report.window.start_unix_ns,
            duration_ns: report.window.duration_ns,
            lost: report.ledger.values().sum(),
        };
        Self { facts, has_blocks: false, services: report.services.iter().map(of_report).collect() }
    }

    /// Several recordings as one, for what they have in common; each block stays a block.
    #[must_use]
    pub fn joined(sides: Vec<Self>) -> Option<Self> {
        let mut sides = sides.into_iter();
        let mut all = sides.next()?;
        for side in sides {
            all.facts.recordings += side.facts.recordings;
            all.facts.duration_ns += side.facts.duration_ns;
            all.facts.lost += side.facts.lost;
            all.has_blocks &= side.has_blocks;
            for service in side.services {
                match all.services.iter_mut().find(|of| of.name == service.name) {
                    Some(of) => of.join(service),
                    None => all.services.push(service),
                }
            }
        }
        Some(all)
    }
}

impl ServiceSide {
    fn join(&mut self, later: Self) {
        self.requests += later.requests;
        for (sum, count) in self.latency.iter_mut().zip(&later.latency) {
            *sum += count;
        }
        self.latencies.extend(later.latencies);
        self.rate.extend(later.rate);
        self.parts.extend(later.parts);
        self.rows = merge_rows(self.rows.iter().chain(&later.rows));
        for (name, blocks) in later.fates {
            self.fates.entry(name).or_default().extend(blocks);
        }
        for (name, of) in later.endpoints {
            self.endpoints.entry(name).or_default().join(of);
        }
        self.contention.add(&later.contention);
        self.design_effect = self.design_effect.zip(later.design_effect).map(|(a, b)| a.max(b));
    }

    /// Sum of the latencies, by the rows of the attribution, or by the buckets where there are none.
    pub fn mean_ns(&self) -> f64 {
        let (count, sum) =
            self.parts.iter().fold((0.0, 0.0), |all, part| (all.0 + part.requests, all.1 + part.latency_ns));
        if count > 0.0 {
            return sum / count;
        }
        let middle = |at: usize| f64::midpoint(bucket_low(at) as f64, bucket_high(at.min(BUCKETS - 1)) as f64);
        let sum: f64 = self.latency.iter().enumerate().map(|(at, count)| middle(at) * *count as f64).sum();
        sum / (self.latency.iter().sum::<u64>() as f64).max(1.0)
    }
}

fn latency_row<'a>(interval: &'a Interval, subject: &Subject) -> &'a Sums {
    &row(interval.of(subject), LATENCY, &[Histogram::Latency as u32]).sums
}

fn requests_of(interval: &Interval, subject: &Subject) -> u64 {
    row(interval.of(subject), COUNTERS, &[]).sums.count(Counter::Requests as u32)
}

fn of_intervals(
    intervals: &[Interval],
    whole: &Interval,
    subject: &Subject,
    directory: &BTreeMap<String, String>,
) -> ServiceSide {
    let sections = whole.of(subject);
    let peers = Peers::new(sections);
    let mut latency = vec![0; BUCKETS + 1];
    for (bucket, count) in latency_row(whole, subject).iter() {
        latency[(bucket as usize).min(BUCKETS)] += u64::try_from(count).unwrap_or(0);
    }
    let mut side = ServiceSide {
        requests: requests_of(whole, subject),
        latency,
        rows: renamed(&attribution(sections, &peers).rows, |address| named(address, directory)),
        ..ServiceSide::default()
    };
    for interval in intervals {
        let requests = requests_of(interval, subject) as f64;
        let fates = Fates::of(interval, subject);
        let counts =
            [("abandoned", fates.abandoned.count), ("cut_off", fates.cut_off), ("refused", fates.refused.drops)];
        if interval.len_ns >= MIN_BLOCK_NS || side.rate.is_empty() {
            side.latencies.push(latency_row(interval, subject).clone());
            side.rate.push((interval.len_ns as f64 / 1e9, requests));
        } else if let (Some(sums), Some(rate)) = (side.latencies.last_mut(), side.rate.last_mut()) {
            sums.add(latency_row(interval, subject));
            (rate.0, rate.1) = (rate.0 + interval.len_ns as f64 / 1e9, rate.1 + requests);
        }
        for (name, count) in counts {
            side.fates.entry(name).or_default().push((requests, count as f64));
        }
        if let Some(part) = interval.of(subject).and_then(|of| part(of, &peers, directory)) {
            side.parts.push(part);
        }
    }
    side
}

fn contention(whole: &Interval, subject: &Subject, own: &[Process]) -> Contention {
    let scheduler = scheduler(whole.of(subject));
    Contention::of(&scheduler, |pid| own.iter().any(|process| process.pid == pid))
}

impl Contention {
    fn of(scheduler: &SchedulerReport, is_own: impl Fn(u32) -> bool) -> Self {
        let others = scheduler.ran_instead.iter().filter(|who| !is_own(who.pid));
        Self {
            waited_ns: others.map(|who| who.wait_ns as f64).sum(),
            on_cpu_ns: scheduler.on_cpu_ns.unwrap_or(0) as f64,
        }
    }
}

/// Where the time of an interval's requests went; `None` where nobody read it.
fn part(sections: &Sections, peers: &Peers, directory: &BTreeMap<String, String>) -> Option<PartBlock> {
    let mut part = PartBlock::default();
    let called = |address: String| named(&address, directory);
    for words in sections.get(ROWS)?.values() {
        let word = |at: usize| words.sums.get(at as u32) as f64;
        part.requests += word(COUNT_WORD);
        part.latency_ns += word(LATENCY_WORD);
        for component in ALL.into_iter().take(COMPONENTS) {
            let ns = word(component_word(component));
            if ns != 0.0 {
                *part.components.entry(name(component)).or_default() += ns;
            }
        }
        for slot in 0..PEER_SLOTS {
            let ns = word(PEER_WORD + slot);
            if ns != 0.0 {
                *part.peers.entry(called(peers.address(slot))).or_default() += ns;
            }
        }
    }
    for (key, of) in section(Some(sections), DOWNSTREAM) {
        let sent = of.sums.count(DownstreamWord::Sent as u32) as f64;
        if let Some(slot) = key.first().filter(|_| sent > 0.0) {
            *part.calls.entry(called(peers.address(*slot as usize))).or_default() += sent;
        }
    }
    (part.requests > 0.0).then_some(part)
}

fn of_report(of: &ServiceReport) -> ServiceSide {
    let mut side = ServiceSide { name: of.name.clone(), objective_ns: of.objective.p99_ns, ..ServiceSide::default() };
    side.endpoints = endpoints::of_report(of);
    side.latency = vec![0; BUCKETS + 1];
    if let Some(requests) = &of.requests {
        side.requests = requests.count;
        side.design_effect = requests.latency.design_effect;
        let buckets = requests.latency.histogram.as_deref().and_then(hdr::decode).unwrap_or_default();
        for (sum, count) in side.latency.iter_mut().zip(buckets) {
            *sum = count;
        }
        side.latency[BUCKETS] = requests.latency.over_range;
    }
    for point in &of.series {
        let requests = point.requests as f64;
        side.rate.push((point.duration_ns as f64 / 1e9, requests));
        for (name, count) in [("abandoned", point.abandoned), ("refused", point.refused)] {
            side.fates.entry(name).or_default().extend(count.map(|count| (requests, count as f64)));
        }
    }
    if let Some(fates) = &of.fates {
        let requests = side.requests as f64;
        let left = fates.unread.beyond_objective + fates.in_service.beyond_objective;
        side.fates.insert("unanswered", vec![(requests, left as f64)]);
        side.fates.insert("cut_off", vec![(requests, fates.cut_off.unwrap_or(0) as f64)]);
    }
    if let Some(scheduler) = &of.scheduler {
        side.contention = Contention::of(scheduler, |pid| of.processes.iter().any(|process| process.pid == pid));
    }
    let Some(attribution) = &of.attribution else { return side };
    let names: BTreeMap<&str, &str> = of
        .downstream
        .iter()
        .flatten()
        .filter_map(|peer| Some((peer.address.as_str(), peer.service.as_deref()?)))
        .collect();
    let called = |address: &str| names.get(address).map_or(address, |name| *name).to_owned();
    let mut part = PartBlock::default();
    for row in &attribution.rows {
        part.requests += row.count as f64;
        part.latency_ns += row.latency_ns as f64;
        row.component_ns.iter().for_each(|(name, ns)| *part.components.entry(name.clone()).or_default() += *ns as f64);
        row.downstream_ns.iter().for_each(|(peer, ns)| *part.peers.entry(called(peer)).or_default() += *ns as f64);
    }
    let calls = of.downstream.iter().flatten().map(|peer| (called(&peer.address), peer.calls as f64));
    part.calls.extend(calls);
    side.rows = renamed(&attribution.rows, called);
    side.parts.extend((part.requests > 0.0).then_some(part));
    side
}

/// The service at an address, or the address.
fn named(address: &str, directory: &BTreeMap<String, String>) -> String {
    directory.get(address).map_or(address, String::as_str).to_owned()
}

/// The same rows, with the names of peers.
fn renamed(rows: &[AttributionRowReport], called: impl Fn(&str) -> String) -> Vec<AttributionRowReport> {
    let mut rows = rows.to_vec();
    for row in &mut rows {
        let mut named = BTreeMap::<String, u64>::new();
        row.downstream_ns.iter().for_each(|(peer, ns)| *named.entry(called(peer)).or_default() += ns);
        row.downstream_ns = named;
    }
    rows
}
