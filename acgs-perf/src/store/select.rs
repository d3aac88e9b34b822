//! Which intervals tell of a run: at each moment the finest that are there.
//!
//! In: the entries of all tiers. Out: entries that do not overlap, in order. An interval of a coarser tier is the sum of finer ones; it
//! is taken where not all of these are there any more, or not all can be read.

use super::segment::Entry;

/// An entry, and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located {
    /// When it was.
    pub entry: Entry,
    /// Which tier it is of.
    pub tier: usize,
    /// Number of its file.
    pub file: u64,
    /// Which of the intervals of that file it is.
    pub index: usize,
}

/// The finest entries that are there at each moment. Nothing is counted twice: of two that overlap, one is taken.
#[must_use]
pub fn finest(mut all: Vec<Located>) -> Vec<Located> {
    all.retain(|located| located.entry.len_ns > 0);
    let tiers = all.iter().map(|located| located.tier).max().unwrap_or(0);
    let of_tier = |tier: usize| {
        let mut of: Vec<Located> = all.iter().filter(|located| located.tier == tier).copied().collect();
        of.sort_by_key(|located| (located.entry.start_ns, located.file));
        disjoint(of)
    };
    (1..=tiers).fold(of_tier(0), |fine, tier| combine(&fine, &of_tier(tier)))
}

/// Leaves out what overlaps one before it.
fn disjoint(sorted: Vec<Located>) -> Vec<Located> {
    let mut end = 0;
    let mut kept = sorted;
    kept.retain(|located| {
        let is_new = located.entry.start_ns >= end;
        end = if is_new { located.entry.end_ns() } else { end };
        is_new
    });
    kept
}

/// Of two sorted lists without overlaps, one.
fn combine(fine: &[Located], coarse: &[Located]) -> Vec<Located> {
    let mut all = Vec::with_capacity(fine.len() + coarse.len());
    let mut rest = fine;
    for whole in coarse {
        let before = rest.partition_point(|part| part.entry.end_ns() <= whole.entry.start_ns);
        all.extend_from_slice(&rest[..before]);
        rest = &rest[before..];
        let overlapping = rest.partition_point(|part| part.entry.start_ns < whole.entry.end_ns());
        let (parts, behind) = rest.split_at(overlapping);
        let is_within = |part: &&Located| {
            part.entry.start_ns >= whole.entry.start_ns && part.entry.end_ns() <= whole.entry.end_ns()
        };
        let covered: u64 = parts.iter().filter(is_within).map(|part| part.entry.len_ns).sum();
        if covered == whole.entry.len_ns {
            all.extend_from_slice(parts);
        } else {
            all.push(*whole);
        }
        rest = behind;
    }
    all.extend_from_slice(rest);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(tier: usize, start_ns: u64, end_ns: u64) -> Located {
        let entry = Entry { start_ns, len_ns: end_ns - start_ns, unix_end_ns: end_ns };
        Located { entry, tier, file: tier as u64, index: 0 }
    }

    fn chosen(all: &[(usize, u64, u64)]) -> Vec<(usize, u64, u64)> {
        let all = all.iter().map(|(tier, start, end)| entry(*tier, *start, *end)).collect();
        finest(all).iter().map(|located| (located.tier, located.entry.start_ns, located.entry.end_ns())).collect()
    }

    #[test]
    fn the_finest_that_is_whole_is_taken() {
        // Of the first ten the finer ones are gone in part; those of the second are all there; behind them nothing is summed up yet.
        let fine = [(0, 7, 8), (0, 8, 9), (0, 9, 10), (0, 10, 15), (0, 15, 20), (0, 20, 21)];
        let all = [&fine[..], &[(1, 0, 10), (1, 10, 20)]].concat();
        assert_eq!(chosen(&all), [(1, 0, 10), (0, 10, 15), (0, 15, 20), (0, 20, 21)]);
        // One tier more.
        let all = [&all[..], &[(2, 0, 20)]].concat();
        assert_eq!(chosen(&all), [(1, 0, 10), (0, 10, 15), (0, 15, 20), (0, 20, 21)]);
        let all = [&all[1..], &[(2, 0, 20)]].concat();
        let without_first: Vec<_> = all.into_iter().filter(|one| *one != (1, 0, 10)).collect();
        assert_eq!(chosen(&without_first), [(2, 0, 20), (0, 20, 21)]);
    }

    #[test]
    fn nothing_is_counted_twice() {
        // A finer one lies across the border of two coarser ones, as after a disk that was full.
        assert_eq!(chosen(&[(0, 0, 8), (0, 8, 12), (0, 12, 20), (1, 0, 10), (1, 10, 20)]), [(1, 0, 10), (1, 10, 20)]);
        assert_eq!(chosen(&[(0, 0, 8), (0, 8, 12), (1, 0, 10)]), [(1, 0, 10)]);
        assert_eq!(chosen(&[(0, 0, 5), (0, 0, 5), (0, 3, 6), (0, 6, 6)]), [(0, 0, 5)]);
        assert_eq!(chosen(&[]), []);
    }
}
