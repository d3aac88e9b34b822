//! What a capture says, by name: the report with all that was counted, and nothing yet that is concluded from it.
//!
//! In: a `Capture`, whose sums have indexes and keys. Out: a `Report` without verdicts, tails and findings. What was not measured is
//! absent; a zero means "measured, and it was zero".

pub(super) mod attribution;
pub(super) mod client;
mod columns;
mod cost;
pub(super) mod downstream;
mod endpoints;
pub(super) mod exemplars;
mod fates;
mod requests;
pub(super) mod scheduler;
pub(super) mod series;
pub(super) mod syscalls;
pub(super) mod tables;
pub(super) mod tcp;

pub use attribution::calls_outstanding;

use acgs_perf_common::CONSTITUTIONAL_HASH;
use acgs_perf_common::maps::Counter;

use super::model::{
    AttributionReport, DownstreamReport, ExemplarReport, HostPartReport, HostReport, ObjectiveReport, ProcessReport,
    ProcessState, Report, SCHEMA_VERSION, ServiceReport, Tool, Window,
};
use super::number::{measured, nanos, round3};
use crate::live::probes::endpoints::SECTION;
use crate::live::probes::process;
use crate::live::status::{ProbeStatus, has_figures};
use crate::live::table::Scope;
use crate::snapshot::exemplar::Kept;
use crate::snapshot::interval::{Interval, row};
use crate::snapshot::{Capture, Context, Fates, Host, HostPart, Process, ServiceContext, Subject};
use crate::sums::Sections;
use downstream::Peers;
use endpoints::Endpoints;
use series::OverTime;

/// Name of the tool in the report.
const TOOL: &str = "acgs-perf";

/// The report of what was counted.
pub fn report(capture: &Capture) -> Report {
    let context = &capture.context;
    let (whole, over_time) = series::over_time(capture);
    let services = context.services.iter().zip(over_time).enumerate();
    let services: Vec<_> =
        services.map(|(index, (of, over_time))| service(capture, &whole, index, of, over_time)).collect();
    let ledger = context.ledger.iter().enumerate().map(|(at, name)| (name.clone(), whole.ledger.count(at as u32)));
    Report {
        schema_version: SCHEMA_VERSION,
        constitutional_hash: CONSTITUTIONAL_HASH.into(),
        tool: Tool { name: TOOL.into(), version: context.agent.clone() },
        host: host(&context.host),
        hosts: context.hosts.iter().map(host_part).collect(),
        window: Window {
            start_unix_ns: context.start_unix_ns,
            duration_ns: context.duration_ns,
            ended_by: context.ended_by.clone(),
        },
        probes: context.probes.clone(),
        ledger: ledger.collect(),
        cost: cost::cost(&context.cost),
        client: context.clients.iter().map(|run| client::beside(run, &services)).collect(),
        services,
        recording: tables::tables(whole.of(&Subject::recording()), Scope::Recording, &context.probes, None),
        notes: context.notes.clone(),
        findings: Vec::new(),
        digest: String::new(),
    }
}

fn host(host: &Host) -> HostReport {
    HostReport {
        name: host.name.clone(),
        kernel: host.kernel.clone(),
        arch: host.arch.clone(),
        cpus: (host.cpus > 0).then_some(host.cpus),
        memory_bytes: measured(host.memory_bytes),
    }
}

fn host_part(part: &HostPart) -> HostPartReport {
    HostPartReport {
        host: host(&part.host),
        agent: part.agent.clone(),
        captures: part.captures,
        start_unix_ns: part.start_unix_ns,
        end_unix_ns: part.end_unix_ns,
    }
}

fn service(
    capture: &Capture,
    whole: &Interval,
    index: usize,
    of: &ServiceContext,
    over_time: OverTime,
) -> ServiceReport {
    let context = &capture.context;
    let subject = Subject::service(index);
    let sections = whole.of(&subject);
    let active = |probe: &str| has_figures(&context.probes, probe);
    let processes = row(sections, process::SECTION, &[]);
    let objective_ns = nanos(of.objective.p99);
    let of_fates = Fates::of(whole, &subject);
    let endpoints = Endpoints::new(of, sections);
    let requests = active("request").then(|| {
        let of_fates = (&of_fates, objective_ns);
        requests::requests(sections, context.duration_ns, over_time.design_effect, of_fates, &endpoints)
    });
    let (fates, refused) = requests.as_ref().and_then(|_| fates::fates(&of_fates, objective_ns)).unzip();
    let kinds = requests.as_ref().and_then(|_| requests::kinds(sections, &of_fates, &endpoints));
    let refused = refused.flatten();
    let counted = requests.as_ref().map(|requests| requests.count);
    let coverage = counted.filter(|_| active("endpoints")).map(|counted| endpoints.coverage(counted));
    let (attribution, downstream, exemplars) = active("attribution")
        .then(|| {
            let kept = capture.exemplars.get(&subject).cloned().unwrap_or_else(|| of_intervals(whole, &subject));
            where_from(sections, context, &kept, requests.as_ref().map_or(0, |requests| requests.count))
        })
        .map_or((None, None, None), |(rows, peers, exemplars)| (Some(rows), Some(peers), Some(exemplars)));
    ServiceReport {
        name: of.name.clone(),
        selector: of.selector.clone(),
        processes: of.processes.iter().map(process_report).collect(),
        processes_forked: processes.sums.count(Counter::Forked as u32),
        processes_exited: processes.sums.count(Counter::Exited as u32),
        udp_ports: of.udp_ports.clone(),
        objective: ObjectiveReport {
            p99_ns: objective_ns,
            min_rps: round3(of.objective.min_rps),
            cache_hit_rate: of.objective.cache_hit_rate,
            by_worst_endpoint: of.endpoints.by_worst_endpoint,
            ..ObjectiveReport::default()
        },
        endpoint_objectives: if active("endpoints") { endpoints.objectives(of, capture, &subject) } else { Vec::new() },
        latency_over_time: if requests.is_some() { over_time.columns } else { Vec::new() },
        series: if requests.is_some() { over_time.series } else { Vec::new() },
        requests,
        fates,
        refused,
        kinds,
        coverage,
        tail: None,
        attribution,
        downstream,
        exemplars,
        scheduler: active("sched").then(|| scheduler::scheduler(sections)),
        syscalls: active("syscalls").then(|| syscalls::syscalls(sections)),
        tcp: active("tcp").then(|| tcp::tcp(sections, &context.probes)),
        tables: tables::tables(sections, Scope::Service, &context.probes, Some((SECTION, &endpoints.rows))),
    }
}

/// Of a file that is damaged there may be the exemplars of the intervals only.
fn of_intervals(whole: &Interval, subject: &Subject) -> Kept {
    Kept { slowest: whole.slowest.0.get(subject).cloned().unwrap_or_default(), ..Kept::default() }
}

/// What the probe `attribution` has of a service.
fn where_from(
    sections: Option<&Sections>,
    context: &Context,
    kept: &Kept,
    requests: u64,
) -> (AttributionReport, Vec<DownstreamReport>, Vec<ExemplarReport>) {
    let peers = Peers::new(sections);
    let attribution = attribution::attribution(sections, &peers);
    let answered = callers(&context.probes, &attribution, requests);
    let is_named = has_figures(&context.probes, "endpoints");
    let downstream = downstream::downstream(sections, &context.directory, answered, is_named);
    (attribution, downstream, exemplars::exemplars(kept, context.start_ns, &peers))
}

/// The requests that the calls belong to, of those answered: calls are counted as long as rows are, until the probe was stopped.
pub(super) fn callers(probes: &[ProbeStatus], attribution: &AttributionReport, requests: u64) -> u64 {
    let is_stopped = |probe: &ProbeStatus| probe.name == "attribution" && probe.stopped_after_ns.is_some();
    match probes.iter().any(is_stopped) {
        true => attribution.rows.iter().map(|row| row.count).sum(),
        false => requests,
    }
}

fn process_report(process: &Process) -> ProcessReport {
    let state = if process.exited { ProcessState::Exited } else { ProcessState::Running };
    ProcessReport { pid: process.pid, comm: process.comm.clone(), state }
}
