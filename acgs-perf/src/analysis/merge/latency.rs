//! Distributions of several reports, added.
//!
//! In: distributions. Out: that of all their values. Their buckets are ours, as `fit` has seen; one that cannot be read adds nothing.

use acgs_perf_common::histogram::BUCKETS;

use crate::analysis::counts::Counts;
use crate::analysis::distribution::{distribution, ended_of, of_wide};
use crate::analysis::hdr;
use crate::analysis::model::Distribution;

/// Adds the values of another one, all of which have an end.
pub fn add(own: &mut Distribution, other: &Distribution) {
    if let Some(counts) = added(own, other) {
        *own = distribution(&counts);
    }
}

/// The same of values that are kept in wider buckets, 2^`power` for every power of two.
pub fn add_wide(own: &mut Distribution, other: &Distribution, power: u32) {
    if let Some(counts) = added(own, other) {
        *own = of_wide(&counts, power);
    }
}

/// The counts of both; `None` where the other one has no values.
pub fn added(own: &Distribution, other: &Distribution) -> Option<Counts> {
    if other.count == 0 {
        return None;
    }
    let other = ended_of(other)?;
    if own.count == 0 {
        return Some(other);
    }
    let mut counts = ended_of(own).unwrap_or_default();
    counts.add(&other);
    Some(counts)
}

/// The ages of those without an end, by bucket; the last are over range. `None` where they cannot be read.
pub fn ages_of(of: &Distribution) -> Option<Vec<u64>> {
    let mut ages = match &of.ages {
        Some(text) => hdr::decode(text)?,
        None => vec![0; BUCKETS],
    };
    ages.push(of.ages_over_range.unwrap_or(0));
    Some(ages)
}
