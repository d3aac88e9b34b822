//! What a client saw that loaded a service during a recording: raw, as `acgs-perf load` hands it to `acgs-perf record`.
//!
//! In: filled by the verb `load`. Out: part of a capture's context, and what `analysis` makes the client's side of a report from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::sums::Sums;

/// The environment variable that names the file to which `load` adds what it saw, a line for each run.
pub const HAND_OVER: &str = "ACGS_PERF_CLIENT_RUNS";

/// One run of `load`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClientRun {
    /// What was loaded, as the user wrote it, without a password.
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
    /// When it began, ns since 1970.
    pub start_unix_ns: u64,
    /// How long requests were sent.
    pub duration_ns: u64,
    /// Length of the whole run, with the time in which it only waited for replies.
    pub elapsed_ns: u64,
    /// Of it, the time in which the generator had nothing to do.
    pub free_ns: u64,
    /// Whether a signal ended it early.
    pub interrupted: bool,
    /// The slices, in the order of their times.
    pub slices: Vec<ClientSlice>,
    /// What the first error said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_error: Option<String>,
    /// The recorded service that is there; `record` fills it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
}

/// A part of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClientSlice {
    /// Its length.
    pub duration_ns: u64,
    /// Requests per second that were asked for, at its begin; 0 in a closed loop.
    pub from_per_s: f64,
    /// The same at its end.
    pub to_per_s: f64,
    /// Requests sent.
    pub sent: u64,
    /// Requests answered.
    pub answered: u64,
    /// Requests that waited for a connection.
    pub waited: u64,
    /// Requests for which no connection was idle before the time was up.
    pub not_sent: u64,
    /// Latencies from the intended moment, by bucket of `acgs_perf_common::histogram`.
    pub latency: Sums,
    /// Latencies from the sending, likewise.
    pub from_sending: Sums,
    /// How late the generator itself sent.
    pub lateness: Sums,
    /// How long those without a reply had waited.
    pub without_end: Sums,
    /// Sum of all latencies from the intended moment.
    pub latency_sum_ns: u64,
    /// Of it, waiting for a connection.
    pub waited_sum_ns: u64,
    /// Of it, the generator's own lateness.
    pub late_sum_ns: u64,
    /// Of it, from the sending on.
    pub from_sending_sum_ns: u64,
    /// Requests without a reply, and replies that are errors, by kind.
    pub errors: BTreeMap<String, u64>,
}
