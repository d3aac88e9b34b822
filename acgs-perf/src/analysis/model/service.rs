//! What the report says about one service: types only.
//!
//! In: filled by `analysis`. Out: part of `model::Report`. A section is absent when its probe was not active; the
//! report's `probes` say why.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::attribution::{AttributionReport, DownstreamReport, ExemplarReport};
use super::distribution::Distribution;
use super::endpoint::{ByRuleReport, EndpointObjectiveReport};
use super::fates::{CoverageReport, FatesReport, KindsReport, RefusedReport};
use super::tail::TailReport;
use super::verdict::{Because, Verdict};

/// One service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceReport {
    /// Its name.
    pub name: String,
    /// The selector that chose it.
    pub selector: String,
    /// Its processes.
    pub processes: Vec<ProcessReport>,
    /// Processes that joined by fork during the recording.
    pub processes_forked: u64,
    /// Processes that exited during the recording.
    pub processes_exited: u64,
    /// UDP ports on which it took messages, which is not measured; absent if there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub udp_ports: Vec<u16>,
    /// What it is held against, and the verdict.
    pub objective: ObjectiveReport,
    /// Endpoints that are held against something of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoint_objectives: Vec<EndpointObjectiveReport>,
    /// Requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<RequestsReport>,
    /// Requests without a reply; absent where nobody looked for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fates: Option<FatesReport>,
    /// What its listeners dropped; absent where nobody looked, and where it listens on UNIX sockets alone, whose drops the kernel does not
    /// count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<RefusedReport>,
    /// What was read or sent and is no request with a reply; absent if there is no such thing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kinds: Option<KindsReport>,
    /// How many of the requests are counted by name, see `endpoints`; absent without that probe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<CoverageReport>,
    /// Why the slowest requests are slow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tail: Option<TailReport>,
    /// The attribution histogram.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribution: Option<AttributionReport>,
    /// Downstream peers, most time first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub downstream: Option<Vec<DownstreamReport>>,
    /// Single requests, slowest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exemplars: Option<Vec<ExemplarReport>>,
    /// Scheduler.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<SchedulerReport>,
    /// System calls, longest total time first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub syscalls: Option<Vec<SyscallReport>>,
    /// TCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpReport>,
    /// The latency over time, oldest first, in at most 96 columns, of merged reports those of each; absent where there is only one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub latency_over_time: Vec<LatencyColumnReport>,
    /// Time series, oldest first.
    pub series: Vec<SeriesPointReport>,
    /// Tables that probes have declared, by the name of their field, beside the fields above; `report::schema` adds what they are. A
    /// report of another version may have other fields here.
    #[serde(flatten)]
    #[schemars(skip)]
    pub tables: BTreeMap<String, Value>,
}

/// One process of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProcessReport {
    /// Process id.
    pub pid: u32,
    /// Command name.
    pub comm: String,
    /// Whether it was there at the end of the window.
    pub state: ProcessState,
}

/// Whether a process was there at the end of the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProcessState {
    /// It was.
    Running,
    /// It was gone.
    Exited,
}

/// What a service is held against, and the verdict.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ObjectiveReport {
    /// The P99 of the latency must be below this.
    pub p99_ns: u64,
    /// The rate must be above this, requests per second.
    pub min_rps: f64,
    /// The share of the requests that must do without a read which is the same each time; absent if nobody asks for it. No
    /// part of the verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_hit_rate: Option<f64>,
    /// The verdict; absent when requests were not measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// What decided it; absent in reports of schema version 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<Because>,
    /// Whether the verdict is that of the worst endpoint that has enough requests, and not that of all requests.
    #[serde(default, skip_serializing_if = "is_false")]
    pub by_worst_endpoint: bool,
    /// That endpoint, held against its own objective, or against the service's P99 if it has none; absent where none has enough requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worst_endpoint: Option<Box<EndpointObjectiveReport>>,
    /// How much of the latency is not the service's to shorten; absent if that is little, or not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_time: Option<ClientTimeReport>,
    /// Why this verdict, or why none, in words.
    pub reason: String,
}

/// Time that the clients took themselves: they were still sending their request, or took the reply slowly.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClientTimeReport {
    /// Its mean above the P99.
    pub mean_ns: u64,
    /// About what the P99 would be without it.
    pub p99_without_ns: u64,
}

/// Requests of a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RequestsReport {
    /// Requests answered.
    pub count: u64,
    /// Requests answered per second of the window, three decimals; absent for a window without length.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_per_s: Option<f64>,
    /// Arrived → last byte.
    pub latency: Distribution,
    /// Arrived → read.
    pub queue_time: Distribution,
    /// Read → first byte.
    pub service_time: Distribution,
    /// Of the replies that were held: last send → last byte left, and before that the times between sends in which they could not leave.
    /// In buckets of 6 %, part of `latency`; absent if all left at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Distribution>,
    /// The sum of these times, by what held the replies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_ns: Option<HeldReport>,
    /// What the configuration has moved out of `latency`, or into it; absent if it has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_rule: Option<ByRuleReport>,
    /// Requests read, but never answered.
    pub unanswered: u64,
    /// Sends before any request was read on the connection.
    pub unsolicited_sends: u64,
    /// Bytes read from clients.
    pub bytes_in: u64,
    /// Bytes sent to clients.
    pub bytes_out: u64,
}

/// For how long replies were held, by what held them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeldReport {
    /// Their end was to go with more bytes: Nagle's algorithm, or a cork.
    pub nagle_ns: u64,
    /// The client took too little of them.
    pub window_ns: u64,
    /// Congestion, pacing, or loss.
    pub network_ns: u64,
}

/// Scheduler figures of a service, over all its threads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SchedulerReport {
    /// Time on a CPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_cpu_ns: Option<u64>,
    /// Time runnable, but without a CPU, because others had it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_queue_ns: Option<u64>,
    /// Time in which threads could have run, and were held back by the CPU quota of their control group. Not in `run_queue_ns`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_quota_ns: Option<u64>,
    /// Runnable → running, one value per wait that no CPU quota made.
    pub run_queue: Distribution,
    /// Blocked time by class: lock, disk, socket, poll, sleep, fault, other.
    pub blocked: BTreeMap<String, Blocked>,
    /// Context switches.
    pub switches: Switches,
    /// Who ran while threads of the service waited for a CPU, longest first.
    pub ran_instead: Vec<RanInsteadReport>,
}

/// Blocked time of one class: the time, and the distribution of the waits beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Blocked {
    /// Time in this state, over all threads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_ns: Option<u64>,
    /// The fields of a distribution: one value per wait that ended in the window.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub waits: Option<Distribution>,
}

/// Context switches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Switches {
    /// The thread blocked.
    pub voluntary: u64,
    /// The thread was still runnable.
    pub involuntary: u64,
}

/// A process that ran while a thread of the service waited for its CPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RanInsteadReport {
    /// Command name.
    pub comm: String,
    /// Process id.
    pub pid: u32,
    /// Waits that ended when it left the CPU.
    pub waits: u64,
    /// Their sum.
    pub wait_ns: u64,
}

/// One system call of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SyscallReport {
    /// Name.
    pub name: String,
    /// Calls that returned.
    pub count: u64,
    /// Calls that returned an error.
    pub errors: u64,
    /// Errors by errno name.
    pub errnos: BTreeMap<String, u64>,
    /// Total time in the call; absent where the sum was not kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_ns: Option<u64>,
    /// Entry → exit.
    pub latency: Distribution,
}

/// TCP figures of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TcpReport {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections opened.
    pub opened: u64,
    /// Connections that could not be opened.
    pub connect_failures: u64,
    /// Segments retransmitted.
    pub retransmits: u64,
    /// Resets received.
    pub resets_received: u64,
    /// Resets sent.
    pub resets_sent: u64,
    /// SYN sent → established, for connections that the service opened.
    pub connect: Distribution,
    /// Established → accepted by the application.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accept_wait: Option<Distribution>,
    /// Why `accept_wait` is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accept_wait_unmeasured: Option<String>,
    /// Smoothed round-trip time.
    pub srtt: Distribution,
    /// Per peer, most connections first; those without figures of their own last.
    pub peers: Vec<PeerReport>,
}

/// One TCP peer of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PeerReport {
    /// `address:port` for connections that the service opened, `address` for its clients; `others` for all that got no
    /// figures of their own.
    pub address: String,
    /// `outgoing` or `incoming`, as seen from the service.
    pub direction: String,
    /// Connections established.
    pub connections: u64,
    /// Connections that failed.
    pub failures: u64,
    /// Mean connect time; absent for clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean_connect_ns: Option<u64>,
    /// Segments retransmitted.
    pub retransmits: u64,
    /// Resets, both ways.
    pub resets: u64,
    /// Last smoothed round-trip time; absent before the first sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub srtt_ns: Option<u64>,
}

/// The latencies of the requests that were answered in a part of the window.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LatencyColumnReport {
    /// Begin of the part, after the start of the window.
    pub offset_ns: u64,
    /// Its length.
    pub duration_ns: u64,
    /// HdrHistogram V2, as in a distribution; its buckets are an eighth of a power of two wide, and have the value of their lower end.
    /// Absent without requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub histogram: Option<String>,
}

/// One point of the time series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SeriesPointReport {
    /// Begin of the interval, after the start of the window.
    pub offset_ns: u64,
    /// Length of the interval.
    pub duration_ns: u64,
    /// Requests answered in it.
    pub requests: u64,
    /// Requests answered per second, three decimals; absent for an interval without length.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_per_s: Option<f64>,
    /// Median latency; absent without requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50_ns: Option<u64>,
    /// 99th percentile of the latency; absent without requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99_ns: Option<u64>,
    /// Requests that nobody had read at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<u64>,
    /// Requests that were read and not answered at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_service: Option<u64>,
    /// The age of the oldest of both; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_ns: Option<u64>,
    /// Requests whose client left in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abandoned: Option<u64>,
    /// What the listeners dropped in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<u64>,
    /// Values behind `p50_ns` and `p99_ns` beyond `requests`: replies that an earlier interval has counted, and that went on in this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counted_again: Option<u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_false(value: &bool) -> bool {
    !value
}
