//! Single requests with their history: the slowest, and a sample of those above the P99.
//!
//! In: what the engine has taken from the kernel's ring. Out: for the whole recording as many of each kind as a report shows; for
//! each interval a few of the slowest, which merge with those of the interval after it.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use acgs_perf_common::attribution::PEER_SLOTS;
use serde::{Deserialize, Serialize};

use super::model::Subject;

/// Exemplars of either kind that are kept per subject for the whole recording.
pub const KEPT: usize = 20;
/// Those that each interval keeps.
pub const KEPT_PER_INTERVAL: usize = 3;

/// One request with its history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exemplar {
    /// When it arrived, on the clock of the programs.
    pub arrived_ns: u64,
    /// arrived → read.
    pub queue_ns: u64,
    /// read → first byte.
    pub service_ns: u64,
    /// First byte → last byte.
    pub reply_ns: u64,
    /// Its client: `address:port`, `unix`.
    pub client: String,
    /// Thread that sent the reply.
    pub thread: u32,
    /// Its process.
    pub pid: u32,
    /// Its command name.
    pub comm: String,
    /// What was asked for; empty where that is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub endpoint: String,
    /// Bytes of the request.
    pub bytes_in: u64,
    /// Bytes of the reply.
    pub bytes_out: u64,
    /// Components, in the order of `Component`.
    pub component_ns: Vec<u64>,
    /// Time that was split with other requests.
    pub shared_ns: u64,
    /// The component `downstream` by peer slot.
    pub peer_ns: [u64; PEER_SLOTS],
    /// What it went through, in order.
    pub segments: Vec<Segment>,
    /// Whether there were more segments than the kernel keeps; the last one stands for all that followed.
    pub truncated: bool,
}

impl Exemplar {
    /// arrived → last byte.
    #[must_use]
    pub fn latency_ns(&self) -> u64 {
        self.queue_ns.saturating_add(self.service_ns).saturating_add(self.reply_ns)
    }
}

/// A stretch of a request's life in one component.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// The component, by its index.
    pub component: u32,
    /// How long.
    pub duration_ns: u64,
    /// Downstream: slot of the peer.
    pub peer: Option<u32>,
    /// Downstream: what it was asked for; empty where that is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub call: String,
    /// Who woke the thread at the end of a blocked stretch, or who held its CPU at the end of a wait for it.
    pub by: Option<Actor>,
}

/// Another process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// Process id.
    pub pid: u32,
    /// Command name, empty if it was gone before it could be read.
    pub comm: String,
}

impl Exemplar {
    /// What tells a request from the others: when it arrived, its queue time, its service time.
    #[must_use]
    pub fn times(&self) -> [u64; 3] {
        [self.arrived_ns, self.queue_ns, self.service_ns]
    }

    /// Whether it is the same request as the other, whose reply may have gone on meanwhile.
    fn is_of(&self, other: &Self) -> bool {
        self.times() == other.times() && self.client == other.client
    }

    /// Becomes what is known of the same request now. A reply that went on comes again without its history.
    fn go_on(&mut self, later: Self) {
        if later.latency_ns() < self.latency_ns() {
            return;
        }
        let known = std::mem::replace(self, later);
        if self.segments.is_empty() {
            (self.segments, self.truncated) = (known.segments, known.truncated);
            // Who found that it went on need not be who replied.
            (self.thread, self.pid, self.comm) = (known.thread, known.pid, known.comm);
        }
    }
}

/// Adds an exemplar to the slowest, of which `limit` are kept, slowest first. Gives back the one that is beyond.
pub fn add_to_slowest(slowest: &mut Vec<Exemplar>, exemplar: Exemplar, limit: usize) -> Option<Exemplar> {
    if let Some(known) = slowest.iter_mut().find(|known| known.is_of(&exemplar)) {
        known.go_on(exemplar);
        slowest.sort_by_key(|exemplar| Reverse(exemplar.latency_ns()));
        return None;
    }
    let rank = slowest.partition_point(|other| other.latency_ns() >= exemplar.latency_ns());
    slowest.insert(rank, exemplar);
    if slowest.len() > limit { slowest.pop() } else { None }
}

/// The slowest requests of an interval, by subject.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slowest(pub BTreeMap<Subject, Vec<Exemplar>>);

impl Slowest {
    /// Adds those of a later interval.
    pub fn merge(&mut self, later: &Self) {
        for (subject, exemplars) in &later.0 {
            let own = self.0.entry(subject.clone()).or_default();
            for exemplar in exemplars {
                add_to_slowest(own, exemplar.clone(), KEPT_PER_INTERVAL);
            }
        }
    }
}

impl Slowest {
    /// Adds those of another host, worker or service at the same time, none of which is one of these.
    pub fn add_beside(&mut self, other: Self) {
        for (subject, exemplars) in other.0 {
            let own = self.0.entry(subject).or_default();
            for exemplar in exemplars {
                let is_slow =
                    own.get(KEPT_PER_INTERVAL - 1).is_none_or(|last| last.latency_ns() < exemplar.latency_ns());
                if is_slow {
                    add_to_slowest(own, exemplar, KEPT_PER_INTERVAL);
                }
            }
        }
    }
}

/// The exemplars of one subject over a whole recording.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The slowest, slowest first.
    pub slowest: Vec<Exemplar>,
    /// A sample of the others that were above the P99.
    pub sample: Vec<Exemplar>,
    /// How many the sample stands for.
    pub sampled: u64,
}

impl Kept {
    /// Whether one of this latency would be kept, unless it is known already.
    #[must_use]
    pub fn would_keep(&self, latency_ns: u64, random: u64) -> bool {
        self.slowest.len() < KEPT
            || self.slowest.last().is_some_and(|last| last.latency_ns() < latency_ns)
            || self.sample.len() < KEPT
            || random % (self.sampled + 1) < KEPT as u64
    }

    /// All that are kept.
    pub fn all(&self) -> impl Iterator<Item = &Exemplar> {
        self.slowest.iter().chain(&self.sample)
    }

    /// Counts one that is not kept, and is not known already.
    pub fn pass(&mut self) {
        self.sampled += 1;
    }

    /// Adds one; `random` decides whether it comes into the sample.
    pub fn add(&mut self, exemplar: Exemplar, random: u64) {
        if let Some(known) = self.sample.iter_mut().find(|known| known.is_of(&exemplar)) {
            known.go_on(exemplar);
            return;
        }
        if let Some(beyond) = add_to_slowest(&mut self.slowest, exemplar, KEPT) {
            // Reservoir sampling: each of the requests that came so far is in the sample with the same probability.
            self.sampled += 1;
            if self.sample.len() < KEPT {
                self.sample.push(beyond);
            } else if let Some(slot) = self.sample.get_mut((random % self.sampled) as usize) {
                *slot = beyond;
            }
        }
    }
}

/// Exemplars of a whole recording, by subject.
pub type Exemplars = BTreeMap<Subject, Kept>;

#[cfg(test)]
mod tests {
    use super::*;

    fn exemplar(arrived_ns: u64, service_ns: u64) -> Exemplar {
        Exemplar { arrived_ns, service_ns, ..Exemplar::default() }
    }

    #[test]
    fn the_slowest_of_many_intervals_are_the_slowest_of_all() {
        let mut all = Slowest::default();
        for interval in 0..10u64 {
            let slowest = (0..3).map(|i| exemplar(interval * 10 + i, (i * 37 + interval * 11) % 101)).collect();
            all.merge(&Slowest([(Subject::service(0), slowest)].into()));
        }
        let kept: Vec<u64> = all.0[&Subject::service(0)].iter().map(Exemplar::latency_ns).collect();
        let mut every: Vec<u64> = (0..10).flat_map(|n| (0..3).map(move |i| (i * 37 + n * 11) % 101)).collect();
        every.sort_unstable_by_key(|ns| Reverse(*ns));
        assert_eq!(kept, every[..3]);
    }

    #[test]
    fn what_is_not_among_the_slowest_may_be_in_the_sample() {
        let mut kept = Kept::default();
        for i in 0..1000u64 {
            kept.add(exemplar(i, i * 7919 % 1000), i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 7);
        }
        assert_eq!((kept.slowest.len(), kept.sample.len(), kept.sampled), (KEPT, KEPT, 980));
        assert!(kept.slowest.iter().all(|one| one.service_ns >= 980));
    }

    #[test]
    fn a_reply_that_goes_on_is_one_request_with_its_history() {
        let segment = Segment { component: 10, duration_ns: 5, ..Segment::default() };
        let first = Exemplar { segments: vec![segment], reply_ns: 1, thread: 7, ..exemplar(1, 50) };
        let mut kept = Kept::default();
        kept.add(first.clone(), 0);
        kept.add(Exemplar { reply_ns: 900, segments: Vec::new(), thread: 8, ..first.clone() }, 0);
        assert_eq!(kept.slowest, [Exemplar { reply_ns: 900, ..first }]);
    }
}
