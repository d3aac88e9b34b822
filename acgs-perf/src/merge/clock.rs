//! Times in which something was recorded.
//!
//! In: begins and ends on one clock, in any order. Out: how long that was in all, each moment once, and what lies between.

/// Times that do not touch each other, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Times(Vec<(u64, u64)>);

impl Times {
    /// Adds the time from `start_ns` to `end_ns`.
    pub fn add(&mut self, start_ns: u64, end_ns: u64) {
        if end_ns <= start_ns {
            return;
        }
        let first = self.0.partition_point(|(_, end)| *end < start_ns);
        let behind = self.0.partition_point(|(start, _)| *start <= end_ns);
        let touched = &self.0[first..behind];
        let start = touched.first().map_or(start_ns, |(start, _)| start_ns.min(*start));
        let end = touched.last().map_or(end_ns, |(_, end)| end_ns.max(*end));
        self.0.splice(first..behind, [(start, end)]);
    }

    /// Adds all of the other.
    pub fn extend(&mut self, other: &Self) {
        other.0.iter().for_each(|(start, end)| self.add(*start, *end));
    }

    /// How long they are together.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|(start, end)| end - start).sum()
    }

    /// From the end of one to the begin of the next.
    pub fn gaps(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.windows(2).map(|pair| (pair[0].1, pair[1].0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_moment_counts_once_in_whatever_order() {
        let all = [(10, 20), (40, 50), (20, 25), (5, 7), (45, 60), (6, 6), (41, 42)];
        for turn in 0..all.len() {
            let mut times = Times::default();
            all.iter().cycle().skip(turn).take(all.len()).for_each(|(start, end)| times.add(*start, *end));
            assert_eq!(times.0, [(5, 7), (10, 25), (40, 60)], "from {turn}");
            assert_eq!(times.total(), 37);
            assert_eq!(times.gaps().collect::<Vec<_>>(), [(7, 10), (25, 40)]);
        }
    }
}
