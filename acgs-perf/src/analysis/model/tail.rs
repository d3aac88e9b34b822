//! Why the slowest requests are slow: types only.
//!
//! In: filled by `analysis::tail`, also anew from the rows of a report that was loaded. Out: part of
//! `service::ServiceReport`. Shares have four decimals.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::endpoint::TailEndpointReport;

/// What makes the slowest requests slower than the rest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TailReport {
    /// The answer in plain words, about the P99 cut or, with too few requests for it, the highest cut below it.
    pub sentence: String,
    /// The requests above p50, p90, p99, p99.9 against the rest.
    pub cuts: Vec<CutReport>,
    /// Quantiles without a cut.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOutReport>,
    /// The endpoints of the requests above the cut that the sentence is about, most requests first; all beyond eight are one. Absent where they
    /// are not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<TailEndpointReport>,
}

/// A quantile without a cut.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LeftOutReport {
    /// `p50`, `p90`, `p99`, `p99.9`.
    pub quantile: String,
    /// Why.
    pub reason: String,
}

/// The requests above a quantile of the latency against the rest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CutReport {
    /// `p50`, `p90`, `p99`, `p99.9`.
    pub quantile: String,
    /// The latency at the cut, linear within its bucket; absent if it is over range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold_ns: Option<u64>,
    /// Requests above the cut, rounded.
    pub count: u64,
    /// Their mean latency.
    pub mean_ns: u64,
    /// Mean latency of the rest.
    pub body_mean_ns: u64,
    /// Their components, largest excess first; those that are zero on both sides are left out.
    pub components: Vec<CutComponentReport>,
    /// The component `downstream` by peer, largest excess first.
    pub downstream: Vec<CutPeerReport>,
    /// Share of the time above the cut that was split evenly between requests that cannot be told apart.
    pub shared_share: f64,
    /// Downstream calls per request above the cut.
    pub calls_per_request: f64,
    /// Downstream calls per request of the rest.
    pub body_calls_per_request: f64,
    /// Mean time above the cut with exactly one downstream call outstanding.
    pub one_call_mean_ns: u64,
    /// Mean time above the cut with two or more downstream calls outstanding.
    pub many_calls_mean_ns: u64,
    /// Who held the CPU that the exemplars above the cut waited for, longest first.
    pub preemptors: Vec<PreemptorReport>,
    /// Which threads ended the waits for locks of the exemplars above the cut, longest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lock_ended_by: Vec<PreemptorReport>,
}

/// One component on both sides of a cut.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CutComponentReport {
    /// Name of the component.
    pub name: String,
    /// Its mean above the cut.
    pub mean_ns: u64,
    /// Its share of the time above the cut.
    pub share: f64,
    /// Its mean in the rest.
    pub body_mean_ns: u64,
    /// `mean_ns` − `body_mean_ns`.
    pub excess_ns: i64,
    /// `excess_ns` ÷ (mean latency above the cut − mean latency of the rest); absent if these are equal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub excess_share: Option<f64>,
}

/// One downstream peer on both sides of a cut.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CutPeerReport {
    /// Address of the peer.
    pub peer: String,
    /// Name of the service that listens there, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Mean time that a request above the cut waited for it.
    pub mean_ns: u64,
    /// Its share of the time above the cut.
    pub share: f64,
    /// `mean_ns` − the same mean of the rest.
    pub excess_ns: i64,
}

/// A process that held the CPU while requests waited for it, or a thread that ended their waits for a lock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PreemptorReport {
    /// Command name.
    pub comm: String,
    /// Process id, or thread id.
    pub pid: u32,
    /// Sum of the waits that ended when it left the CPU, or woke who waited.
    pub wait_ns: u64,
}
