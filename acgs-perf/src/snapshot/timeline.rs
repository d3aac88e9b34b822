//! The intervals of a recording in bounded memory: when there are too many, two neighbours become one, twice as long.
//!
//! In: intervals, oldest first. Out: the same sums, in fewer intervals. They are kept as bytes, a third of what the values take.

use super::interval::Interval;

/// At most so many intervals.
pub const MAX_INTERVALS: usize = 1800;
/// At most so many bytes.
pub const MAX_BYTES: usize = 3 << 20;
/// Fewer intervals than this are not merged, whatever they take.
const MIN_INTERVALS: usize = 32;

/// The intervals so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timeline {
    /// Each in as many bytes as it has: what a serializer leaves room for behind them may be as many again.
    encoded: Vec<Box<[u8]>>,
    bytes: usize,
    /// How often neighbours were merged.
    halvings: u32,
    /// An interval that waits for the next one, so that new ones become as long as old ones.
    pending: Option<(u32, Interval)>,
}

impl Timeline {
    /// From intervals as a file keeps them.
    #[must_use]
    pub fn of(intervals: impl IntoIterator<Item = Interval>) -> Self {
        let mut timeline = Self::default();
        for interval in intervals {
            timeline.append(&interval);
        }
        timeline
    }

    /// Adds the next interval.
    pub fn push(&mut self, interval: Interval) {
        let (mut count, mut merged) = match self.pending.take() {
            None => (0, interval),
            Some((count, mut pending)) => {
                pending.merge(&interval);
                (count, pending)
            }
        };
        count += 1;
        if count < 1 << self.halvings {
            self.pending = Some((count, merged));
            return;
        }
        merged.subjects.retain(|_, sections| !sections.is_empty());
        self.append(&merged);
        while self.encoded.len() > MAX_INTERVALS || (self.bytes > MAX_BYTES && self.encoded.len() > MIN_INTERVALS) {
            self.halve();
        }
    }

    /// All intervals, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = Interval> {
        let kept = self.encoded.iter().filter_map(|bytes| decode(bytes));
        kept.chain(self.pending.as_ref().map(|(_, interval)| interval.clone()))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.encoded.len() + usize::from(self.pending.is_some())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them as one, from the begin of the first to the end of the last.
    #[must_use]
    pub fn whole(&self) -> Interval {
        let mut intervals = self.iter();
        let Some(mut whole) = intervals.next() else { return Interval::default() };
        for interval in intervals {
            whole.merge(&interval);
        }
        whole
    }

    fn append(&mut self, interval: &Interval) {
        // The types have nothing that cannot be encoded.
        if let Ok(bytes) = rmp_serde::to_vec_named(interval) {
            self.append_encoded(bytes.into_boxed_slice());
        }
    }

    /// Appends an interval as it is kept here, and in a file of the same layout.
    pub fn append_encoded(&mut self, interval: Box<[u8]>) {
        self.bytes += interval.len();
        self.encoded.push(interval);
    }

    /// Each pair is let go as soon as it is merged.
    fn halve(&mut self) {
        let old = std::mem::take(self);
        self.halvings = old.halvings + 1;
        let mut intervals = old.encoded.into_iter().filter_map(|bytes| decode(&bytes));
        while let Some(mut first) = intervals.next() {
            match intervals.next() {
                Some(second) => {
                    first.merge(&second);
                    self.append(&first);
                }
                // Half of one: the next goes into it.
                None => self.pending = Some((1 << old.halvings, first)),
            }
        }
    }
}

fn decode(bytes: &[u8]) -> Option<Interval> {
    rmp_serde::from_slice(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::model::Subject;
    use crate::sums::{Row, Section, Sections, Sums};

    fn interval(at: u64, words: u32) -> Interval {
        let sums = Sums::sparse((0..words).map(|word| (word * 7, i64::from(word) - 3)));
        let section = Section::from([(vec![0], Row { sums, ..Row::default() })]);
        let sections = Sections::from([("latency".into(), section)]);
        Interval {
            start_ns: at * 10,
            len_ns: 10,
            rest_start_ns: at * 10,
            subjects: [(Subject::service(0), sections)].into(),
            ..Interval::default()
        }
    }

    #[test]
    fn what_is_kept_adds_up_and_stays_bounded() {
        let mut timeline = Timeline::default();
        let mut whole: Option<Interval> = None;
        for at in 0..20_011 {
            let next = interval(at, 20);
            match &mut whole {
                None => whole = Some(next.clone()),
                Some(whole) => whole.merge(&next),
            }
            timeline.push(next);
            assert!(timeline.len() <= MAX_INTERVALS + 1);
        }
        assert_eq!(timeline.whole(), whole.unwrap());
        let intervals: Vec<Interval> = timeline.iter().collect();
        assert!(intervals.windows(2).all(|pair| pair[0].end_ns() == pair[1].start_ns));
        let full = &intervals[..intervals.len() - 1];
        assert!(full.iter().all(|interval| interval.len_ns == full[0].len_ns), "all are of one length");
    }

    #[test]
    fn large_intervals_are_fewer() {
        let mut timeline = Timeline::default();
        for at in 0..3000 {
            timeline.push(interval(at, 3000));
        }
        assert!(timeline.bytes <= MAX_BYTES && timeline.len() > 100, "{} intervals", timeline.len());
    }
}
