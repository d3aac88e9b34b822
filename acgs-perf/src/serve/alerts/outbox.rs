//! What is still to be told: each event to each target, in order, until it has arrived.
//!
//! In: events; what came of a try. Out: what to try next. Nothing overtakes: the end of an alert is not told before its begin. What waits
//! is bounded, and given up after a day.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::target::Kind;

/// So many wait at most.
const WAITING: usize = 128;
/// Seconds until the first try again; twice as many each time.
const AGAIN: u64 = 15;
/// At most so many.
const LATEST: u64 = 300;
/// So many tries, which take a day.
const TRIES: u32 = 290;

/// An event for a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parcel {
    /// Where to.
    pub to: Kind,
    /// JSON.
    pub body: String,
    tries: u32,
    /// Not before this, on the monotonic clock; after a start at once.
    #[serde(skip)]
    due_s: u64,
}

/// What is still to be told, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outbox {
    waiting: VecDeque<Parcel>,
}

/// What became of a parcel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is tried again.
    Again,
    /// It is tried again; it was the first try.
    FirstFailure,
    /// It was tried often enough.
    GivenUp,
}

impl Outbox {
    /// Adds an event. What was there for longest is dropped, where there are too many; how many were.
    pub fn push(&mut self, targets: &[Kind], body: &str) -> usize {
        for to in targets {
            self.waiting.push_back(Parcel { to: *to, body: body.to_owned(), tries: 0, due_s: 0 });
        }
        let more = self.waiting.len().saturating_sub(WAITING);
        self.waiting.drain(..more);
        more
    }

    /// Forgets what is for a target that is not there any more.
    pub fn keep(&mut self, targets: &[Kind]) {
        self.waiting.retain(|parcel| targets.contains(&parcel.to));
    }

    /// What is to be tried now: of each target the oldest, and that only.
    #[must_use]
    pub fn next(&self, now_s: u64) -> Option<(usize, &Parcel)> {
        let firsts = Kind::ALL.iter().filter_map(|to| self.waiting.iter().position(|parcel| parcel.to == *to));
        firsts.map(|at| (at, &self.waiting[at])).filter(|(_, parcel)| parcel.due_s <= now_s).min_by_key(|(at, _)| *at)
    }

    /// It has arrived.
    pub fn arrived(&mut self, at: usize) {
        self.waiting.remove(at);
    }

    /// It has not.
    pub fn failed(&mut self, at: usize, now_s: u64) -> Option<Fate> {
        let parcel = self.waiting.get_mut(at)?;
        parcel.due_s = now_s + (AGAIN << parcel.tries.min(10)).min(LATEST);
        parcel.tries += 1;
        Some(match parcel.tries {
            1 => Fate::FirstFailure,
            tries if tries < TRIES => Fate::Again,
            _ => {
                self.waiting.remove(at);
                Fate::GivenUp
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Kind; 2] = [Kind::Command, Kind::Webhook];

    fn next(outbox: &Outbox, now_s: u64) -> Option<(usize, Kind, &str)> {
        outbox.next(now_s).map(|(at, parcel)| (at, parcel.to, parcel.body.as_str()))
    }

    #[test]
    fn nothing_overtakes_and_one_target_does_not_wait_for_the_other() {
        let mut outbox = Outbox::default();
        assert_eq!((outbox.push(&BOTH, "a"), outbox.push(&BOTH, "b")), (0, 0));
        assert_eq!(next(&outbox, 0), Some((0, Kind::Command, "a")));
        assert_eq!(outbox.failed(0, 0), Some(Fate::FirstFailure));
        assert_eq!(next(&outbox, 1), Some((1, Kind::Webhook, "a")));
        outbox.arrived(1);
        assert_eq!(next(&outbox, 1), Some((2, Kind::Webhook, "b")));
        outbox.arrived(2);
        assert_eq!(next(&outbox, 14), None);
        assert_eq!(next(&outbox, 15), Some((0, Kind::Command, "a")));
        assert_eq!(outbox.failed(0, 15), Some(Fate::Again));
        assert_eq!(next(&outbox, 44), None);
        outbox.arrived(0);
        assert_eq!(next(&outbox, 44), Some((0, Kind::Command, "b")));
        outbox.keep(&[Kind::Webhook]);
        assert_eq!(outbox, Outbox::default());
    }

    #[test]
    fn it_is_given_up_after_a_day() {
        let mut outbox = Outbox::default();
        outbox.push(&[Kind::Webhook], "a");
        let (mut now, mut tries) = (0, 0);
        while outbox.next(now).is_some() || !outbox.waiting.is_empty() {
            if outbox.next(now).is_some() {
                let fate = outbox.failed(0, now).unwrap();
                tries += 1;
                assert_eq!(fate == Fate::GivenUp, tries == TRIES);
            }
            now += 1;
        }
        assert!((80_000..90_000).contains(&now), "{now}");
        let dropped: usize = (0..200).map(|at| outbox.push(&[Kind::Command], &at.to_string())).sum();
        assert_eq!(dropped, 72);
        assert_eq!((outbox.waiting.len(), outbox.waiting[0].body.as_str()), (WAITING, "72"));
    }
}
