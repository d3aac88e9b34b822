//! Keeps exemplars: the slowest requests of each service, and a sample of those above the running P99.
//!
//! In: records from the kernel's ring buffer, and the running latency histogram. Out: `Exemplar`s, slowest first, and the
//! gate that tells the kernel side which requests are worth a record. Nothing wakes the agent; it looks when it has time.

use std::collections::HashMap;
use std::net::SocketAddr;

use acgs_perf_common::attribution::{
    ATTRIBUTION_WORDS, Component, LATENCY_WORD, PEER_SLOTS, QUEUE_COMPONENTS, component_word,
};
use acgs_perf_common::exemplar::{ExemplarRecord, Gate, SEGMENTS, segment_component, segment_duration, segment_who};
use acgs_perf_common::maps::{Counter, Histogram};
use aya::maps::{MapData, RingBuf};

use super::attribution::{ip, row};
use super::maps::Maps;
use crate::capture::{Actor, Exemplar, Segment};

/// Exemplars of either kind that are kept per service.
pub const KEPT: usize = 20;
/// Records per service that the kernel side may send between two looks.
const SLOWEST_BUDGET: u64 = 96;
const SAMPLE_BUDGET: u64 = 16;
/// Looks between two readings of the running P99.
const P99_EVERY: u32 = 8;

/// The exemplars of all services.
pub struct Exemplars {
    ring: RingBuf<MapData>,
    services: Vec<Kept>,
    looks: u32,
    /// State of a small generator of random numbers for the sample; its quality does not matter.
    random: u64,
}

#[derive(Default)]
struct Kept {
    slowest: Vec<One>,
    sample: Vec<One>,
    sampled: u64,
    /// Running P99 of the latency.
    p99: u64,
    /// Requests at the last look.
    requests: u64,
}

struct One {
    record: ExemplarRecord,
    names: HashMap<u32, String>,
}

impl One {
    fn latency(&self) -> u64 {
        self.record.row[LATENCY_WORD]
    }
}

impl Exemplars {
    /// Nothing kept yet; the gate is open.
    #[must_use]
    pub fn new(ring: RingBuf<MapData>, maps: &Maps) -> Self {
        let services = (0..maps.services()).map(|_| Kept::default()).collect();
        let mut all = Self { ring, services, looks: 0, random: 0x9e37_79b9_7f4a_7c15 };
        all.open_gate(maps);
        all
    }

    /// Takes what the kernel side has sent, and tells it what is worth sending from now on.
    pub fn look(&mut self, maps: &Maps) {
        self.take(maps);
        self.open_gate(maps);
    }

    /// Takes what the kernel side has sent.
    pub fn take(&mut self, maps: &Maps) {
        while let Some(item) = self.ring.next() {
            let Some(record) = read(&item) else { continue };
            drop(item);
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            if let Some(kept) = self.services.get_mut(record.service as usize) {
                kept.add(record, self.random, maps);
            }
        }
    }

    fn open_gate(&mut self, maps: &Maps) {
        for (service, kept) in self.services.iter_mut().enumerate() {
            if self.looks % P99_EVERY <= 1 {
                kept.p99 = running_p99(&maps.histogram(service, Histogram::Latency as u32));
            }
            let requests = maps.counter(service, Counter::Requests);
            let few = requests - kept.requests < SLOWEST_BUDGET;
            kept.requests = requests;
            let slowest = match kept.slowest.last() {
                // Nothing is known yet: a record for each request would flood the buffer.
                _ if self.looks == 0 => u64::MAX,
                Some(last) if kept.slowest.len() == KEPT => last.latency() + 1,
                _ if few => 0,
                _ => kept.p99,
            };
            maps.set_gate(service, Gate::Slowest, slowest);
            maps.set_gate(service, Gate::AboveP99, if self.looks == 0 { u64::MAX } else { kept.p99.min(slowest) });
            maps.set_gate(service, Gate::SlowestBudget, SLOWEST_BUDGET);
            maps.set_gate(service, Gate::AboveP99Budget, SAMPLE_BUDGET);
        }
        self.looks += 1;
    }

    /// The exemplars of a service, slowest first; `start_ns` is when the window began by the monotonic clock.
    #[must_use]
    pub fn of(&self, service: usize, start_ns: u64) -> Vec<Exemplar> {
        let Some(kept) = self.services.get(service) else { return Vec::new() };
        let slowest = kept.slowest.iter().map(|one| exemplar(one, true, start_ns));
        let sample = kept.sample.iter().map(|one| exemplar(one, false, start_ns));
        let mut all: Vec<Exemplar> = slowest.chain(sample).collect();
        all.sort_by_key(|exemplar| std::cmp::Reverse(exemplar.queue_ns + exemplar.service_ns + exemplar.reply_ns));
        all
    }
}

impl Kept {
    fn add(&mut self, record: ExemplarRecord, random: u64, maps: &Maps) {
        let same = |one: &&mut One| one.record.socket == record.socket && one.record.read == record.read;
        // A reply that went on comes again, without the segments.
        if let Some(known) = self.slowest.iter_mut().chain(&mut self.sample).find(same) {
            let segments = (known.record.segments_len, known.record.queue_segments, known.record.segments);
            let pid = known.record.pid;
            known.record = record;
            if record.segments_len == 0 {
                (known.record.segments_len, known.record.queue_segments, known.record.segments) = segments;
                known.record.pid = pid;
            }
            self.slowest.sort_by_key(|one| std::cmp::Reverse(one.latency()));
            return;
        }
        // Names only for what is kept, at least for now: each is a file of /proc, and most of a long recording's records are
        // not kept.
        let one = || One { names: names(&record, maps), record };
        let latency = record.row[LATENCY_WORD];
        let rank = self.slowest.partition_point(|other| other.latency() >= latency);
        if rank < KEPT {
            self.slowest.insert(rank, one());
            if self.slowest.len() > KEPT
                && let Some(last) = self.slowest.pop()
            {
                self.offer(|| last, random);
            }
        } else {
            self.offer(one, random);
        }
    }

    /// Reservoir sampling: each of the requests that came so far is in the sample with the same probability.
    fn offer(&mut self, one: impl FnOnce() -> One, random: u64) {
        self.sampled += 1;
        if self.sample.len() < KEPT {
            self.sample.push(one());
        } else if let Some(slot) = self.sample.get_mut((random % self.sampled) as usize) {
            *slot = one();
        }
    }
}

/// A record from its bytes.
fn read(bytes: &[u8]) -> Option<ExemplarRecord> {
    (bytes.len() >= size_of::<ExemplarRecord>()).then(|| {
        // SAFETY: the slice is long enough, and the record consists of integers, which are valid for every bit pattern.
        unsafe { bytes.as_ptr().cast::<ExemplarRecord>().read_unaligned() }
    })
}

/// Lower end of the bucket of the P99 so far; 0 without requests.
fn running_p99(buckets: &[u64]) -> u64 {
    let total: u64 = buckets.iter().sum();
    let mut above = total / 100;
    for (bucket, count) in buckets.iter().enumerate().rev() {
        if *count > above {
            return if total == 0 { 0 } else { acgs_perf_common::histogram::bucket_low(bucket) };
        }
        above -= count;
    }
    0
}

/// Names of the processes in the record's segments, while they can still be found.
fn names(record: &ExemplarRecord, maps: &Maps) -> HashMap<u32, String> {
    let mut names = HashMap::new();
    for segment in segments(record) {
        let pid = segment_who(*segment);
        let is_process = segment_component(*segment).is_some_and(|at| at != Component::Downstream as usize);
        if is_process && pid != 0 && !names.contains_key(&pid) {
            names.insert(pid, maps.comm(pid));
        }
    }
    names
}

fn segments(record: &ExemplarRecord) -> &[u64] {
    &record.segments[..(record.segments_len as usize).min(SEGMENTS)]
}

fn exemplar(one: &One, slowest: bool, start_ns: u64) -> Exemplar {
    let record = &one.record;
    let sums = row(0, &record.row);
    let (segments, truncated) = timeline(one);
    let client = match record.client_port {
        0 => "unix".to_owned(),
        port => SocketAddr::new(ip(record.client_address), port as u16).to_string(),
    };
    Exemplar {
        arrived_ns: record.arrived.wrapping_sub(start_ns) as i64,
        queue_ns: record.read.saturating_sub(record.arrived),
        service_ns: record.first.saturating_sub(record.read),
        reply_ns: record.last.saturating_sub(record.first),
        client,
        thread: record.pid,
        pid: record.tgid,
        comm: super::collect::text(&record.comm),
        bytes_in: record.bytes_in,
        bytes_out: record.bytes_out,
        component_ns: sums.component_ns,
        shared_ns: sums.shared_ns,
        peer_ns: sums.peer_ns,
        slowest,
        segments,
        truncated,
    }
}

/// The segments in order: those of the queue time come newest first from the kernel, the reply comes last.
fn timeline(one: &One) -> (Vec<Segment>, bool) {
    let record = &one.record;
    let known = segments(record);
    let (queue, service) = known.split_at((record.queue_segments as usize).min(known.len()));
    let truncated = known.iter().any(|segment| segment_component(*segment).is_none());
    let mut all: Vec<Segment> = queue.iter().rev().chain(service).map(|segment| unpack(*segment, one)).collect();
    if queue.is_empty() && !known.is_empty() {
        // One component only: the kernel side keeps no segment for it.
        let of_queue = |segment: &Segment| (segment.component as usize) < QUEUE_COMPONENTS;
        all.splice(0..0, from_sums(&record.row).into_iter().filter(of_queue));
    }
    if known.is_empty() {
        all = from_sums(&record.row);
    }
    let reply = record.row[component_word(Component::Reply)];
    if reply > 0 && all.last().is_none_or(|last| last.component != Component::Reply) {
        all.push(Segment { component: Component::Reply, duration_ns: reply, peer: None, by: None });
    }
    (all, truncated)
}

/// One segment per component, where the order is not known.
fn from_sums(row: &[u64; ATTRIBUTION_WORDS]) -> Vec<Segment> {
    acgs_perf_common::attribution::ALL
        .iter()
        .map(|component| (*component, row[component_word(*component)]))
        .filter(|(_, ns)| *ns > 0)
        .map(|(component, duration_ns)| Segment { component, duration_ns, peer: None, by: None })
        .collect()
}

fn unpack(segment: u64, one: &One) -> Segment {
    let component = segment_component(segment)
        .and_then(|at| acgs_perf_common::attribution::ALL.get(at).copied())
        .unwrap_or(Component::Unknown);
    let who = segment_who(segment);
    let is_peer = component == Component::Downstream;
    Segment {
        component,
        duration_ns: segment_duration(segment),
        peer: (is_peer && (who as usize) < PEER_SLOTS).then_some(who as usize),
        by: (!is_peer && who != 0).then(|| Actor { pid: who, comm: one.names.get(&who).cloned().unwrap_or_default() }),
    }
}
