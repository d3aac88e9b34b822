//! What a capture says, by name: counts and facts, no percentile and no verdict.
//!
//! In: a `Capture`, whose sums have indexes and keys. Out: figures with names. `None` means "not measured"; a zero means "measured,
//! and it was zero".

mod attribution;
mod counts;
mod requests;
mod scheduler;
pub(super) mod series;
mod syscalls;
mod tables;
mod tcp;

use acgs_perf_common::attribution::{COMPONENTS, PEER_SLOTS};
use acgs_perf_common::maps::Counter;

use crate::discover::Objective;
use crate::live::probes::process;
use crate::live::status::{ProbeStatus, has_figures};
use crate::live::table::Scope;
use crate::snapshot::exemplar::Kept;
use crate::snapshot::interval::{Interval, row};
use crate::snapshot::{Capture, Cost, Host, Process, ServiceContext, Subject};
pub use counts::Counts;
use series::OverTime;
pub use tables::Table;

/// A whole recording.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Version of the agent that recorded it.
    pub agent: String,
    /// Facts about the host.
    pub host: Host,
    /// Wall-clock time at which counting began, ns since 1970.
    pub start_unix_ns: u64,
    /// Length of the window in which events were counted.
    pub duration_ns: u64,
    /// What each probe did.
    pub probes: Vec<ProbeStatus>,
    /// Loss ledger: (name, count); every counter, zero or not.
    pub ledger: Vec<(String, u64)>,
    /// What measuring cost.
    pub cost: Cost,
    /// The services, in the order in which they were named.
    pub services: Vec<Service>,
    /// Tables of what is no service's.
    pub tables: Vec<Table>,
    /// How the recording ended: "duration", "interrupted", "terminated", "hung up", "command exited with 1" …
    pub ended_by: String,
    /// What could not be read or done after the start, in one line each.
    pub notes: Vec<String>,
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
    /// Tables that probes have declared.
    pub tables: Vec<Table>,
}

/// Where the time of a service's requests went.
#[derive(Clone, Debug, Default)]
pub struct Attribution {
    /// Rows of the attribution histogram that hold requests, by rising bucket.
    pub rows: Vec<AttributionRow>,
    /// Downstream peers; slot 0 stands for those that got no slot of their own.
    pub downstream: Vec<Downstream>,
    /// Single requests: the slowest, and a sample of those above the P99.
    pub exemplars: Kept,
    /// When the window began, on the clock of the exemplars.
    pub start_ns: u64,
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

/// The figures of a capture.
#[must_use]
pub fn figures(capture: &Capture) -> Figures {
    let context = &capture.context;
    let whole = capture.intervals.whole();
    let over_time = series::over_time(capture, &whole);
    let services = context.services.iter().zip(over_time).enumerate();
    let services = services.map(|(index, (of, over_time))| service(capture, &whole, index, of, over_time));
    let ledger = context.ledger.iter().enumerate().map(|(at, name)| (name.clone(), whole.ledger.count(at as u32)));
    Figures {
        agent: context.agent.clone(),
        host: context.host.clone(),
        start_unix_ns: context.start_unix_ns,
        duration_ns: context.duration_ns,
        probes: context.probes.clone(),
        ledger: ledger.collect(),
        cost: context.cost.clone(),
        services: services.collect(),
        tables: tables::tables(whole.of(&Subject::recording()), Scope::Recording, &context.probes),
        ended_by: context.ended_by.clone(),
        notes: context.notes.clone(),
    }
}

fn service(capture: &Capture, whole: &Interval, index: usize, of: &ServiceContext, over_time: OverTime) -> Service {
    let context = &capture.context;
    let subject = Subject::service(index);
    let sections = whole.of(&subject);
    let active = |probe: &str| has_figures(&context.probes, probe);
    let processes = row(sections, process::SECTION, &[]);
    let requests = active("request").then(|| requests::requests(sections, over_time.design_effect));
    Service {
        name: of.name.clone(),
        selector: of.selector.clone(),
        processes: of.processes.clone(),
        forked: processes.sums.count(Counter::Forked as u32),
        exited: processes.sums.count(Counter::Exited as u32),
        objective: of.objective,
        scheduler: active("sched").then(|| scheduler::scheduler(sections)),
        syscalls: active("syscalls").then(|| syscalls::syscalls(sections)),
        tcp: active("tcp").then(|| tcp::tcp(sections, active("syscalls"))),
        attribution: active("attribution").then(|| attribution::attribution(sections, capture, whole, &subject)),
        tables: tables::tables(sections, Scope::Service, &context.probes),
        series: if requests.is_some() { over_time.series } else { Vec::new() },
        requests,
    }
}
