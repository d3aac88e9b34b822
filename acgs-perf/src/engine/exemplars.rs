//! Takes exemplars from the kernel: the slowest requests of each service and of each interval, and a sample of those above the P99.
//!
//! In: records from the kernel's ring buffer, and the intervals' latency histograms. Out: `Exemplar`s, and the gate that tells the
//! kernel side which requests are worth a record. Nothing wakes the agent; it looks when it has time.

use std::net::SocketAddr;

use acgs_perf_common::attribution::{
    ALL, Component, LATENCY_WORD, PEER_SLOTS, PEER_WORD, QUEUE_COMPONENTS, SHARED_WORD, component_word,
};
use acgs_perf_common::endpoint::{CALLED_SHIFT, numbering};
use acgs_perf_common::exemplar::{ExemplarRecord, Gate, SEGMENTS, segment_component, segment_duration, segment_who};
use acgs_perf_common::histogram::bucket_low;
use acgs_perf_common::maps::{Counter, Histogram};
use aya::maps::{MapData, RingBuf};

use crate::live::endpoint_names;
use crate::live::maps::{Maps, text};
use crate::live::probes::request;
use crate::snapshot::exemplar::{
    Actor, Exemplar, Exemplars, KEPT, KEPT_PER_INTERVAL, Kept, Segment, Slowest, add_to_slowest,
};
use crate::snapshot::interval::{bucket_of_p99, row};
use crate::snapshot::{Interval, Subject};
use crate::sums::{Sections, Sums};
use crate::units::ip;

/// Records per service that the kernel side may send between two looks.
const SLOWEST_BUDGET: u64 = 96;
const SAMPLE_BUDGET: u64 = 16;

/// The exemplars of all services.
pub struct Collector {
    ring: RingBuf<MapData>,
    services: Vec<OfService>,
    /// Whether those of the whole recording are kept, too.
    keeps_whole: bool,
    looked: bool,
    /// State of a small generator of random numbers for the sample; its quality does not matter.
    random: u64,
}

#[derive(Default)]
struct OfService {
    whole: Kept,
    /// The slowest of the interval under way.
    slowest: Vec<Exemplar>,
    /// P99 of the interval before.
    p99: u64,
    /// Requests at the last look.
    requests: u64,
}

impl Collector {
    /// Nothing kept yet, and nothing wanted before the first look.
    #[must_use]
    pub fn new(ring: RingBuf<MapData>, maps: &Maps, keeps_whole: bool) -> Self {
        let services = (0..maps.services()).map(|_| OfService::default()).collect();
        let mut all = Self { ring, services, keeps_whole, looked: false, random: 0x9e37_79b9_7f4a_7c15 };
        all.set_gate(maps);
        all
    }

    /// Takes what the kernel side has sent, and tells it what is worth sending from now on.
    pub fn look(&mut self, maps: &Maps) {
        self.take(maps);
        self.looked = true;
        self.set_gate(maps);
    }

    /// Takes what the kernel side has sent.
    pub fn take(&mut self, maps: &Maps) {
        while let Some(item) = self.ring.next() {
            let Some(record) = read(&item) else { continue };
            drop(item);
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            if let Some(of) = self.services.get_mut(record.service as usize) {
                of.add(&record, self.keeps_whole.then_some(self.random), maps);
            }
        }
    }

    /// Ends an interval: gives its slowest requests, and begins with the next one.
    pub fn end_interval(&mut self, interval: &mut Interval) {
        let mut slowest = Slowest::default();
        for (service, of) in self.services.iter_mut().enumerate() {
            let subject = Subject::service(service);
            let latency = row(interval.of(&subject), request::LATENCY, &[Histogram::Latency as u32]);
            // Without requests the one before still tells most.
            if let p99 @ 1.. = low_end_of_p99(&latency.sums) {
                of.p99 = p99;
            }
            let of_interval = std::mem::take(&mut of.slowest);
            if !of_interval.is_empty() {
                slowest.0.insert(subject, of_interval);
            }
        }
        interval.slowest = slowest;
    }

    fn set_gate(&mut self, maps: &Maps) {
        for (service, of) in self.services.iter_mut().enumerate() {
            let requests = maps.counter(service as u32, Counter::Requests as u32);
            let few = requests - of.requests < SLOWEST_BUDGET;
            of.requests = requests;
            if of.p99 == 0 && !few {
                // The first interval has none before it.
                let mut sections = Sections::new();
                maps.read_histograms(request::LATENCY, service as u32, [Histogram::Latency as u32], &mut sections);
                of.p99 = low_end_of_p99(&row(Some(&sections), request::LATENCY, &[Histogram::Latency as u32]).sums);
            }
            let slowest = if self.looked { of.wanted(few, self.keeps_whole) } else { u64::MAX };
            // What is below this gate is not sent at all, so that it is never above the other one.
            let sample = if self.looked && self.keeps_whole { of.p99.min(slowest) } else { slowest };
            maps.set_gate(service, Gate::Slowest, slowest);
            maps.set_gate(service, Gate::AboveP99, sample);
            maps.set_gate(service, Gate::P99, if of.p99 == 0 { u64::MAX } else { of.p99 });
            maps.set_gate(service, Gate::SlowestBudget, SLOWEST_BUDGET);
            maps.set_gate(service, Gate::AboveP99Budget, SAMPLE_BUDGET);
        }
    }

    /// The exemplars of the whole recording.
    #[must_use]
    pub fn finish(self) -> Exemplars {
        let all = self.services.into_iter().enumerate();
        all.map(|(service, of)| (Subject::service(service), of.whole)).collect()
    }
}

impl OfService {
    /// From which latency on a request is worth a record, as one of the slowest of all or of this interval. Until there are enough
    /// of all, or where none of all are kept, of this interval, that is each if there are few requests. Otherwise what is below the P99 of
    /// the interval before is worth none: it would only crowd the sample of those above.
    fn wanted(&self, few: bool, keeps_whole: bool) -> u64 {
        let beyond = |kept: &[Exemplar], limit: usize| {
            kept.last().filter(|_| kept.len() >= limit).map(|last| last.latency_ns() + 1)
        };
        let of_interval = beyond(&self.slowest, KEPT_PER_INTERVAL);
        let of_all = if keeps_whole { beyond(&self.whole.slowest, KEPT) } else { of_interval };
        match of_all {
            None if few => 0,
            None => self.p99,
            Some(of_all) => of_all.min(of_interval.unwrap_or(self.p99)),
        }
    }

    /// Takes a record; `random` decides whether it comes into the sample of the whole recording, if there is one.
    fn add(&mut self, record: &ExemplarRecord, random: Option<u64>, maps: &Maps) {
        let latency = record.row[LATENCY_WORD];
        let request =
            [record.arrived, record.read.saturating_sub(record.arrived), record.first.saturating_sub(record.read)];
        let is_wanted = random.is_some_and(|random| self.whole.would_keep(latency, random))
            || self.slowest.len() < KEPT_PER_INTERVAL
            || self.slowest.last().is_some_and(|last| last.latency_ns() < latency);
        // Most records are neither, and to read one takes memory, and a file of /proc for each name in it.
        let is_known = || self.slowest.iter().chain(self.whole.all()).any(|known| known.times() == request);
        if !is_wanted && !is_known() {
            self.whole.pass();
            return;
        }
        let names = Names { maps, service: record.service, is_wanted };
        let exemplar = exemplar(record, &names);
        if let Some(random) = random {
            self.whole.add(exemplar.clone(), random);
        }
        add_to_slowest(&mut self.slowest, exemplar, KEPT_PER_INTERVAL);
    }
}

/// A record from its bytes.
fn read(bytes: &[u8]) -> Option<ExemplarRecord> {
    (bytes.len() >= size_of::<ExemplarRecord>()).then(|| {
        // SAFETY: the slice is long enough, and the record consists of integers, which are valid for every bit pattern.
        unsafe { bytes.as_ptr().cast::<ExemplarRecord>().read_unaligned() }
    })
}

/// Lower end of the bucket of the P99; 0 without requests.
fn low_end_of_p99(sums: &Sums) -> u64 {
    bucket_of_p99(sums).map_or(0, |bucket| bucket_low(bucket as usize))
}

/// Finds names by number, unless nobody wants to see them.
struct Names<'m> {
    maps: &'m Maps,
    service: u32,
    is_wanted: bool,
}

impl Names<'_> {
    fn comm(&self, pid: u32) -> String {
        if self.is_wanted { self.maps.comm(pid) } else { String::new() }
    }

    fn endpoint(&self, number: u32, is_called: bool) -> String {
        if !self.is_wanted {
            return String::new();
        }
        endpoint_names::name(self.maps, numbering(self.service, is_called), number)
    }
}

fn exemplar(record: &ExemplarRecord, names: &Names<'_>) -> Exemplar {
    let (segments, truncated) = timeline(record, names);
    let client = match record.client_port {
        0 => "unix".to_owned(),
        port => SocketAddr::new(ip(record.client_address), port as u16).to_string(),
    };
    Exemplar {
        arrived_ns: record.arrived,
        queue_ns: record.read.saturating_sub(record.arrived),
        service_ns: record.first.saturating_sub(record.read),
        reply_ns: record.last.saturating_sub(record.first),
        client,
        thread: record.pid,
        pid: record.tgid,
        comm: text(&record.comm),
        endpoint: names.endpoint(record.endpoint, false),
        bytes_in: record.bytes_in,
        bytes_out: record.bytes_out,
        component_ns: ALL.map(|component| record.row[component_word(component)]).into(),
        shared_ns: record.row[SHARED_WORD],
        peer_ns: std::array::from_fn(|slot| record.row[PEER_WORD + slot]),
        segments,
        truncated,
    }
}

/// The segments in order: those of the queue time come newest first from the kernel, the reply comes last.
fn timeline(record: &ExemplarRecord, names: &Names<'_>) -> (Vec<Segment>, bool) {
    let known = &record.segments[..(record.segments_len as usize).min(SEGMENTS)];
    if known.is_empty() {
        return (Vec::new(), false);
    }
    let (queue, service) = known.split_at((record.queue_segments as usize).min(known.len()));
    let truncated = known.iter().any(|segment| segment_component(*segment).is_none());
    let mut all: Vec<Segment> = queue.iter().rev().chain(service).map(|segment| unpack(*segment, names)).collect();
    if queue.is_empty() {
        // One component only: the kernel side keeps no segment for it.
        let of_queue = ALL[..QUEUE_COMPONENTS].iter().map(|part| (*part as u32, record.row[component_word(*part)]));
        all.splice(0..0, of_queue.filter(|(_, ns)| *ns > 0).map(|(part, ns)| segment(part, ns)));
    }
    (all, truncated)
}

fn segment(component: u32, duration_ns: u64) -> Segment {
    Segment { component, duration_ns, ..Segment::default() }
}

fn unpack(packed: u64, names: &Names<'_>) -> Segment {
    let component = segment_component(packed).filter(|at| *at < ALL.len()).unwrap_or(Component::Unknown as usize);
    let who = segment_who(packed);
    let is_peer = component == Component::Downstream as usize;
    Segment {
        component: component as u32,
        duration_ns: segment_duration(packed),
        peer: is_peer.then_some(who & (PEER_SLOTS as u32 - 1)),
        call: if is_peer { names.endpoint(who >> CALLED_SHIFT, true) } else { String::new() },
        by: (!is_peer && who != 0).then(|| Actor { pid: who, comm: names.comm(who) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(latencies: &[u64]) -> Vec<Exemplar> {
        latencies.iter().map(|ns| Exemplar { service_ns: *ns, ..Exemplar::default() }).collect()
    }

    #[test]
    fn ordinary_requests_are_wanted_only_until_there_are_enough() {
        let mut of = OfService { p99: 500, ..OfService::default() };
        assert_eq!((of.wanted(true, true), of.wanted(false, true)), (0, 500));
        of.whole.slowest = kept(&[1000; KEPT]);
        // A new interval wants its own slowest, and nothing ordinary, however few requests there are.
        assert_eq!((of.wanted(true, true), of.wanted(false, true)), (500, 500));
        of.slowest = kept(&[900, 800, 700]);
        assert_eq!((of.wanted(true, true), of.wanted(false, true)), (701, 701));
        of.whole.slowest = kept(&[600; KEPT]);
        assert_eq!(of.wanted(false, true), 601);
    }

    #[test]
    fn where_none_of_all_are_kept_each_interval_has_its_slowest() {
        let mut of = OfService { p99: 500, ..OfService::default() };
        assert_eq!((of.wanted(true, false), of.wanted(false, false)), (0, 500));
        of.slowest = kept(&[400, 300, 200]);
        assert_eq!((of.wanted(true, false), of.wanted(false, false)), (201, 201));
    }
}
