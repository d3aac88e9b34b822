//! What was counted since the message before, as numbers that only rise.
//!
//! In: differences, some of them negative, because a reply that grows leaves one bucket for another. Out: differences that are not: what
//! would be negative is owed, and paid with what comes. The sum of a histogram's buckets is exact in each message; until the debt of a
//! bucket is paid, others, lower ones first, are behind.

use std::collections::{BTreeMap, BTreeSet};

use acgs_perf_common::histogram::bucket_index;

use super::super::endpoints::{MOST, Name, others};
use super::super::native;
use crate::sums::Sums;

/// What was counted and not yet sent.
#[derive(Debug, Default)]
pub struct Owed {
    counts: BTreeMap<String, i64>,
    histograms: BTreeMap<String, BTreeMap<i32, i64>>,
    /// Names of endpoints that were sent, by service.
    endpoints: BTreeMap<String, BTreeSet<Name>>,
}

impl Owed {
    /// What of a count can be sent now.
    pub fn count(&mut self, key: String, difference: i64) -> u64 {
        let owed = self.counts.entry(key).or_default();
        *owed = owed.saturating_add(difference);
        if *owed > 0 { std::mem::take(owed) as u64 } else { 0 }
    }

    /// What of a histogram can be sent now, by bucket as in `native`.
    pub fn histogram(&mut self, key: String, differences: &Sums) -> BTreeMap<i32, u64> {
        let owed = self.histograms.entry(key).or_default();
        for (bucket, difference) in differences.iter() {
            let count = owed.entry(native::index(bucket as usize)).or_default();
            *count = count.saturating_add(difference);
        }
        let mut left = owed.values().sum::<i64>().max(0);
        let mut sent = BTreeMap::new();
        for (bucket, count) in owed.iter_mut().rev() {
            let paid = (*count).clamp(0, left);
            if paid > 0 {
                sent.insert(*bucket, paid as u64);
                (*count, left) = (*count - paid, left - paid);
            }
        }
        owed.retain(|_, count| *count != 0);
        sent
    }

    /// The name under which an endpoint is sent: its own, if it has been or if there is room.
    pub fn endpoint(&mut self, service: &str, name: Name) -> Name {
        let known = self.endpoints.entry(service.to_owned()).or_default();
        if known.len() < MOST {
            known.insert(name.clone());
        }
        if known.contains(&name) { name } else { others() }
    }

    /// Forgets all but what `keep` says of a key.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.counts.retain(|key, count| *count != 0 && keep(key));
        self.histograms.retain(|key, owed| !owed.is_empty() && keep(key));
    }
}

/// How many of a histogram are at most so long, to the end of the bucket that holds the limit.
pub fn within(sums: &Sums, limit_ns: u64) -> i64 {
    let last = bucket_index(limit_ns) as u32;
    sums.iter().take_while(|(bucket, _)| *bucket <= last).map(|(_, count)| count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_falls_is_paid_with_what_comes() {
        let mut owed = Owed::default();
        let sent: Vec<u64> = [5, -7, 3, 4, 1].into_iter().map(|count| owed.count("x".into(), count)).collect();
        assert_eq!(sent, [5, 0, 0, 0, 1]);
    }

    #[test]
    fn all_that_is_counted_is_sent_and_ends_in_its_bucket() {
        let mut owed = Owed::default();
        let mut sent: BTreeMap<i32, u64> = BTreeMap::new();
        let mut send = |sums: &[(u32, i64)]| {
            let now = owed.histogram("x".into(), &Sums::sparse(sums.iter().copied()));
            now.iter().for_each(|(bucket, count)| *sent.entry(*bucket).or_default() += count);
            now.values().sum::<u64>()
        };
        assert_eq!(send(&[(300, 2), (2000, 1)]), 3);
        // One of the first two goes on, and another comes.
        assert_eq!(send(&[(300, -1), (301, 1), (2500, 1)]), 1);
        assert_eq!(send(&[(300, 1)]), 1);
        assert_eq!(send(&[]), 0);
        let bucket = native::index;
        let wanted = [(bucket(300), 2), (bucket(301), 1), (bucket(2000), 1), (bucket(2500), 1)];
        let mut all = BTreeMap::new();
        wanted.into_iter().for_each(|(bucket, count)| *all.entry(bucket).or_default() += count);
        assert_eq!(sent, all);
    }
}
