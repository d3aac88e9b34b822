//! The time line of several captures: cells, each the sum of the intervals that lie in it.
//!
//! In: intervals on one clock, capture by capture, those of a capture in order. Out: intervals that do not overlap, in order.
//!
//! As long as any two intervals are at the same time or do not overlap, a cell is an interval, and nothing is lost. Otherwise the cells
//! are those of a grid, as long as the longest interval or longer, and each interval counts as a whole in the cell that has its middle:
//! counts stay exact, and when they were is known to half an interval. With too many cells, or too much in them, two become one.

use std::collections::BTreeMap;

use crate::snapshot::timeline::MAX_INTERVALS;
use crate::snapshot::{Interval, Look};
use crate::sums::Section;

/// What all cells may take, in bytes, as [`weight`] counts them. Several times what the time line keeps of it in the end.
const BUDGET: usize = 48 << 20;

/// Begin and length.
type Time = (u64, u64);

/// The cells so far.
#[derive(Debug)]
pub struct Cells {
    /// By begin and length; in a grid all are of one length.
    cells: BTreeMap<Time, Interval>,
    grid: Option<Grid>,
    /// What the capture under way has of one cell.
    pending: Option<(Time, Interval)>,
    /// Middle of the cell of the last look of the capture under way.
    looked: Option<u64>,
    /// The cell before, in the grid, of the capture under way.
    before: Option<u64>,
    end_ns: u64,
    weight: usize,
    budget: usize,
}

#[derive(Clone, Copy, Debug)]
struct Grid {
    origin_ns: u64,
    len_ns: u64,
}

impl Grid {
    fn time(&self, index: u64) -> Time {
        (self.origin_ns.saturating_add(index.saturating_mul(self.len_ns)), self.len_ns)
    }

    fn index(&self, ns: u64) -> u64 {
        ns.saturating_sub(self.origin_ns) / self.len_ns
    }
}

impl Default for Cells {
    fn default() -> Self {
        Self {
            cells: BTreeMap::new(),
            grid: None,
            pending: None,
            looked: None,
            before: None,
            end_ns: 0,
            weight: 0,
            budget: BUDGET,
        }
    }
}

fn middle((start, len): Time) -> u64 {
    start.saturating_add(len / 2)
}

impl Cells {
    /// Another capture begins.
    pub fn begin(&mut self) {
        (self.looked, self.before) = (None, None);
    }

    /// The next interval of the capture under way.
    pub fn add(&mut self, interval: Interval) {
        let time = (interval.start_ns, interval.len_ns);
        self.end_ns = self.end_ns.max(interval.end_ns());
        if self.grid.is_none() && !self.is_cell(time) {
            self.flush();
            self.lay_grid(interval.len_ns);
        }
        let (mut cell, mut index) = self.cell_of(time);
        if self.pending.as_ref().is_some_and(|(known, _)| *known != cell) {
            self.put();
            // The cells may be longer now.
            (cell, index) = self.cell_of(time);
        }
        self.before = index;
        if interval.look.is_some() {
            self.looked = Some(middle(cell));
        }
        match &mut self.pending {
            Some((_, pending)) => pending.merge(&interval),
            None => self.pending = Some((cell, interval)),
        }
    }

    /// Brings what the capture under way has into the cells; gives the middle of the cell of its last look.
    pub fn flush(&mut self) -> Option<u64> {
        self.put();
        self.looked
    }

    /// The last look, and where the cell begins that has it.
    pub fn last_look(&mut self) -> Option<(u64, &mut Look)> {
        self.put();
        let mut from_the_end = self.cells.iter_mut().rev();
        from_the_end.find_map(|((start, _), interval)| Some((*start, interval.look.as_mut()?)))
    }

    /// All of them, in order.
    pub fn finish(mut self) -> impl Iterator<Item = Interval> {
        self.put();
        let (is_grid, end_ns) = (self.grid.is_some(), self.end_ns);
        let last = self.cells.last_key_value().map(|(time, _)| *time);
        self.cells.into_iter().map(move |(time, interval)| {
            let (start_ns, len_ns) = match is_grid && Some(time) == last {
                // The last one ends with what was recorded.
                true => (time.0, end_ns.saturating_sub(time.0)),
                false => time,
            };
            Interval { start_ns, len_ns, ..interval }
        })
    }

    /// Whether an interval at this time is at that of a cell, or overlaps none.
    fn is_cell(&self, time: Time) -> bool {
        if self.cells.contains_key(&time) || self.pending.as_ref().is_some_and(|(known, _)| *known == time) {
            return true;
        }
        let end = time.0.saturating_add(time.1);
        let overlaps = |(start, len): &Time| *start < end && start.saturating_add(*len) > time.0;
        let before = self.cells.range(..time).next_back().map(|(time, _)| time);
        let after = self.cells.range(time..).next().map(|(time, _)| time);
        !before.into_iter().chain(after).chain(self.pending.as_ref().map(|(time, _)| time)).any(overlaps)
    }

    /// The cell for an interval, and its number in the grid if there is one: the next one, if the capture has filled the one before and most of the interval may be in
    /// it, because lengths are never quite the same; else the one that has its middle.
    fn cell_of(&mut self, time: Time) -> (Time, Option<u64>) {
        while self.grid.is_some_and(|grid| grid.len_ns < time.1) {
            self.put();
            self.halve();
        }
        let Some(grid) = self.grid else { return (time, None) };
        let by_middle = grid.index(middle(time));
        let next = self.before.map_or(by_middle, |before| before + 1);
        let (start, len) = grid.time(next);
        let shared = time.0.saturating_add(time.1).min(start.saturating_add(len)).saturating_sub(time.0.max(start));
        let is_next = time.1 > grid.len_ns / 2 && shared >= time.1 / 4;
        let index = if is_next { next } else { by_middle };
        (grid.time(index), Some(index))
    }

    fn put(&mut self) {
        let Some((cell, interval)) = self.pending.take() else { return };
        self.weight += weight(&interval);
        match self.cells.get_mut(&cell) {
            Some(known) => known.add_beside(interval),
            None => drop(self.cells.insert(cell, interval)),
        }
        let mut limit = self.budget;
        if self.weight > limit {
            // What was added to rows that were there already takes no more. It is weighed seldom.
            self.weight = self.cells.values().map(weight).sum();
            limit = self.budget / 4 * 3;
        }
        while self.cells.len() > MAX_INTERVALS || (self.weight > limit && self.cells.len() > 1) {
            match self.grid {
                None => {
                    let longest = self.cells.keys().map(|(_, len)| *len).max().unwrap_or(1);
                    self.lay_grid(longest.saturating_mul(2));
                }
                Some(_) => self.halve(),
            }
            self.weight = self.cells.values().map(weight).sum();
        }
    }

    /// From here on the cells are those of a grid.
    fn lay_grid(&mut self, at_least_ns: u64) {
        let longest = self.cells.keys().map(|(_, len)| *len).max().unwrap_or(0);
        let origin_ns = self.cells.keys().next().map_or(0, |(start, _)| *start);
        let grid = Grid { origin_ns, len_ns: longest.max(at_least_ns).max(1) };
        self.move_to(grid);
    }

    /// Two cells of the grid become one.
    fn halve(&mut self) {
        if let Some(grid) = self.grid {
            self.move_to(Grid { len_ns: grid.len_ns.saturating_mul(2), ..grid });
        }
    }

    fn move_to(&mut self, grid: Grid) {
        for (time, interval) in std::mem::take(&mut self.cells) {
            match self.cells.entry(grid.time(grid.index(middle(time)))) {
                std::collections::btree_map::Entry::Vacant(free) => drop(free.insert(interval)),
                std::collections::btree_map::Entry::Occupied(mut known) => known.get_mut().merge(&interval),
            }
        }
        self.grid = Some(grid);
        self.before = None;
    }
}

/// About what an interval takes in memory.
fn weight(interval: &Interval) -> usize {
    const SUBJECT: usize = 600;
    const SECTION: usize = 1100;
    const ROW: usize = 180;
    const WORD: usize = 16;
    // Rows of a section have about as many words as the first one has.
    let of_section = |section: &Section| {
        let words = section.values().next().map_or(0, |row| row.sums.iter().count());
        SECTION + section.len() * (ROW + WORD * words)
    };
    let of_subjects = interval.subjects.values().map(|all| SUBJECT + all.values().map(of_section).sum::<usize>());
    of_subjects.sum::<usize>() + interval.slowest.0.values().map(|all| SUBJECT + SECTION * all.len()).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Subject;
    use crate::sums::{Row, Sections, Sums};

    fn interval(start_ns: u64, len_ns: u64) -> Interval {
        let row = Row { sums: Sums::sparse([(0, 1)]), ..Row::default() };
        let sections = Sections::from([("ones".into(), Section::from([(vec![], row)]))]);
        Interval { start_ns, len_ns, subjects: [(Subject::service(0), sections)].into(), ..Interval::default() }
    }

    fn ones(interval: &Interval) -> i64 {
        interval.subjects.values().map(|sections| sections["ones"][&vec![]].sums.get(0)).sum()
    }

    fn cells(files: &[Vec<(u64, u64)>]) -> Vec<(u64, u64, i64)> {
        let mut cells = Cells::default();
        for file in files {
            cells.begin();
            file.iter().for_each(|(start, len)| cells.add(interval(*start, *len)));
            cells.flush();
        }
        cells.finish().map(|cell| (cell.start_ns, cell.len_ns, ones(&cell))).collect()
    }

    #[test]
    fn intervals_at_the_same_time_are_added_and_others_stay() {
        let found = cells(&[vec![(0, 10), (10, 7), (17, 3)], vec![(10, 7)], vec![(40, 2)], vec![(0, 10), (10, 7)]]);
        assert_eq!(found, [(0, 10, 2), (10, 7, 3), (17, 3, 1), (40, 2, 1)]);
    }

    #[test]
    fn what_overlaps_goes_into_a_grid_one_interval_a_cell_though_they_drift() {
        let of = |from: u64, len: u64| (0..100).map(|at| (from + at * len, len)).collect::<Vec<_>>();
        // The middle of each of the second capture is where a cell ends, now before it, now behind it.
        let drifting = (0..100u64).map(|at| (500 + at * 1000 - at % 3, 1000)).collect();
        let found = cells(&[of(0, 1000), drifting]);
        assert!(found.windows(2).all(|pair| pair[0].0 + pair[0].1 == pair[1].0), "{found:?}");
        assert_eq!(found.iter().map(|(_, _, ones)| ones).sum::<i64>(), 200);
        let all = found.iter().filter(|(_, _, ones)| *ones == 2).count();
        assert!(all >= 98, "{all} of {} cells have one interval of each: {found:?}", found.len());
        assert_eq!(found.last().map(|(start, len, _)| start + len), Some(100_500));
    }

    #[test]
    fn longer_intervals_make_a_longer_grid() {
        let found = cells(&[vec![(0, 10), (10, 10), (20, 10), (30, 10)], vec![(5, 35)]]);
        assert_eq!(found.iter().map(|(_, _, ones)| ones).sum::<i64>(), 5);
        assert!(found.iter().all(|(_, len, _)| *len >= 5) && found.len() <= 2, "{found:?}");
    }

    #[test]
    fn cells_stay_bounded_in_number_and_weight() {
        let days: Vec<Vec<_>> =
            (0..20u64).map(|day| (0..1000).map(|at| (day * 100_000 + at * 64, 64)).collect()).collect();
        let found = cells(&days);
        assert!(found.len() <= MAX_INTERVALS && found.len() > MAX_INTERVALS / 4, "{}", found.len());
        assert_eq!(found.iter().map(|(_, _, ones)| ones).sum::<i64>(), 20_000);
        let one = weight(&interval(0, 1));
        let mut small = Cells { budget: one * 50, ..Cells::default() };
        small.begin();
        (0..1000).for_each(|at| small.add(interval(at, 1)));
        let found: Vec<_> = small.finish().collect();
        assert!(found.len() <= 50 && found.len() >= 16, "{}", found.len());
        assert_eq!(found.iter().map(ones).sum::<i64>(), 1000);
    }
}
