//! Confidence intervals of a quantile by order statistics: no assumption about the shape of the distribution. That values are
//! independent is one; where the intervals of a recording show that they are not, a design effect makes up for it.
//!
//! In: the number of values. Out: the ranks (from 1) of the two values that enclose the true quantile. The number of
//! values above a quantile whose upper tail is `t` follows Binomial(n, t); each rank is the closest one for which the
//! chance of missing the quantile on that side is at most `miss`.
//!
//! Exact (summed binomial) while (1 − t)^n is a normal float: up to n = 68 731 for the P99. Beyond that the normal
//! approximation with both ranks rounded outwards, at most two ranks wider there.
//!
//! An upper rank exists only if (1 − t)^n ≤ `miss`: for the P99 at 95 %, two-sided, from n = 368 on, because 0.99^367 is
//! still 2.501 %: with fewer values even the largest may well lie below the true P99.

/// Ranks that enclose a quantile; `None` where no value is extreme enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranks {
    /// Rank of the lower end.
    pub low: Option<u64>,
    /// Rank of the upper end.
    pub high: Option<u64>,
}

/// The fewest values for which the 95 % interval of the P99 has an upper end.
pub const P99_MIN_COUNT: u64 = 368;

/// Ranks of the two-sided 95 % interval of the P99 among `n` values. With a design effect they tell as much as fewer independent
/// ones: the interval is that of the fewer, at the same shares of all.
#[must_use]
pub fn p99_ranks(n: u64, design_effect: Option<f64>) -> Ranks {
    let of = effective(n, design_effect);
    let ranks = ranks(of, 0.01, 0.025, 1.959_963_984_540_054);
    if of == n {
        return ranks;
    }
    let (of, n) = (u128::from(of), u128::from(n));
    Ranks {
        low: ranks.low.map(|rank| (u128::from(rank) * n / of) as u64).filter(|rank| *rank > 0),
        high: ranks.high.map(|rank| (u128::from(rank) * n).div_ceil(of) as u64),
    }
}

/// As much as so many independent values do these `n` tell.
#[must_use]
pub fn effective(n: u64, design_effect: Option<f64>) -> u64 {
    design_effect.map_or(n, |effect| (n as f64 / effect.max(1.0)) as u64)
}

/// Ranks for the quantile whose upper tail is `tail`. `miss` is the chance of missing it on one side, `z` the normal deviate that belongs to it.
pub fn ranks(n: u64, tail: f64, miss: f64, z: f64) -> Ranks {
    let none_above = (n as f64 * (-tail).ln_1p()).exp();
    let (few, many) = if none_above >= 1e-300 { exact(n, tail, miss, none_above) } else { normal(n, tail, z) };
    Ranks { low: n.checked_sub(many).filter(|rank| *rank > 0), high: few.map(|few| n - few) }
}

/// (most values above the quantile of which even so many are improbable, fewest of which so many are almost certain).
fn exact(n: u64, tail: f64, miss: f64, none_above: f64) -> (Option<u64>, u64) {
    let odds = tail / (1.0 - tail);
    let (mut probability, mut below, mut few) = (none_above, none_above, None);
    for above in 0..n {
        if below <= miss {
            few = Some(above);
        }
        if below >= 1.0 - miss {
            return (few, above);
        }
        probability *= odds * (n - above) as f64 / (above + 1) as f64;
        below += probability;
    }
    (few, n)
}

fn normal(n: u64, tail: f64, z: f64) -> (Option<u64>, u64) {
    let mean = n as f64 * tail;
    let deviation = z * (mean * (1.0 - tail)).sqrt();
    let few = (mean - deviation).floor() as u64;
    (few.checked_sub(1), (mean + deviation).ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(n: u64, tail: f64, miss: f64) -> (Option<u64>, Option<u64>) {
        let ranks = ranks(n, tail, miss, 0.0);
        (ranks.low, ranks.high)
    }

    /// Median, 95 %: M. J. Campbell and M. J. Gardner, "Calculating confidence intervals for some non-parametric
    /// analyses", BMJ 296 (1988), 1454-1456, the table of ranks; the same ranks are in every table of the sign test.
    #[test]
    fn ranks_of_the_median_as_published() {
        let table = [
            (6, 1, 6),
            (7, 1, 7),
            (8, 1, 8),
            (9, 2, 8),
            (10, 2, 9),
            (11, 2, 10),
            (12, 3, 10),
            (13, 3, 11),
            (14, 3, 12),
            (15, 4, 12),
            (16, 4, 13),
            (17, 5, 13),
            (18, 5, 14),
            (19, 5, 15),
            (20, 6, 15),
            (30, 10, 21),
            (40, 14, 27),
            (50, 18, 33),
            (100, 40, 61),
        ];
        for (n, low, high) in table {
            assert_eq!(pair(n, 0.5, 0.025), (Some(low), Some(high)), "n = {n}");
        }
        for n in 1..6 {
            assert_eq!(pair(n, 0.5, 0.025), (None, None), "n = {n}");
        }
    }

    /// 2.5th percentile, 90 %: CLSI EP28 (C28), the table of rank numbers for reference limits. It counts from the small
    /// end; here the quantile has its tail above, so the ranks are mirrored: r becomes n + 1 − r.
    #[test]
    fn ranks_of_an_extreme_percentile_as_published() {
        let table = [
            (119..=132, 1, 7),
            (133..=160, 1, 8),
            (161..=187, 1, 9),
            (188..=189, 2, 9),
            (190..=218, 2, 10),
            (219..=248, 2, 11),
            (249..=249, 2, 12),
            (250..=279, 3, 12),
            (280..=307, 3, 13),
            (308..=309, 4, 13),
            (310..=340, 4, 14),
            (341..=363, 4, 15),
        ];
        for (sizes, low, high) in table {
            for n in sizes {
                assert_eq!(pair(n, 0.025, 0.05), (Some(n + 1 - high), Some(n + 1 - low)), "n = {n}");
            }
        }
        assert_eq!(pair(118, 0.025, 0.05).1, None);
    }

    /// S. S. Wilks, "Statistical prediction with special reference to the problem of tolerance limits" (1942): the
    /// largest of 59 values is above the P95, of 299 above the P99, with 95 % confidence (one-sided).
    #[test]
    fn smallest_samples_as_published() {
        assert_eq!((pair(58, 0.05, 0.05).1, pair(59, 0.05, 0.05).1), (None, Some(59)));
        assert_eq!((pair(298, 0.01, 0.05).1, pair(299, 0.01, 0.05).1), (None, Some(299)));
        // Two-sided, the chance of a miss on one side is halved.
        assert_eq!(p99_ranks(P99_MIN_COUNT - 1, None), Ranks { low: Some(359), high: None });
        assert_eq!(p99_ranks(P99_MIN_COUNT, None), Ranks { low: Some(360), high: Some(368) });
        assert_eq!(p99_ranks(1000, None), Ranks { low: Some(983), high: Some(997) });
    }

    #[test]
    fn the_normal_approximation_takes_over_without_a_step() {
        for n in [20_000, 50_000, 68_731] {
            let (few, many) = normal(n, 0.01, 1.959_963_984_540_054);
            let exact = p99_ranks(n, None);
            let (low, high) = (n - many, n - few.unwrap());
            assert!(low <= exact.low.unwrap() && exact.low.unwrap() - low <= 2, "n = {n}: {low} {exact:?}");
            assert!(high >= exact.high.unwrap() && high - exact.high.unwrap() <= 3, "n = {n}: {high} {exact:?}");
        }
        let ranks = p99_ranks(68_732, None);
        assert!(ranks.low.unwrap() < 68_044 && ranks.high.unwrap() > 68_045);
        let huge = p99_ranks(1 << 50, None);
        assert!(huge.low < huge.high);
    }

    #[test]
    fn no_values_no_interval() {
        assert_eq!(p99_ranks(0, None), Ranks { low: None, high: None });
        assert_eq!(p99_ranks(1, None), Ranks { low: Some(1), high: None });
    }
}
