//! Families as they are being made, of which no counter ever falls.
//!
//! In: values with their labels, and what was shown last. Out: families, and what is shown now.

use std::collections::{BTreeMap, HashMap};

use super::family::{Family, Histogram, Sample, Type, Value};

/// What was shown of each series.
#[derive(Debug, Default)]
pub struct Shown {
    counts: HashMap<String, u64>,
    fine: HashMap<String, BTreeMap<i32, u64>>,
}

/// Families that are being made.
pub struct Page<'a> {
    /// Those that are made.
    pub families: Vec<Family>,
    /// What was shown last.
    pub before: &'a Shown,
    /// What is shown now.
    pub after: Shown,
}

impl Page<'_> {
    /// Adds a histogram: how many are at most so long, by bound; how many in all, and their sum; counts by native bucket.
    pub fn histogram(
        &mut self,
        key: &str,
        labels: &[(&'static str, &str)],
        bounds: Vec<(u64, u64)>,
        (count, sum_ns): (u64, u64),
        fine: BTreeMap<i32, u64>,
    ) {
        let part = |part: u64| format!("{key} {part}");
        let bounds = bounds.into_iter().map(|(bound, count)| (bound, self.rising(part(bound), count))).collect();
        let count = self.rising(format!("{key} count"), count);
        let sum_ns = self.rising(format!("{key} sum"), sum_ns);
        let mut shown = self.before.fine.get(key).cloned().unwrap_or_default();
        for (bucket, count) in fine {
            let known: &mut u64 = shown.entry(bucket).or_default();
            *known = count.max(*known);
        }
        self.after.fine.insert(key.to_owned(), shown.clone());
        self.add(labels, Value::Histogram(Histogram { bounds, count, sum_ns, fine: shown }));
    }

    /// Begins a family.
    pub fn head(&mut self, name: &'static str, kind: Type, help: &'static str) {
        self.families.push(Family { name, kind, help, samples: Vec::new() });
    }

    /// A sample of it.
    pub fn add(&mut self, labels: &[(&'static str, &str)], value: Value) {
        let labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        if let Some(family) = self.families.last_mut() {
            family.samples.push(Sample { labels, value });
        }
    }

    /// What may do anything.
    pub fn gauge(&mut self, labels: &[(&'static str, &str)], value: Value) {
        self.add(labels, value);
    }

    /// What only rises.
    pub fn counter(&mut self, labels: &[(&'static str, &str)], value: u64) {
        let value = self.rising(self.key(labels), value);
        self.add(labels, Value::Count(value));
    }

    /// The same of a time.
    pub fn counter_nanos(&mut self, labels: &[(&'static str, &str)], ns: u64) {
        let ns = self.rising(self.key(labels), ns);
        self.add(labels, Value::Nanos(ns));
    }

    fn key(&self, labels: &[(&'static str, &str)]) -> String {
        format!("{} {labels:?}", self.families.last().map_or("", |family| family.name))
    }

    /// At least what was shown before.
    pub fn rising(&mut self, key: String, value: u64) -> u64 {
        let value = self.before.counts.get(&key).map_or(value, |before| value.max(*before));
        self.after.counts.insert(key, value);
        value
    }
}
