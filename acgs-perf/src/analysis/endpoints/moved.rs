//! What the configuration takes out of a service's latency, and what it puts in.
//!
//! In: the rows of the endpoints, by the names of the rules, and the latency that the kernel side has counted. Out: the latency without the
//! endpoints that are excluded or wait by design, and with those that are requests after all.
//!
//! An endpoint's buckets are 3.1 % wide, and each is exactly some of the service's, which are 0.8 % wide. So counts and sums are exact; which of
//! the narrow buckets in a wide one lose, or get, what is moved is not known: all lose the same share, and what comes goes to the uppermost.
//! A percentile is therefore right to within the width of the wide bucket. What is not there to be taken is counted.

use acgs_perf_common::endpoint::REQUESTS;
use acgs_perf_protocol::Kind;

use super::figures::{Latency, lower, upper};
use super::naming::Naming;
use crate::analysis::counts::Counts;
use crate::live::probes::endpoints::kind_of;
use crate::sums::{Difference as _, Section, Sums};

/// What is moved, of one service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moved {
    /// Out of its requests.
    out: Sums,
    /// Into them.
    into: Sums,
}

/// What the rules move of the rows that the kernel side has counted.
#[must_use]
pub fn moved(naming: &Naming<'_>, section: &Section) -> Moved {
    let mut moved = Moved::default();
    for (key, row) in section {
        let Some(own) = kind_of(key) else { continue };
        let name = naming.name(key, &row.label);
        let counts = naming.kind(&name, own) == Kind::Request && !naming.is_excluded(&name);
        match (own == Kind::Request, counts) {
            (true, false) => moved.out.add(&row.sums),
            (false, true) => moved.into.add(&row.sums),
            _ => {}
        }
    }
    moved
}

impl Moved {
    /// Whether it is nothing.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.out.is_nothing() && self.into.is_nothing()
    }

    /// Requests that are taken out.
    #[must_use]
    pub fn excluded(&self) -> u64 {
        self.out.count(REQUESTS)
    }

    /// Requests that are put in.
    #[must_use]
    pub fn included(&self) -> u64 {
        self.into.count(REQUESTS)
    }

    /// Moves them; how many were not there to be taken.
    pub fn apply(&self, counts: &mut Counts) -> u64 {
        let missing = take(counts, &Latency::of_words(&self.out));
        let into = Latency::of_words(&self.into);
        let effect = counts.design_effect;
        counts.add(&into.counts());
        counts.design_effect = effect;
        missing
    }
}

fn take(counts: &mut Counts, out: &Latency) -> u64 {
    let mut missing = out.over_range.saturating_sub(counts.over_range);
    counts.over_range = counts.over_range.saturating_sub(out.over_range);
    counts.sum_ns = counts.sum_ns.map(|sum| sum.saturating_sub(out.sum_ns));
    for (bucket, count) in out.buckets.iter() {
        let Some(fine) = counts.buckets.get_mut(lower(bucket)..=upper(bucket)) else { continue };
        missing += take_share(fine, count as u64);
    }
    missing
}

/// Takes `count` of these buckets, the same share of each, the rest from the largest remainders; how many were not there.
fn take_share(fine: &mut [u64], count: u64) -> u64 {
    let all: u64 = fine.iter().sum();
    let taken = count.min(all);
    if taken == 0 {
        return count;
    }
    let exact = |of: u64| (u128::from(of) * u128::from(taken) / u128::from(all)) as u64;
    let remainder = |of: u64| u128::from(of) * u128::from(taken) % u128::from(all);
    let mut order: Vec<usize> = (0..fine.len()).collect();
    order.sort_by_key(|at| (std::cmp::Reverse(remainder(fine[*at])), *at));
    let left = taken - fine.iter().map(|of| exact(*of)).sum::<u64>();
    let before = fine.to_vec();
    for (at, of) in fine.iter_mut().enumerate() {
        *of -= exact(before[at]);
    }
    for at in order.into_iter().take(left as usize) {
        fine[at] -= 1;
    }
    count - taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::distribution::distribution;
    use crate::analysis::endpoints::sample::section;
    use crate::analysis::sample::counts;
    use crate::discover::{EndpointKind, EndpointRule, EndpointRules};

    #[test]
    fn a_health_check_leaves_the_percentiles_of_the_others_within_a_wide_bucket() {
        let slow: Vec<u64> = (0..4_000u64).map(|at| 1_000_000 + at * 997).collect();
        let health: Vec<u64> = (0..16_000u64).map(|at| 300_000 + at * 61).collect();
        let all = section(&[(Kind::Request, "GET /health", &health), (Kind::Request, "GET /a", &slow)]);
        let mut rules = EndpointRules::default();
        rules.endpoints.insert("GET /health".into(), EndpointRule { exclude: true, ..EndpointRule::default() });
        let moved = moved(&Naming::of(&rules, &all), &all);
        assert_eq!((moved.excluded(), moved.included()), (16_000, 0));
        let mut found = counts(slow.iter().chain(&health).copied());
        assert_eq!(moved.apply(&mut found), 0);
        let (found, truth) = (distribution(&found), distribution(&counts(slow)));
        assert_eq!((found.count, found.sum_ns), (truth.count, truth.sum_ns));
        for (found, truth) in [(found.p50_ns, truth.p50_ns), (found.p99_ns, truth.p99_ns), (found.min_ns, truth.min_ns)]
        {
            let (found, truth) = (found.unwrap(), truth.unwrap());
            assert!(found.abs_diff(truth) * 32 <= truth, "{found} {truth}");
        }
    }

    #[test]
    fn what_is_moved_in_is_added_and_what_was_not_there_is_counted() {
        let waits = [5_000_000_000u64; 7];
        let all = section(&[(Kind::WaitByDesign, "GET /poll", &waits), (Kind::Request, "GET /events", &[1_000; 9])]);
        let mut rules = EndpointRules::default();
        let rule = |kind| EndpointRule { kind: Some(kind), ..EndpointRule::default() };
        rules.endpoints.insert("GET /poll".into(), rule(EndpointKind::Request));
        rules.endpoints.insert("GET /events".into(), rule(EndpointKind::WaitByDesign));
        let moved = moved(&Naming::of(&rules, &all), &all);
        let mut found = counts([1_000; 6].into_iter().chain([2_000; 5]));
        assert_eq!(moved.apply(&mut found), 3);
        assert_eq!((moved.excluded(), moved.included()), (9, 7));
        let found = distribution(&found);
        assert_eq!(found.count, 5 + 7);
        assert!(found.max_ns.is_some_and(|max| (5_000_000_000..5_200_000_000).contains(&max)), "{found:?}");
        assert!(Moved::default().is_nothing() && !moved.is_nothing());
    }

    #[test]
    fn all_narrow_buckets_lose_the_same_share() {
        let mut fine = [10, 0, 30, 1];
        assert_eq!((take_share(&mut fine, 20), fine), (0, [5, 0, 15, 1]));
        assert_eq!((take_share(&mut fine, 25), fine), (4, [0, 0, 0, 0]));
        assert_eq!(take_share(&mut fine, 2), 2);
    }
}
