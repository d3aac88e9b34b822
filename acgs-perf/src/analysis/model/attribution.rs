//! Where the time of a service's requests went: types only.
//!
//! In: filled by `analysis`. Out: part of `service::ServiceReport`. Components are named as in
//! `acgs_perf_common::attribution::COMPONENT_NAMES`. Rows of two reports merge by adding those with the same `low_ns`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::distribution::Distribution;
use super::fates::CoverageReport;

/// The attribution histogram of a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AttributionReport {
    /// Every power of two is divided into 2^this buckets.
    pub grouping_power: u32,
    /// Rows that hold requests, by rising latency.
    pub rows: Vec<AttributionRowReport>,
    /// How much of the requests' life was spent with downstream calls outstanding; absent without requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls_outstanding: Option<CallsOutstandingReport>,
    /// Exemplars that were not kept because their rate was limited or the buffer was full.
    pub exemplars_dropped: u64,
}

/// One row: sums over the requests whose latency fell into the bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AttributionRowReport {
    /// The smallest latency of the bucket.
    pub low_ns: u64,
    /// The largest latency of the bucket; absent for the row of what was over range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub high_ns: Option<u64>,
    /// Requests.
    pub count: u64,
    /// Sum of their latencies.
    pub latency_ns: u64,
    /// Sum of each component that is not zero; together they are `latency_ns`.
    pub component_ns: BTreeMap<String, u64>,
    /// Time that was split evenly between requests that cannot be told apart.
    pub shared_ns: u64,
    /// Downstream calls.
    pub calls: u64,
    /// Time with exactly one downstream call outstanding.
    pub one_call_ns: u64,
    /// Time with two or more downstream calls outstanding.
    pub many_calls_ns: u64,
    /// The component `downstream` by address of the peer, where not zero.
    pub downstream_ns: BTreeMap<String, u64>,
}

/// Shares of the requests' life by the number of downstream calls outstanding; four decimals, together 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CallsOutstandingReport {
    /// No call.
    pub none_share: f64,
    /// Exactly one call.
    pub one_share: f64,
    /// Two or more calls.
    pub many_share: f64,
}

/// A downstream peer of a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DownstreamReport {
    /// `address:port` or `unix:PATH`; `others` for all that got no figures of their own.
    pub address: String,
    /// Name of the service that listens there, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Calls answered.
    pub calls: u64,
    /// Calls sent, but not answered by the end of the window.
    pub unanswered: u64,
    /// Connections opened.
    pub connects: u64,
    /// Connections opened per call answered, four decimals; absent without calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connects_per_call: Option<f64>,
    /// Calls answered per request answered, four decimals; absent without requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls_per_request: Option<f64>,
    /// Sends on a connection on which the call of another request was outstanding.
    pub multiplexed: u64,
    /// How many of the calls are counted by name, see `downstream_endpoints`: what is sent in one go counts once in `calls`, and by name as
    /// often as there are calls in it, so that with pipelines `named` may be the larger one. Absent without calls, and without the probe
    /// `endpoints`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<CoverageReport>,
    /// Send → first byte back.
    pub latency: Distribution,
}

/// One request with its history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExemplarReport {
    /// When it arrived, after the start of the window; negative if before it.
    pub arrived_offset_ns: i64,
    /// Arrived → last byte.
    pub latency_ns: u64,
    /// Arrived → read.
    pub queue_time_ns: u64,
    /// Read → first byte.
    pub service_time_ns: u64,
    /// First byte → last byte.
    pub reply_ns: u64,
    /// Its client: `address:port` or `unix`.
    pub client: String,
    /// Thread that sent the reply.
    pub thread: u32,
    /// Its process.
    pub pid: u32,
    /// Its command name.
    pub comm: String,
    /// What was asked for; absent where the protocol is not followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Bytes of the request.
    pub bytes_in: u64,
    /// Bytes of the reply.
    pub bytes_out: u64,
    /// Each component that is not zero.
    pub components: BTreeMap<String, u64>,
    /// Time that was split with other requests.
    pub shared_ns: u64,
    /// The component `downstream` by address of the peer, where not zero.
    pub downstream_ns: BTreeMap<String, u64>,
    /// Whether it is one of the slowest; otherwise it is one of the sample above the running P99.
    pub slowest: bool,
    /// Whether there were more segments than are kept; the last one stands for all that followed.
    pub truncated: bool,
    /// What it went through, in order.
    pub segments: Vec<SegmentReport>,
}

/// A stretch of a request's life in one component.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SegmentReport {
    /// The component.
    pub component: String,
    /// How long.
    pub duration_ns: u64,
    /// The downstream peer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// What the peer was asked for; absent where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
    /// Who woke the thread at the end of a blocked stretch, or who held its CPU at the end of a wait for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<ActorReport>,
}

/// Another process, or the thread that woke this one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ActorReport {
    /// Process id, or thread id.
    pub pid: u32,
    /// Command name; empty if it was gone before it could be read.
    pub comm: String,
}
