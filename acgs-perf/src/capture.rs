//! What a recording holds before it is analysed: raw counts and facts, no percentile and no verdict.
//!
//! In: snapshots of the kernel maps. Out: input of `analysis`. Everything to the right of this module is pure: no root,
//! no kernel, no clock. `None` means "not measured"; a zero means "measured, and it was zero".

use std::time::Duration;

use acgs_perf_common::attribution::{COMPONENTS, Component, PEER_SLOTS};

/// One histogram: bucket counts (index as in `acgs_perf_common::histogram`), the exact sum, and what was over range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Count per bucket, `BUCKETS` long, or empty when nothing was recorded.
    pub buckets: Vec<u64>,
    /// Sum of all values in ns where the kernel kept it, over range included.
    pub sum_ns: Option<u64>,
    /// Values of 2^36 ns (68.7 s) and more.
    pub over_range: u64,
}

/// A whole recording.
#[derive(Clone, Debug, Default)]
pub struct Capture {
    /// Facts about the host.
    pub host: Host,
    /// Wall-clock time at which counting began, ns since 1970.
    pub start_unix_ns: u64,
    /// Length of the window in which events were counted.
    pub duration: Duration,
    /// What each probe did.
    pub probes: Vec<Probe>,
    /// Loss ledger: (name, count); every counter, zero or not.
    pub ledger: Vec<(String, u64)>,
    /// What measuring cost.
    pub cost: Cost,
    /// The services, in the order in which they were named.
    pub services: Vec<Service>,
    /// How the recording ended: "duration", "interrupted", "terminated", "hung up", "command exited with 1" …
    pub ended_by: String,
    /// What could not be read or done after the start, in one line each.
    pub notes: Vec<String>,
}

/// Facts about the host and its kernel.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// Host name.
    pub name: String,
    /// Kernel release.
    pub kernel: String,
    /// Machine architecture.
    pub arch: String,
    /// CPUs online.
    pub cpus: u32,
    /// Bytes of memory.
    pub memory_bytes: u64,
}

/// State of one probe.
#[derive(Clone, Debug, Default)]
pub struct Probe {
    /// `request`, `sched`, `syscalls`, `tcp`.
    pub name: String,
    /// `active`, `disabled`, `unsupported` or `stopped`.
    pub state: String,
    /// Why it is not active.
    pub reason: Option<String>,
    /// When it was stopped, after the begin of the window.
    pub stopped_after: Option<Duration>,
    /// Kernel hooks it uses, such as `tp_btf/sched_switch`.
    pub hooks: Vec<String>,
}

/// Cost of the measurement.
#[derive(Clone, Debug, Default)]
pub struct Cost {
    /// CPU time of the agent itself, user and system, over the window.
    pub agent_cpu: Duration,
    /// Largest resident set of the agent.
    pub agent_max_rss_bytes: u64,
    /// Memory of the kernel maps.
    pub map_bytes: u64,
    /// Time from the first load to the last attach.
    pub attach: Duration,
    /// Per program (name, runs, run time); `None` unless `--measure-cost`.
    pub programs: Option<Vec<ProgramCost>>,
    /// Why `programs` is `None` although it was asked for.
    pub programs_unmeasured: Option<String>,
    /// What `--max-overhead` has seen; `None` without it.
    pub overhead: Option<Overhead>,
}

/// Cost as `--max-overhead` measures it, in shares of the CPU time of all online CPUs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overhead {
    /// The limit.
    pub limit: f64,
    /// Intervals that were measured.
    pub intervals: u32,
    /// The last one.
    pub last: Option<f64>,
    /// The dearest one.
    pub highest: Option<f64>,
    /// What timing the programs has cost in the last one; it is part of that.
    pub account: Option<f64>,
}

/// Cost of one kernel program.
#[derive(Clone, Debug, Default)]
pub struct ProgramCost {
    /// Name of the program.
    pub name: String,
    /// How often it ran.
    pub runs: u64,
    /// Time in it.
    pub run_time: Duration,
}

/// What to hold a service against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Objective {
    /// The P99 of the latency must be below this.
    pub p99: Duration,
    /// The service must handle more than this many requests per second.
    pub min_rps: f64,
}

impl Default for Objective {
    fn default() -> Self {
        Self { p99: Duration::from_millis(5), min_rps: 100.0 }
    }
}

/// One process of a service.
#[derive(Clone, Debug, Default)]
pub struct Process {
    /// Process id.
    pub pid: u32,
    /// Command name.
    pub comm: String,
    /// `running`, or `exited` when it was gone at the end of the window.
    pub exited: bool,
}

/// One service.
#[derive(Clone, Debug, Default)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// The selector that chose it, as the user would write it.
    pub selector: String,
    /// Its processes.
    pub processes: Vec<Process>,
    /// Processes that joined by fork during the recording.
    pub forked: u64,
    /// Processes that exited during the recording.
    pub exited: u64,
    /// What it is held against.
    pub objective: Objective,
    /// Requests; `None` when the probe was not active.
    pub requests: Option<Requests>,
    /// Scheduler; `None` when the probe was not active.
    pub scheduler: Option<Scheduler>,
    /// System calls; `None` when the probe was not active.
    pub syscalls: Option<Vec<Syscall>>,
    /// TCP; `None` when the probe was not active.
    pub tcp: Option<Tcp>,
    /// Where the time of the requests went; `None` when the probe was not active.
    pub attribution: Option<Attribution>,
    /// Time series, oldest first.
    pub series: Vec<SeriesPoint>,
}

/// Where the time of a service's requests went.
#[derive(Clone, Debug, Default)]
pub struct Attribution {
    /// Rows of the attribution histogram that hold requests, by rising bucket.
    pub rows: Vec<AttributionRow>,
    /// Downstream peers; slot 0 stands for those that got no slot of their own.
    pub downstream: Vec<Downstream>,
    /// Single requests: the slowest, and a sample of those above the running P99.
    pub exemplars: Vec<Exemplar>,
    /// Exemplars that were not kept because their rate was limited or the buffer was full.
    pub exemplars_dropped: u64,
}

/// One row of the attribution histogram: sums over the requests whose latency fell into the bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttributionRow {
    /// Bucket as in `acgs_perf_common::attribution`; `ATTRIBUTION_BUCKETS` holds what was over range.
    pub bucket: usize,
    /// Requests.
    pub count: u64,
    /// Sum of their latencies.
    pub latency_ns: u64,
    /// Sum of each component, in the order of `Component`; they add up to `latency_ns`.
    pub component_ns: [u64; COMPONENTS],
    /// Time that was split evenly between requests that cannot be told apart.
    pub shared_ns: u64,
    /// Downstream calls.
    pub calls: u64,
    /// Time with exactly one downstream call outstanding.
    pub one_call_ns: u64,
    /// Time with two or more downstream calls outstanding.
    pub many_calls_ns: u64,
    /// The component `downstream` by peer slot.
    pub peer_ns: [u64; PEER_SLOTS],
}

/// A downstream peer of a service.
#[derive(Clone, Debug, Default)]
pub struct Downstream {
    /// Its slot in `AttributionRow::peer_ns`.
    pub slot: usize,
    /// `address:port` or `unix:PATH`; `others` for slot 0.
    pub address: String,
    /// Name of the service that listens there, if it is known.
    pub service: Option<String>,
    /// Calls sent; those not answered are the difference to `latency`'s count.
    pub sent: u64,
    /// Connections opened.
    pub connects: u64,
    /// Sends on a connection on which the call of another request was outstanding.
    pub multiplexed: u64,
    /// Send → first byte back.
    pub latency: Counts,
}

/// One request with its history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exemplar {
    /// When it arrived, ns after the start of the window (negative: before it).
    pub arrived_ns: i64,
    /// arrived → read.
    pub queue_ns: u64,
    /// read → first byte.
    pub service_ns: u64,
    /// First byte → last byte.
    pub reply_ns: u64,
    /// Its client: `address:port`, `unix`.
    pub client: String,
    /// Thread that sent the reply.
    pub thread: u32,
    /// Its process.
    pub pid: u32,
    /// Its command name.
    pub comm: String,
    /// Bytes of the request.
    pub bytes_in: u64,
    /// Bytes of the reply.
    pub bytes_out: u64,
    /// Components, in the order of `Component`.
    pub component_ns: [u64; COMPONENTS],
    /// Time that was split with other requests.
    pub shared_ns: u64,
    /// The component `downstream` by peer slot.
    pub peer_ns: [u64; PEER_SLOTS],
    /// Whether it is one of the slowest; otherwise it is one of the sample above the running P99.
    pub slowest: bool,
    /// What it went through, in order.
    pub segments: Vec<Segment>,
    /// Whether there were more segments than the kernel keeps; the last one stands for all that followed.
    pub truncated: bool,
}

/// A stretch of a request's life in one component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The component.
    pub component: Component,
    /// How long.
    pub duration_ns: u64,
    /// Downstream: slot of the peer.
    pub peer: Option<usize>,
    /// Who woke the thread at the end of a blocked stretch, or who held its CPU at the end of a wait for it.
    pub by: Option<Actor>,
}

/// Another process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// Process id.
    pub pid: u32,
    /// Command name, empty if it was gone before it could be read.
    pub comm: String,
}

/// Requests of a service.
#[derive(Clone, Debug, Default)]
pub struct Requests {
    /// Requests answered.
    pub count: u64,
    /// Requests read, but never answered.
    pub unanswered: u64,
    /// Sends before any request was read on the connection.
    pub unsolicited_sends: u64,
    /// Bytes read from clients.
    pub bytes_in: u64,
    /// Bytes sent to clients.
    pub bytes_out: u64,
    /// arrived → last byte.
    pub latency: Counts,
    /// arrived → read.
    pub queue_time: Counts,
    /// read → first byte.
    pub service_time: Counts,
}

/// Scheduler figures of a service.
#[derive(Clone, Debug, Default)]
pub struct Scheduler {
    /// Time in each thread state, in the order of `acgs_perf_common::state::STATE_NAMES`.
    pub state_ns: Vec<u64>,
    /// Runnable → running.
    pub run_queue: Counts,
    /// Per blocked class, in the order of `STATE_NAMES[FIRST_BLOCKED..]`.
    pub blocked: Vec<Counts>,
    /// Context switches in which the thread blocked.
    pub voluntary_switches: u64,
    /// Context switches in which the thread was still runnable.
    pub involuntary_switches: u64,
    /// Who ran while the service's threads waited for a CPU, longest first: (command, pid, waits, wait ns).
    pub ran_instead: Vec<RanInstead>,
}

/// A command that ran while a thread of the service waited for its CPU.
#[derive(Clone, Debug, Default)]
pub struct RanInstead {
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
#[derive(Clone, Debug, Default)]
pub struct Syscall {
    /// Name, or `syscall_NNN` where the name is not known.
    pub name: String,
    /// Calls that returned.
    pub count: u64,
    /// Calls that returned an error.
    pub errors: u64,
    /// (errno name, count), most frequent first.
    pub errnos: Vec<(String, u64)>,
    /// Entry → exit.
    pub latency: Counts,
}

/// TCP figures of a service.
#[derive(Clone, Debug, Default)]
pub struct Tcp {
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
    /// SYN sent → established.
    pub connect: Counts,
    /// Established → accepted; `None` where it was not measured.
    pub accept_wait: Option<Counts>,
    /// Smoothed round-trip time.
    pub srtt: Counts,
    /// Per peer, most connections first, those without figures of their own last.
    pub peers: Vec<Peer>,
}

/// One TCP peer of a service.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// `address:port` for connections that the service opened, `address` for its clients; `others` for all that the table
    /// of peers had no room for.
    pub address: String,
    /// `outgoing` or `incoming`, as seen from the service.
    pub outgoing: bool,
    /// Connections established.
    pub connections: u64,
    /// Connections that failed.
    pub failures: u64,
    /// Mean connect time; `None` for clients.
    pub mean_connect_ns: Option<u64>,
    /// Segments retransmitted.
    pub retransmits: u64,
    /// Resets, both ways.
    pub resets: u64,
    /// Last smoothed round-trip time; `None` before the first sample.
    pub srtt_ns: Option<u64>,
}

/// One point of the time series.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SeriesPoint {
    /// Begin of the interval, ns after the start of the window.
    pub offset_ns: u64,
    /// Length of the interval.
    pub duration_ns: u64,
    /// Requests answered in it.
    pub requests: u64,
    /// Median latency; `None` without requests.
    pub p50_ns: Option<u64>,
    /// P99 latency; `None` without requests.
    pub p99_ns: Option<u64>,
    /// Values behind these two beyond `requests`: replies that an earlier interval has counted, and that went on in this one.
    pub counted_again: u64,
}
