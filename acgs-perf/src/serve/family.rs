//! Families of series, as every format shows them: types only.
//!
//! In: made by `metrics`. Out: shown by `text` and `native`.

use std::collections::BTreeMap;

/// What a family is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// It only rises.
    Counter,
    /// It may do anything.
    Gauge,
    /// Counts by duration.
    Histogram,
}

/// Series of one name.
#[derive(Clone, Debug)]
pub struct Family {
    /// The name, without the suffix of counters.
    pub name: &'static str,
    /// What it is.
    pub kind: Type,
    /// What it says.
    pub help: &'static str,
    /// Its series.
    pub samples: Vec<Sample>,
}

/// One series, or one histogram.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Labels by name.
    pub labels: Vec<(&'static str, String)>,
    /// The value.
    pub value: Value,
}

/// A value.
#[derive(Clone, Debug)]
pub enum Value {
    /// A number.
    Count(u64),
    /// A duration in ns, shown in seconds.
    Nanos(u64),
    /// Durations.
    Histogram(Histogram),
}

/// Counts of durations.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    /// Upper bounds in ns, and how many are at most so long.
    pub bounds: Vec<(u64, u64)>,
    /// How many in all.
    pub count: u64,
    /// Their sum.
    pub sum_ns: u64,
    /// How many by bucket of a native histogram, as in `native`.
    pub fine: BTreeMap<i32, u64>,
}
