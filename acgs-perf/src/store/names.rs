//! Which downstream peers the intervals of a run use by their number, and which they name.
//!
//! In: intervals of one run. Out: names for the numbers that are used. What names a peer is counted when it is called; the requests that
//! waited for it may be counted in another interval, which may be the only one of both that somebody asks for.

use std::collections::{BTreeMap, BTreeSet};

use super::peers::peer_slot;
use crate::live::probes::attribution::{DOWNSTREAM, ROWS};
use crate::snapshot::{Interval, Subject, Subjects};
use crate::sums::{Key, Row};

/// A number of a peer: whose, and which.
type Slot = (Subject, u32);

/// The peers of a run.
#[derive(Debug, Default)]
pub struct Names {
    used: BTreeSet<Slot>,
    named: BTreeMap<Slot, (Key, String)>,
}

impl Names {
    /// Looks at an interval that is wanted.
    pub fn see(&mut self, interval: &Interval) {
        self.find(interval);
        for (subject, sections) in &interval.subjects {
            let words = sections.get(ROWS).into_iter().flat_map(|rows| rows.values()).flat_map(|row| row.sums.iter());
            self.used.extend(words.filter_map(|(word, _)| peer_slot(word)).map(|slot| (subject.clone(), slot)));
        }
        for (subject, slowest) in &interval.slowest.0 {
            let slots = slowest.iter().flat_map(|exemplar| exemplar.peer_ns.iter().enumerate());
            self.used.extend(slots.filter(|(_, ns)| **ns > 0).map(|(slot, _)| (subject.clone(), slot as u32)));
        }
        // The others have no name.
        self.used.retain(|(_, slot)| *slot > 0);
    }

    /// Looks for names alone, in an interval of the run that is not wanted itself.
    pub fn find(&mut self, interval: &Interval) {
        for (subject, sections) in &interval.subjects {
            for (key, row) in sections.get(DOWNSTREAM).into_iter().flatten() {
                let Some(slot) = key.first() else { continue };
                self.named.entry((subject.clone(), *slot)).or_insert_with(|| (key.clone(), row.label.clone()));
            }
        }
    }

    /// Whether all that are used have a name.
    #[must_use]
    pub fn are_complete(&self) -> bool {
        self.used.iter().all(|slot| self.named.contains_key(slot))
    }

    /// Rows that name what is used, and count nothing.
    #[must_use]
    pub fn rows(&self) -> Subjects {
        let mut all = Subjects::new();
        for slot in &self.used {
            let Some((key, label)) = self.named.get(slot) else { continue };
            // A state, so that the row stays although nothing is counted in it.
            let row = Row { latest: vec![0], label: label.clone(), ..Row::default() };
            let section = all.entry(slot.0.clone()).or_default().entry(DOWNSTREAM.into()).or_default();
            section.insert(key.clone(), row);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use acgs_perf_common::attribution::{COUNT_WORD, PEER_WORD};

    use super::*;
    use crate::analysis::analyse;
    use crate::live::status::{ProbeState, ProbeStatus};
    use crate::snapshot::Context;
    use crate::store::ring::Ring;
    use crate::store::tests::{SECOND, UNIX, context, limits, push};
    use crate::store::{Wanted, capture};
    use crate::sums::{Section, Sections, Sums};

    /// The second at `at`: requests that waited for these slots, and calls to these: (slot, port).
    fn second(at: u64, waits: &[u32], calls: &[(u32, u32)]) -> Interval {
        let words = waits.iter().map(|slot| (PEER_WORD as u32 + slot, 1_000));
        let words = [(COUNT_WORD as u32, 1)].into_iter().chain(words);
        let rows = Section::from([(vec![7], Row { sums: Sums::sparse(words), ..Row::default() })]);
        let mapped = u32::from_ne_bytes([0, 0, 0xff, 0xff]);
        let address = u32::from_ne_bytes([10, 0, 0, 9]);
        let call = |(slot, port): &(u32, u32)| {
            let sums = Sums::sparse([(0, 1)]);
            (vec![*slot, 0, 0, mapped, address, *port], Row { sums, ..Row::default() })
        };
        let sections = Sections::from([(ROWS.into(), rows), (DOWNSTREAM.into(), calls.iter().map(call).collect())]);
        Interval {
            start_ns: at * SECOND,
            len_ns: SECOND,
            rest_start_ns: at * SECOND,
            subjects: [(Subject::service(0), sections)].into(),
            ..Interval::default()
        }
    }

    fn begun(start: u64) -> Context {
        let probe = ProbeStatus { name: "attribution".into(), state: ProbeState::Active, ..ProbeStatus::default() };
        Context { probes: vec![probe], ..context(start, &["x"]) }
    }

    /// Time by peer, from second `from` on.
    fn peers(directory: &Path, from: u64) -> Vec<(String, u64)> {
        let wanted = Wanted { from_unix_ns: UNIX + from * SECOND, to_unix_ns: u64::MAX, service: None };
        let report = analyse(&capture(directory, &wanted).unwrap().capture);
        let rows = &report.services[0].attribution.as_ref().unwrap().rows;
        rows.iter().flat_map(|row| row.downstream_ns.clone()).collect()
    }

    #[test]
    fn peers_that_are_named_later_or_before_what_is_wanted_keep_their_names_over_runs() {
        let directory = tempfile::tempdir().unwrap();
        let mut ring = Ring::open(directory.path(), &limits(8 << 20)).unwrap();
        ring.begin("boot", &begun(100)).unwrap();
        push(&mut ring, &second(100, &[], &[(1, 80)]));
        push(&mut ring, &second(101, &[1], &[]));
        // Another run numbers them anew: a request waits for its first peer, whose call is counted a second later.
        ring.begin("boot", &begun(102)).unwrap();
        push(&mut ring, &second(102, &[1, 2], &[(2, 80)]));
        push(&mut ring, &second(103, &[], &[(1, 81)]));
        push(&mut ring, &second(104, &[1], &[]));
        let of = |port: u32, ns: u64| (format!("10.0.0.9:{port}"), ns);
        assert_eq!(peers(directory.path(), 100), [of(80, 2_000), of(81, 2_000)]);
        // What names them lies before the time that is asked for.
        assert_eq!(peers(directory.path(), 101), [of(80, 2_000), of(81, 2_000)]);
        assert_eq!(peers(directory.path(), 104), [of(81, 1_000)]);
    }
}
