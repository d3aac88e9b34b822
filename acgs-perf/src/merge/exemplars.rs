//! Exemplars of several captures: the slowest of all, and a fair sample of the others.
//!
//! In: the exemplars of one subject in two captures. Out: those of both. What falls out of the slowest goes to the sample. A sample of
//! two is drawn from both, each for as many requests as it stands for, by a generator that always gives the same.

use std::cmp::Reverse;

use crate::snapshot::exemplar::{Exemplar, Exemplars, KEPT, Kept, add_to_slowest};

/// A sample, and how many requests it stands for.
type Sample = (Vec<Exemplar>, u64);

/// Adds the exemplars of another capture.
pub fn add(own: &mut Kept, other: Kept) {
    let mut beyond = Vec::new();
    for exemplar in other.slowest {
        beyond.extend(add_to_slowest(&mut own.slowest, exemplar, KEPT));
    }
    let sampled = own.sampled.saturating_add(other.sampled).saturating_add(beyond.len() as u64);
    let of_beyond = beyond.len() as u64;
    let samples = [(std::mem::take(&mut own.sample), own.sampled), (other.sample, other.sampled), (beyond, of_beyond)];
    own.sample = drawn(samples, sampled);
    own.sampled = sampled;
}

/// Brings all into an order that does not depend on how they came.
pub fn settle(exemplars: &mut Exemplars) {
    for kept in exemplars.values_mut() {
        let order = |exemplar: &Exemplar| (Reverse(exemplar.latency_ns()), exemplar.times(), exemplar.client.clone());
        kept.slowest.sort_by_key(order);
        kept.sample.sort_by_key(order);
    }
}

/// Draws without putting back, as if from all the requests that the samples stand for.
fn drawn(mut samples: [Sample; 3], seed: u64) -> Vec<Exemplar> {
    if samples.iter().map(|(sample, _)| sample.len()).sum::<usize>() <= KEPT {
        return samples.into_iter().flat_map(|(sample, _)| sample).collect();
    }
    let mut state = seed;
    let mut drawn = Vec::with_capacity(KEPT);
    while drawn.len() < KEPT {
        samples.iter_mut().filter(|(sample, _)| sample.is_empty()).for_each(|(_, count)| *count = 0);
        let left: u64 = samples.iter().map(|(_, count)| *count).sum();
        if left == 0 {
            break;
        }
        let mut at = random(&mut state) % left;
        for (sample, count) in &mut samples {
            if at < *count {
                *count -= 1;
                drawn.push(sample.swap_remove((random(&mut state) % sample.len() as u64) as usize));
                break;
            }
            at -= *count;
        }
    }
    drawn
}

/// `SplitMix64`.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exemplar(arrived_ns: u64, service_ns: u64) -> Exemplar {
        Exemplar { arrived_ns, service_ns, ..Exemplar::default() }
    }

    #[test]
    fn the_slowest_of_two_are_the_slowest_of_all_and_the_rest_may_be_in_the_sample() {
        let of = |from: u64| Kept {
            slowest: (from..from + 20).rev().map(|ns| exemplar(ns, ns)).collect(),
            ..Kept::default()
        };
        let mut own = of(100);
        add(&mut own, of(110));
        let slowest: Vec<u64> = own.slowest.iter().map(|exemplar| exemplar.service_ns).collect();
        // From 110 to 119 both have a request that came at the same time, which is the same one.
        assert_eq!(slowest, (110..130).rev().collect::<Vec<_>>());
        assert_eq!((own.sample.len(), own.sampled), (10, 10));
    }

    #[test]
    fn a_sample_of_two_has_of_each_as_many_as_it_stands_for() {
        let mut of_first = 0;
        for turn in 0..400u64 {
            let of = |from: u64, sampled: u64| Kept {
                sample: (from..from + 20).map(|ns| exemplar(ns, 1)).collect(),
                sampled,
                ..Kept::default()
            };
            let mut own = of(0, 3000 + turn);
            add(&mut own, of(1000, 1000));
            assert_eq!((own.sample.len(), own.sampled), (20, 4000 + turn));
            of_first += own.sample.iter().filter(|exemplar| exemplar.arrived_ns < 1000).count();
        }
        // Three of four, ± four standard deviations of 8,000 draws.
        assert!((5_900..6_200).contains(&of_first), "{of_first}");
    }
}
