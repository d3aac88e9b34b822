//! What a client saw that loaded a service: types only.
//!
//! In: filled by `analysis`. Out: the result of `load`, and the section `client` of a report.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::distribution::Distribution;

/// One run of `acgs-perf load`, by the client's clock.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClientReport {
    /// What was loaded.
    pub url: String,
    /// Where it is: `address:port` or `unix:PATH`.
    pub address: String,
    /// `http`, `redis` or `postgres`.
    pub protocol: String,
    /// `constant`, `poisson`, `replay` or `closed`.
    pub arrivals: String,
    /// Connections.
    pub connections: u32,
    /// Of random arrivals.
    pub seed: u64,
    /// A request that took longer had failed.
    pub timeout_ns: u64,
    /// When it began, ns since 1970-01-01 UTC.
    pub start_unix_ns: u64,
    /// How long requests were sent.
    pub duration_ns: u64,
    /// Whether a signal ended it early.
    pub interrupted: bool,
    /// Requests per second that were asked for; absent in a closed loop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offered_per_s: Option<f64>,
    /// Requests sent.
    pub sent: u64,
    /// Requests answered, be it with an error.
    pub answered: u64,
    /// The same per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_per_s: Option<f64>,
    /// Requests that were due and had to wait for a connection.
    pub waited: u64,
    /// Requests that were due and were never sent, because no connection was idle before the time was up.
    pub not_sent: u64,
    /// Corrected: from the moment in which a request was due to the last byte of its reply. Those without a reply, because it took too
    /// long or the run was over, count as at least as long as they were waited for.
    pub latency: Distribution,
    /// Uncorrected: from the sending on. A server that stalls keeps requests from being sent, which are not slow here.
    pub from_sending: Distribution,
    /// How much later the generator sent than it could have: when a request was due and a connection was idle.
    pub lateness: Distribution,
    /// In which part of the run the generator had something to do, from 0 to 1: near 1 it is the one that does not keep up.
    pub generator_busy: f64,
    /// Whether the generator was so late itself that the corrected latency says more about it than about the server.
    pub generator_was_late: bool,
    /// Where the mean of the corrected latency comes from.
    pub parts: ClientPartsReport,
    /// Requests without a reply, and replies that are errors, by kind: `connect_refused`, `reset`, `timeout`, `http_503`,
    /// `redis_WRONGTYPE`, `postgres_42P01` …; absent if there is none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub errors: BTreeMap<String, u64>,
    /// What the first of them said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_error: Option<String>,
    /// Steps of the rate, or parts of a ramp or a replay; absent if there is only one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slices: Vec<ClientSliceReport>,
    /// The server's side; absent if the service was not recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerSideReport>,
}

/// Means over the answered requests; the three add up to the mean of the corrected latency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClientPartsReport {
    /// Waiting for a connection.
    pub waiting_for_connection_mean_ns: u64,
    /// The generator's own lateness.
    pub generator_mean_ns: u64,
    /// From the sending on.
    pub from_sending_mean_ns: u64,
}

/// A part of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClientSliceReport {
    /// When it began, after the run did.
    pub offset_ns: u64,
    /// Its length.
    pub duration_ns: u64,
    /// Requests per second that were asked for, at its begin.
    pub from_per_s: f64,
    /// The same at its end.
    pub to_per_s: f64,
    /// Requests sent.
    pub sent: u64,
    /// Requests answered.
    pub answered: u64,
    /// Requests for which no connection was idle before the time was up.
    pub not_sent: u64,
    /// Requests without a reply, and replies that are errors.
    pub errors: u64,
    /// Corrected.
    pub latency: Distribution,
    /// Uncorrected.
    pub from_sending: Distribution,
    /// Of the generator itself.
    pub lateness: Distribution,
}

/// What the kernel of the server saw of the same requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServerSideReport {
    /// The service.
    pub service: String,
    /// Requests that it answered in the whole recording, those of others included.
    pub count: u64,
    /// Mean of its latency; absent if it answered none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_ns: Option<u64>,
    /// What the mean of the uncorrected latency has more than that: the way there and back, and the time until the client's thread has
    /// read the reply. Absent where the two did not see the same requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outside_mean_ns: Option<u64>,
}
