//! What became of requests that have no reply: types only.
//!
//! In: filled by `analysis`. Out: part of `service::ServiceReport`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::distribution::Distribution;

/// Requests without a reply, by what became of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FatesReport {
    /// Arrived, and read by nobody, at the end of the window: also on connections that were not accepted.
    pub unread: OpenReport,
    /// Read, and not answered, at the end of the window.
    pub in_service: OpenReport,
    /// Answered, but at the end of the window not all of the reply had left. They are among those answered, and their latency is at least
    /// their age.
    #[serde(default)]
    pub undelivered: OpenReport,
    /// Their client left.
    pub abandoned: AbandonedReport,
    /// The service closed their connection instead of answering. Absent where it listens on UNIX sockets alone, whose close leaves no
    /// trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_off: Option<u64>,
}

/// Requests that are open.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OpenReport {
    /// How many.
    pub count: u64,
    /// Those of them that are as old as the objective of the P99: they miss it, however they end.
    pub beyond_objective: u64,
    /// Those of them that had arrived before the recording began.
    pub before_recording: u64,
    /// The age of the oldest; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_ns: Option<u64>,
    /// The oldest, oldest first; those younger than a tenth of a second are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub oldest: Vec<OpenRequestReport>,
}

/// One open request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OpenRequestReport {
    /// Time since it arrived.
    pub age_ns: u64,
    /// How well that is known.
    pub since: Since,
    /// Its client: `address:port` or `unix`.
    pub client: String,
    /// The process that has its socket; absent if nobody has accepted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Its command name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comm: String,
}

/// How well it is known when a request arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Since {
    /// It was seen.
    #[default]
    Arrival,
    /// Before the recording began; the kernel knows when its last bytes came, to a tick of its coarse clock.
    LastBytes,
    /// Before the recording began: it is at least so old.
    AtLeast,
}

/// Requests whose client left.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AbandonedReport {
    /// How many.
    pub count: u64,
    /// Those of them that had waited as long as the objective of the P99. Who leaves sooner may have had no wish for a reply: a farewell.
    pub beyond_objective: u64,
    /// The longest that one had waited; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_ns: Option<u64>,
    /// How long they had waited when the client left.
    pub latency: Distribution,
    /// Those of them that were answered all the same: work for nobody.
    pub into_closed: u64,
}

/// What was read or sent, and is no request with a reply.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KindsReport {
    /// Messages that came on connections on which the service never sends.
    pub one_way: u64,
    /// Messages behind which the client closed without waiting for a reply.
    pub farewell: u64,
    /// Messages with which connections were opened, as their protocol says.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub handshake: u64,
    /// Requests whose answer comes when something happens; absent if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_by_design: Option<WaitByDesignReport>,
    /// Replies that went on after a pause, and what nobody asked for; absent if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push: Option<PushReport>,
}

/// Requests whose answer comes when something happens: blocking commands. They are in no latency, and in no verdict.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WaitByDesignReport {
    /// Those that were answered.
    pub count: u64,
    /// How long they took, in buckets of 3 %.
    pub latency: Distribution,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// How many requests, or calls, are counted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CoverageReport {
    /// Those that are: their protocol is followed, and their endpoint has figures of its own.
    pub named: u64,
    /// All that are counted.
    pub counted: u64,
}

/// Messages that nobody asked for, where the protocol is followed. Where it is not, replies that went on after a pause which was longer
/// than all of the reply before it: such a message, a stream, or a service that computes between the begin of its reply and the rest;
/// their latency is that of the last byte.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PushReport {
    /// How many.
    pub count: u64,
    /// What the latency of those replies would be if they had ended before the pause, in buckets of 6 %.
    pub latency_before: Distribution,
}

/// What the listeners of a service dropped because their queues were full.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RefusedReport {
    /// How many. Each try of a client counts again, so these are drops and not clients.
    pub drops: u64,
    /// By port.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub by_port: BTreeMap<u32, u64>,
}
