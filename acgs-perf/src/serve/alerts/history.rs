//! How many requests of a service came, and how many were slow, for the longest window.
//!
//! In: counts, by minute. Out: sums over the last minutes. Minutes are kept for as long as a shorter window may ask for them, and then
//! in fives, so that three days take 29 KB at most. Minutes without requests take nothing.

use std::collections::VecDeque;
use std::ops::{AddAssign, Sub};

use serde::{Deserialize, Serialize};

use super::burn::LONGEST;

/// Minutes are kept one by one for so long.
const FINE: u32 = 366;
/// Then so many are one.
const COARSE: u32 = 5;

/// Requests. Signed, because a reply that grows makes one slow that was not, and a request that was late is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// All.
    pub requests: i64,
    /// Those that missed the objective.
    pub slow: i64,
}

impl Counts {
    /// How much of them was slow; `None` without requests.
    #[must_use]
    pub fn share(self) -> Option<f64> {
        (self.requests > 0).then(|| (self.slow.max(0) as f64 / self.requests as f64).min(1.0))
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.slow += other.slow;
    }
}

/// What was counted, and in how many minutes of recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    /// Requests.
    pub counts: Counts,
    /// Minutes in which somebody counted, whether there was something to count or not.
    pub minutes: u32,
}

impl Sub for Sum {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        let counts = Counts {
            requests: self.counts.requests - before.counts.requests,
            slow: self.counts.slow - before.counts.slow,
        };
        Self { counts, minutes: self.minutes - before.minutes }
    }
}

/// What had been counted by the end of each minute, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    fine: VecDeque<(u32, Sum)>,
    /// The minute is the last of five.
    coarse: VecDeque<(u32, Sum)>,
    total: Sum,
}

impl History {
    /// Adds what was counted in this minute, or in one before that is not told any more. Minutes never go back.
    pub fn add(&mut self, minute: u32, counts: Counts) {
        self.total.counts += counts;
        match self.fine.back_mut() {
            Some((last, sum)) if *last >= minute => *sum = self.total,
            _ => {
                self.total.minutes += 1;
                self.fine.push_back((minute, self.total));
            }
        }
        while let Some((oldest, sum)) = self.fine.front().copied().filter(|(at, _)| at + FINE < minute) {
            self.fine.pop_front();
            let end = oldest - oldest % COARSE + COARSE - 1;
            match self.coarse.back_mut() {
                Some((last, before)) if *last == end => *before = sum,
                _ => self.coarse.push_back((end, sum)),
            }
        }
        // One is kept that had ended before the longest window.
        while self.coarse.get(1).is_some_and(|(end, _)| end + LONGEST < minute) {
            self.coarse.pop_front();
        }
    }

    /// The sum of the last minutes: of so many whole ones, and of the one under way.
    #[must_use]
    pub fn last(&self, minutes: u32, now: u32) -> Sum {
        let first = now.saturating_sub(minutes);
        let before = |all: &VecDeque<(u32, Sum)>| {
            let at = all.partition_point(|(at, _)| *at < first);
            at.checked_sub(1).map(|at| all[at].1)
        };
        self.total - before(&self.fine).or_else(|| before(&self.coarse)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_minutes() {
        let mut history = History::default();
        let counts =
            |minute: u32| Counts { requests: i64::from(minute % 7 + 1), slow: i64::from(minute.is_multiple_of(3)) };
        for now in 0..3 * LONGEST {
            if now % 11 != 0 {
                history.add(now, counts(now));
            }
            if now % 97 != 0 {
                continue;
            }
            for window in [5, 30, 60, 360, LONGEST] {
                let mut sum = Counts::default();
                let first = now.saturating_sub(window);
                // Of what is old, five minutes are one.
                let slack = if window > FINE { COARSE } else { 0 };
                (first..=now).filter(|minute| minute % 11 != 0).for_each(|minute| sum += counts(minute));
                let Sum { counts: told, minutes } = history.last(window, now);
                let most = i64::from(slack * 7);
                let recorded = (first..=now).filter(|minute| minute % 11 != 0).count() as u32;
                assert!((recorded..=recorded + slack).contains(&minutes), "{window} at {now}: {minutes} {recorded}");
                assert!((0..=most).contains(&(told.requests - sum.requests)), "{window} at {now}: {told:?} {sum:?}");
            }
        }
        let bytes = (history.fine.len() + history.coarse.len()) * size_of::<(u32, Sum)>();
        assert!(bytes < 41_000, "{bytes}");
    }

    #[test]
    fn what_was_slow_may_be_taken_back() {
        let mut history = History::default();
        history.add(1, Counts { requests: 1, slow: 1 });
        history.add(3, Counts { requests: -1, slow: -1 });
        let sum = history.last(5, 3);
        assert_eq!((sum.minutes, sum.counts, sum.counts.share()), (2, Counts::default(), None));
    }
}
