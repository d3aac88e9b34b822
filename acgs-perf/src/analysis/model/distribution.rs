//! A distribution of durations in the report: types only.
//!
//! In: filled by `analysis`. Out: part of what is said of a service's requests, threads, calls and peers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A distribution of durations. Percentiles are upper bounds of their bucket, at most 0.8 % above the true value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Distribution {
    /// Number of values, those over range and those without an end included.
    pub count: u64,
    /// How many of them have no end: requests that are still open, or whose client left; absent if all have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without_end: Option<u64>,
    /// Lower bound of the bucket of the smallest value; absent if there is none in range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_ns: Option<u64>,
    /// Upper bound of the bucket of the largest value; absent if there is none or it is over range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_ns: Option<u64>,
    /// The largest value is at least this; in place of `max_ns` where the largest has no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_at_least_ns: Option<u64>,
    /// Exact sum of the values that have an end; absent where it was not kept, and in reports of older agents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sum_ns: Option<u64>,
    /// Mean of the values that have an end, from the exact sum, rounded; absent where the sum was not kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean_ns: Option<u64>,
    /// Median; percentiles are absent if there is no value, or they are over range or among those without an end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50_ns: Option<u64>,
    /// In place of `p50_ns` where that lies among those without an end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50_at_least_ns: Option<u64>,
    /// 90th percentile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p90_ns: Option<u64>,
    /// In place of `p90_ns` where that lies among those without an end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p90_at_least_ns: Option<u64>,
    /// 99th percentile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99_ns: Option<u64>,
    /// In place of `p99_ns` where that lies among those without an end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_at_least_ns: Option<u64>,
    /// 95 % confidence interval of the 99th percentile, by order statistics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99_ci95_ns: Option<[u64; 2]>,
    /// Its lower end, where it is open above: with few values, or when the upper end is over range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_ci95_low_ns: Option<u64>,
    /// By how much more the number of values above the 99th percentile varies over time than that of independent ones would, three
    /// decimals; the interval is as wide as that asks for. Absent where too few intervals tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub design_effect: Option<f64>,
    /// 99.9th percentile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p999_ns: Option<u64>,
    /// In place of `p999_ns` where that lies among those without an end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p999_at_least_ns: Option<u64>,
    /// 99.99th percentile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p9999_ns: Option<u64>,
    /// In place of `p9999_ns` where that lies among those without an end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p9999_at_least_ns: Option<u64>,
    /// Values of 2^36 ns (68.7 s) and more; they rank above all buckets.
    pub over_range: u64,
    /// The values in range that have an end: HdrHistogram V2, 2 significant digits, uncompressed, base64; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub histogram: Option<String>,
    /// The ages of those without an end that are in range, as in `histogram`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ages: Option<String>,
    /// Those of them that are older than the range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ages_over_range: Option<u64>,
}
