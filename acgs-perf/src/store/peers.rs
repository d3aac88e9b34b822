//! Downstream peers over several runs: each run numbers them anew, and their times lie under these numbers.
//!
//! In: intervals of the first run, then those of the others. Out: the same figures under the numbers of the first.

use std::collections::BTreeMap;

use acgs_perf_common::attribution::{PEER_SLOTS, PEER_WORD};

use crate::live::probes::attribution::{DOWNSTREAM, ROWS};
use crate::snapshot::exemplar::Exemplar;
use crate::snapshot::{Interval, Subject};
use crate::sums::{Difference as _, Key, Sums};

/// What tells a peer: the key without its slot, and the label.
type Address = (Key, String);

/// New slots, by the old ones.
type Slots = [u32; PEER_SLOTS];

/// The slots of each subject's peers.
#[derive(Debug, Default)]
pub struct Peers {
    slots: BTreeMap<Subject, BTreeMap<Address, u32>>,
    /// In the run under way: the slot for each of its own, if it is not the first run.
    of_run: Option<BTreeMap<(Subject, u32), u32>>,
}

impl Peers {
    /// Another run begins, and there was one before.
    pub fn begin_later_run(&mut self) {
        self.of_run = Some(BTreeMap::new());
    }

    /// Learns which peers an interval of the run under way names, so that those before it can be renumbered too: what names a peer is
    /// read less often than what was spent waiting for it.
    pub fn learn(&mut self, interval: &Interval) {
        for (subject, sections) in &interval.subjects {
            for (key, row) in sections.get(DOWNSTREAM).into_iter().flatten() {
                self.slot(subject, key.first().copied().unwrap_or(0), key, &row.label);
            }
        }
    }

    /// Brings an interval of the run under way to the slots of the first one.
    pub fn renumber(&mut self, interval: &mut Interval) {
        for (subject, sections) in &mut interval.subjects {
            let Some(section) = sections.get_mut(DOWNSTREAM) else { continue };
            let old = std::mem::take(section);
            for (key, row) in old {
                let slot = key.first().copied().unwrap_or(0);
                let new = self.slot(subject, slot, &key, &row.label);
                let key = if new == slot { key } else { renamed(&key, new) };
                section.entry(key).or_default().add(&row);
            }
        }
        for (subject, sections) in &mut interval.subjects {
            let Some(rows) = sections.get_mut(ROWS) else { continue };
            let Some(slots) = self.slots_of_run(subject) else { return };
            for row in rows.values_mut() {
                // Most requests call nobody, or all is where it belongs.
                let is_moved = |slot: u32| slots[slot as usize] != slot;
                if row.sums.iter().any(|(word, _)| peer_slot(word).is_some_and(is_moved)) {
                    row.sums = moved(&row.sums, &slots);
                }
            }
        }
        for (subject, slowest) in &mut interval.slowest.0 {
            let Some(slots) = self.slots_of_run(subject) else { return };
            slowest.iter_mut().for_each(|exemplar| renumber(exemplar, &slots));
        }
    }

    /// The same for an exemplar of this subject.
    pub fn renumber_exemplar(&self, subject: &Subject, exemplar: &mut Exemplar) {
        if let Some(slots) = self.slots_of_run(subject) {
            renumber(exemplar, &slots);
        }
    }

    /// By slot of the run under way: the common slot, that of the others for a peer that nobody has named; `None` in the first run.
    fn slots_of_run(&self, subject: &Subject) -> Option<Slots> {
        let of_run = self.of_run.as_ref()?;
        let mut slots = Slots::default();
        for ((_, slot), new) in of_run.range((subject.clone(), 0)..=(subject.clone(), u32::MAX)) {
            if let Some(known) = slots.get_mut(*slot as usize) {
                *known = *new;
            }
        }
        Some(slots)
    }

    /// The slot of a peer: the one it has already, its own if that is free, another free one, or that of the others.
    fn slot(&mut self, subject: &Subject, slot: u32, key: &Key, label: &str) -> u32 {
        if slot == 0 {
            return 0;
        }
        let address = (key[1..].to_vec(), label.to_owned());
        let of_subject = self.slots.entry(subject.clone()).or_default();
        let Some(of_run) = &mut self.of_run else {
            of_subject.insert(address, slot);
            return slot;
        };
        let is_free = |slot: &u32| !of_subject.values().any(|used| used == slot);
        let known = of_subject.get(&address).copied();
        let new = known.or_else(|| [slot].into_iter().chain(1..PEER_SLOTS as u32).find(is_free)).unwrap_or(0);
        if new != 0 {
            of_subject.insert(address, new);
        }
        of_run.insert((subject.clone(), slot), new);
        new
    }
}

fn renamed(key: &Key, slot: u32) -> Key {
    if slot == 0 { vec![0] } else { [&[slot], &key[1..]].concat() }
}

/// The slot of a word that has the time of a peer.
pub(super) fn peer_slot(word: u32) -> Option<u32> {
    word.checked_sub(PEER_WORD as u32).filter(|slot| *slot < PEER_SLOTS as u32)
}

fn moved(sums: &Sums, slots: &Slots) -> Sums {
    let mut words: BTreeMap<u32, i64> = BTreeMap::new();
    for (word, value) in sums.iter() {
        let word = peer_slot(word).map_or(word, |slot| PEER_WORD as u32 + slots[slot as usize]);
        *words.entry(word).or_default() += value;
    }
    Sums::sparse(words)
}

fn renumber(exemplar: &mut Exemplar, slots: &Slots) {
    let old = std::mem::take(&mut exemplar.peer_ns);
    for (new, ns) in slots.iter().zip(old) {
        exemplar.peer_ns[*new as usize] += ns;
    }
    let new = |slot: u32| slots.get(slot as usize).copied().unwrap_or(0);
    exemplar.segments.iter_mut().for_each(|segment| segment.peer = segment.peer.map(new));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::exemplar::Slowest;
    use crate::sums::{Row, Section, Sections};

    fn interval(peers: &[(u32, u32, i64)]) -> Interval {
        let row = |ns: i64| Row { sums: Sums::dense([ns]), ..Row::default() };
        let downstream =
            peers.iter().map(|(slot, address, ns)| (vec![*slot, 0, 0, 0, *address, 80], row(*ns))).collect();
        let words = peers.iter().map(|(slot, _, ns)| (PEER_WORD as u32 + slot, *ns));
        let rows = Section::from([(vec![7], Row { sums: Sums::sparse(words), ..Row::default() })]);
        let sections = Sections::from([(DOWNSTREAM.into(), downstream), (ROWS.into(), rows)]);
        let mut exemplar = Exemplar::default();
        peers.iter().for_each(|(slot, _, ns)| exemplar.peer_ns[*slot as usize] = *ns as u64);
        Interval {
            subjects: [(Subject::service(0), sections)].into(),
            slowest: Slowest([(Subject::service(0), vec![exemplar])].into()),
            ..Interval::default()
        }
    }

    #[test]
    fn a_peer_keeps_its_number_over_runs() {
        let mut peers = Peers::default();
        let mut first = interval(&[(1, 9, 10), (2, 8, 20)]);
        peers.renumber(&mut first);
        assert_eq!(first, interval(&[(1, 9, 10), (2, 8, 20)]));
        peers.begin_later_run();
        let mut second = interval(&[(1, 8, 1), (2, 9, 2), (3, 7, 4)]);
        peers.renumber(&mut second);
        assert_eq!(second, interval(&[(1, 9, 2), (2, 8, 1), (3, 7, 4)]));
    }

    #[test]
    fn peers_beyond_the_slots_are_others() {
        let all: Vec<(u32, u32, i64)> = (1..PEER_SLOTS as u32).map(|slot| (slot, slot, 1)).collect();
        let mut peers = Peers::default();
        peers.renumber(&mut interval(&all));
        peers.begin_later_run();
        let mut second = interval(&[(1, 99, 5), (2, 2, 6)]);
        peers.renumber(&mut second);
        let sections = &second.subjects[&Subject::service(0)];
        assert_eq!(sections[DOWNSTREAM][&vec![0]].sums.get(0), 5);
        assert_eq!(sections[ROWS][&vec![7]].sums.get(PEER_WORD as u32), 5);
        assert_eq!(sections[ROWS][&vec![7]].sums.get(PEER_WORD as u32 + 2), 6);
    }
}
