//! What happened between two snapshots.
//!
//! In: two snapshots. Out: an [`Interval`], which adds up with those beside it to the interval from the first to the last.

use std::cmp::Reverse;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::exemplar::Slowest;
use super::model::{Look, Snapshot, Subject, Subjects};
use crate::live::probes;
use crate::sums::{Difference as _, Row, Section, Sections, Sums};

/// With more rows than this, a section that could get ever more is thinned out.
const MAX_ROWS: usize = 2048;
/// At most so many rows are left then.
const KEPT_ROWS: usize = 1024;

/// What happened between two snapshots.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Begin, on the clock of the programs.
    pub start_ns: u64,
    /// Length.
    pub len_ns: u64,
    /// Begin of the time that the sections cover which are read less often: they end where the interval does, and are absent
    /// where it did not read them.
    pub rest_start_ns: u64,
    /// What changed, by subject.
    pub subjects: Subjects,
    /// The requests that were open at its end; `None` where nobody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub look: Option<Look>,
    /// What was lost, by `Loss`.
    pub ledger: Sums,
    /// CPU time of the agent.
    pub agent_cpu_ns: u64,
    /// Its slowest requests.
    #[serde(default)]
    pub slowest: Slowest,
}

impl Interval {
    /// From snapshot `a` to the later snapshot `b`.
    #[must_use]
    pub fn between(a: &Snapshot, b: &Snapshot) -> Self {
        let mut subjects = b.often.clone();
        subjects.subtract(&a.often);
        if !Arc::ptr_eq(&a.rest, &b.rest) {
            let mut rest = Subjects::clone(&b.rest);
            rest.subtract(&a.rest);
            subjects.add(&rest);
        }
        let mut ledger = b.ledger.clone();
        ledger.subtract(&a.ledger);
        Self {
            start_ns: a.at_ns,
            len_ns: b.at_ns.saturating_sub(a.at_ns),
            rest_start_ns: a.rest_at_ns,
            subjects,
            look: b.look.clone(),
            ledger,
            agent_cpu_ns: b.agent_cpu_ns.saturating_sub(a.agent_cpu_ns),
            slowest: Slowest::default(),
        }
    }

    /// Becomes the interval that ends where `later` does, which follows this one.
    pub fn merge(&mut self, later: &Self) {
        self.len_ns = later.end_ns().saturating_sub(self.start_ns);
        self.rest_start_ns = self.rest_start_ns.min(later.rest_start_ns);
        self.subjects.add(&later.subjects);
        self.subjects.values_mut().for_each(bound);
        if later.look.is_some() {
            self.look.clone_from(&later.look);
        }
        self.ledger.add(&later.ledger);
        self.agent_cpu_ns += later.agent_cpu_ns;
        self.slowest.merge(&later.slowest);
    }

    /// Becomes the sum of both, which were at the same time: of another host, another worker, other services. Of gauges the larger one
    /// counts.
    pub fn add_beside(&mut self, other: Self) {
        let end_ns = self.end_ns().max(other.end_ns());
        self.start_ns = self.start_ns.min(other.start_ns);
        self.len_ns = end_ns.saturating_sub(self.start_ns);
        self.rest_start_ns = self.rest_start_ns.min(other.rest_start_ns);
        let mut has_nothing = false;
        for (subject, sections) in other.subjects {
            let own = self.subjects.entry(subject).or_default();
            for (name, section) in sections {
                let own = own.entry(name).or_default();
                for (key, row) in section {
                    let own = own.entry(key).or_default();
                    add_row(own, row);
                    has_nothing |= own.is_nothing();
                }
                has_nothing |= own.is_empty();
            }
            has_nothing |= own.is_empty();
            bound(own);
        }
        if has_nothing {
            for sections in self.subjects.values_mut() {
                sections.values_mut().for_each(|section| section.retain(|_, row| !row.is_nothing()));
                sections.retain(|_, section| !section.is_empty());
            }
            self.subjects.retain(|_, sections| !sections.is_empty());
        }
        match (&mut self.look, other.look) {
            (Some(look), Some(other)) => look.add_beside(other),
            (look @ None, other) => *look = other,
            (Some(_), None) => {}
        }
        self.ledger.add(&other.ledger);
        self.agent_cpu_ns = self.agent_cpu_ns.saturating_add(other.agent_cpu_ns);
        self.slowest.add_beside(other.slowest);
    }

    /// Becomes what is left of it behind `begin`, which is a part of it: from its begin on, or from where the last one that was taken
    /// away has ended.
    pub fn take_away(&mut self, begin: &Self) {
        for (subject, sections) in &begin.subjects {
            let own = self.subjects.entry(subject.clone()).or_default();
            for (name, section) in sections {
                let own = own.entry(name.clone()).or_default();
                for (key, row) in section {
                    // What is not there has come to nothing, because it was taken back behind `begin`.
                    own.entry(key.clone()).or_default().sums.subtract(&row.sums);
                }
            }
        }
        self.ledger.subtract(&begin.ledger);
        self.agent_cpu_ns = self.agent_cpu_ns.saturating_sub(begin.agent_cpu_ns);
        let end_ns = self.end_ns();
        self.start_ns = begin.end_ns();
        self.len_ns = end_ns.saturating_sub(self.start_ns);
        for exemplars in self.slowest.0.values_mut() {
            exemplars.retain(|exemplar| exemplar.arrived_ns.saturating_add(exemplar.latency_ns()) > begin.end_ns());
        }
    }

    /// End, on the clock of the programs.
    #[must_use]
    pub fn end_ns(&self) -> u64 {
        self.start_ns.saturating_add(self.len_ns)
    }

    /// The figures of a subject.
    #[must_use]
    pub fn of(&self, subject: &Subject) -> Option<&Sections> {
        self.subjects.get(subject)
    }
}

/// Adds what was counted for the same key at the same time elsewhere.
fn add_row(own: &mut Row, other: Row) {
    let mut latest = std::mem::take(&mut own.latest);
    latest.resize(latest.len().max(other.latest.len()), 0);
    latest.iter_mut().zip(&other.latest).for_each(|(own, other)| *own = (*own).max(*other));
    own.add(&other);
    own.latest = latest;
}

/// Has the smallest rows count as others in sections that could get ever more.
fn bound(sections: &mut Sections) {
    for (name, section) in sections.iter_mut().filter(|(_, section)| section.len() > MAX_ROWS) {
        let Some(others) = probes::others(name) else { continue };
        let mut sizes: Vec<i64> = section.values().map(|row| row.sums.get(0)).collect();
        sizes.sort_unstable_by_key(|size| Reverse(*size));
        let least = sizes[KEPT_ROWS];
        let (kept, small): (Section, Section) =
            std::mem::take(section).into_iter().partition(|(key, row)| row.sums.get(0) > least || others(key) == *key);
        *section = kept;
        for (key, row) in small {
            section.entry(others(&key)).or_default().sums.add(&row.sums);
        }
    }
}

/// The bucket of a histogram that holds its P99; counts below 0 are nothing.
#[must_use]
pub fn bucket_of_p99(sums: &Sums) -> Option<u32> {
    let counts = || sums.iter().map(|(bucket, count)| (bucket, count.max(0)));
    let mut beyond = counts().map(|(_, count)| count).sum::<i64>() / 100;
    let found = counts().rev().find(|(_, count)| {
        let is_here = *count > beyond;
        beyond -= count;
        is_here
    });
    found.map(|(bucket, _)| bucket)
}

/// A section, empty where nothing changed in it.
#[must_use]
pub fn section<'a>(sections: Option<&'a Sections>, name: &str) -> &'a Section {
    static NOTHING: Section = Section::new();
    sections.and_then(|sections| sections.get(name)).unwrap_or(&NOTHING)
}

/// A row of a section, empty where nothing changed in it.
#[must_use]
pub fn row<'a>(sections: Option<&'a Sections>, name: &str, key: &[u32]) -> &'a Row {
    static NOTHING: Row = Row::NOTHING;
    section(sections, name).get(key).unwrap_or(&NOTHING)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sums::{Key, counted};

    /// A small generator, so that the same cases come every time.
    fn random(state: &mut u64) -> u64 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *state >> 33
    }

    /// A snapshot after some more happened: counts grow, and replies that go on move from one bucket to another.
    fn next(before: &Snapshot, state: &mut u64) -> Snapshot {
        let mut after = before.clone();
        after.at_ns += 1 + random(state) % 1_000_000_000;
        after.agent_cpu_ns += random(state) % 1000;
        after.ledger.add(&Sums::sparse([(random(state) as u32 % 15, 1)]));
        let deep = random(state).is_multiple_of(3);
        let mut rest = Subjects::clone(&after.rest);
        for service in 0..3 {
            let subject = Subject::service(service);
            let latency = after.often.entry(subject.clone()).or_default().entry("latency".into()).or_default();
            let sums = &mut latency.entry(vec![0]).or_default().sums;
            for _ in 0..random(state) % 20 {
                sums.add(&Sums::sparse([(random(state) as u32 % 3840, 1)]));
            }
            // A reply grows.
            let (from, to) = (random(state) as u32 % 3840, random(state) as u32 % 3840);
            if sums.get(from) > 0 && from != to {
                let mut moved = [(from, -1), (to, 1)];
                moved.sort_unstable();
                sums.add(&Sums::sparse(moved));
            }
            if deep {
                let peers = rest.entry(subject).or_default().entry("peers".into()).or_default();
                let peer = peers.entry(vec![random(state) as u32 % 5]).or_default();
                peer.sums.add(&Sums::dense([1, random(state) as i64]));
                peer.latest = vec![random(state)];
                peer.label = "peer".into();
            }
        }
        if deep {
            after.rest = Arc::new(rest);
            after.rest_at_ns = after.at_ns;
        }
        after
    }

    #[test]
    fn intervals_add_up_to_the_whole() {
        for seed in 0..50 {
            let mut state = seed;
            let mut snapshots = vec![next(&Snapshot::default(), &mut state)];
            for _ in 0..40 {
                snapshots.push(next(snapshots.last().unwrap(), &mut state));
            }
            let whole = Interval::between(&snapshots[0], snapshots.last().unwrap());
            let mut sum: Option<Interval> = None;
            for pair in snapshots.windows(2) {
                let interval = Interval::between(&pair[0], &pair[1]);
                match &mut sum {
                    None => sum = Some(interval),
                    Some(sum) => sum.merge(&interval),
                }
            }
            assert_eq!(sum.unwrap(), whole, "seed {seed}");
        }
    }

    #[test]
    fn a_section_that_could_get_ever_more_rows_is_bounded_and_loses_nothing() {
        let mut whole = Interval::default();
        for client in 0..50_000u32 {
            let row = Row { sums: Sums::dense([1 + i64::from(client % 97 == 0), 0, 0, 2]), ..Row::default() };
            let section = Section::from([(vec![0, 0, 0xffff, client, 0], row)]);
            let sections = Sections::from([(probes::tcp::PEERS.into(), section)]);
            whole.merge(&Interval { subjects: [(Subject::service(0), sections)].into(), ..Interval::default() });
        }
        let peers = section(whole.of(&Subject::service(0)), probes::tcp::PEERS);
        assert!(peers.len() <= MAX_ROWS, "{} rows", peers.len());
        let sum = |word: u32| peers.values().map(|row| row.sums.get(word)).sum::<i64>();
        assert_eq!((sum(0), sum(3)), (50_000 + 516, 100_000));
    }

    /// The only request of a row has moved on, as that of a reply does which left late.
    #[test]
    fn a_row_that_has_come_to_nothing_takes_back_what_it_had_counted() {
        const ROWS: &str = probes::attribution::ROWS;
        let row = |bucket: u32, count: i64| (vec![bucket], Row { sums: Sums::dense([count]), ..Row::default() });
        let snapshot = |section: &Section| {
            let mut snapshot = Snapshot::default();
            let sections = Sections::from([(ROWS.into(), section.clone())]);
            snapshot.rest = Arc::new([(Subject::service(0), sections)].into());
            snapshot
        };
        let first = counted([row(3, 1), row(9, 0)], None);
        let second = counted([row(3, 0), row(9, 1)], Some(&first));
        assert_eq!(first.len(), 1);
        let before = Interval::between(&snapshot(&Section::new()), &snapshot(&first));
        let mut sum = Interval::between(&snapshot(&first), &snapshot(&second));
        let counts = |interval: &Interval| -> Vec<(Key, i64)> {
            section(interval.of(&Subject::service(0)), ROWS)
                .iter()
                .map(|(key, row)| (key.clone(), row.sums.get(0)))
                .collect()
        };
        assert_eq!(counts(&sum), [(vec![3], -1), (vec![9], 1)]);
        let after = sum.clone();
        sum = before;
        sum.merge(&after);
        assert_eq!(counts(&sum), [(vec![9], 1)]);
    }

    #[test]
    fn a_reply_that_grows_across_the_border_leaves_a_negative_count() {
        let mut a = Snapshot::default();
        let latency = a.often.entry(Subject::service(0)).or_default().entry("latency".into()).or_default();
        latency.insert(vec![0], Row { sums: Sums::sparse([(10, 1)]), ..Row::default() });
        let mut b = a.clone();
        let latency = b.often.entry(Subject::service(0)).or_default().entry("latency".into()).or_default();
        latency.insert(vec![0], Row { sums: Sums::sparse([(250, 1)]), ..Row::default() });
        let interval = Interval::between(&a, &b);
        let row = row(interval.of(&Subject::service(0)), "latency", &[0]);
        assert_eq!((row.sums.get(10), row.sums.get(250)), (-1, 1));
    }
}
