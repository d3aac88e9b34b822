//! What the report says about single endpoints, beside the table of all: types only.
//!
//! In: filled by `analysis::endpoints`. Out: part of `service::ServiceReport` and of its tail.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::verdict::{Because, Verdict};

/// An endpoint that is held against something of its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EndpointObjectiveReport {
    /// Its name, as in `endpoints`; of several protocols all count.
    pub name: String,
    /// The P99 of its latency must be below this.
    pub p99_ns: u64,
    /// Its rate must be above this, requests per second.
    pub min_rps: f64,
    /// Requests answered.
    pub requests: u64,
    /// The same per second of the window, three decimals; absent for a window without length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_s: Option<f64>,
    /// Its P99, to the upper end of a bucket 3.1 % wide; absent without requests, or over range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found_p99_ns: Option<u64>,
    /// The 95 % interval of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found_p99_ci95_ns: Option<[u64; 2]>,
    /// The lower end of the interval, where it is open above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found_p99_ci95_low_ns: Option<u64>,
    /// By how much more the number of its slow requests varies over time than that of independent ones would; absent where too few
    /// intervals tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub design_effect: Option<f64>,
    /// The verdict; absent when endpoints were not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// What decided it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<Because>,
    /// Why this verdict, in words.
    #[serde(default)]
    pub reason: String,
}

/// What the configuration has moved out of a service's latency, or into it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ByRuleReport {
    /// Requests that were answered and are not in `latency`: of endpoints that are excluded, or wait by design.
    pub excluded: u64,
    /// Answers in `latency` that the protocol says to wait by design.
    pub included: u64,
    /// Excluded requests whose latency was not found among the service's.
    pub unmatched: u64,
    /// The endpoints that are excluded.
    pub endpoints: Vec<String>,
    /// Requests in `latency` per second, which the verdict is about; absent for a window without length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_s: Option<f64>,
}

/// An endpoint among the slowest requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TailEndpointReport {
    /// Its protocol; empty for all others together.
    pub protocol: String,
    /// Its name; `others` for all others together, and for requests without a name.
    pub name: String,
    /// Requests above the cut, rounded.
    pub requests: u64,
    /// Their share of all that are above it, four decimals.
    pub share: f64,
}
