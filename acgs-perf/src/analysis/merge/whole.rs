//! What a report says of its recording as a whole, as the context and the intervals of a capture, which `crate::merge` adds up.
//!
//! In: a report. Out: its context, on the clock of the time of day, and the times in which it recorded.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::analysis::model::{CostReport, HostReport, ProcessState, Report, ServiceReport};
use crate::discover::{EndpointRules, Objective};
use crate::live::session::ProgramCost;
use crate::snapshot::{Context, Cost, Host, HostPart, Interval, LAYOUT_VERSION, Overhead, Process, ServiceContext};
use crate::sums::Sums;

/// The context of the recording.
pub fn context(report: &Report) -> Context {
    let part = |of: &crate::analysis::model::HostPartReport| HostPart {
        host: host(&of.host),
        agent: of.agent.clone(),
        captures: of.captures,
        start_unix_ns: of.start_unix_ns,
        end_unix_ns: of.end_unix_ns,
    };
    Context {
        layout: LAYOUT_VERSION,
        agent: report.tool.version.clone(),
        host: host(&report.host),
        hosts: report.hosts.iter().map(part).collect(),
        start_unix_ns: report.window.start_unix_ns,
        start_ns: report.window.start_unix_ns,
        duration_ns: report.window.duration_ns,
        ended_by: report.window.ended_by.clone(),
        probes: report.probes.clone(),
        ledger: report.ledger.keys().cloned().collect(),
        cost: cost(&report.cost),
        services: report.services.iter().map(service).collect(),
        notes: report.notes.clone(),
        ..Context::default()
    }
}

/// The times in which it recorded, by its time series, with the loss ledger in the first of them.
pub fn times(report: &Report) -> Vec<Interval> {
    let start_ns = report.window.start_unix_ns;
    let points = report.services.iter().flat_map(|service| &service.series);
    let times: BTreeSet<(u64, u64)> = points.map(|point| (point.offset_ns, point.duration_ns)).collect();
    let interval = |(offset_ns, len_ns): (u64, u64)| {
        let start_ns = start_ns.saturating_add(offset_ns);
        Interval { start_ns, len_ns, rest_start_ns: start_ns, ..Interval::default() }
    };
    let mut all: Vec<Interval> = times.into_iter().map(interval).collect();
    if all.is_empty() {
        all.push(interval((0, report.window.duration_ns)));
    }
    let ledger = report.ledger.values().enumerate();
    all[0].ledger = Sums::sparse(ledger.map(|(at, count)| (at as u32, i64::try_from(*count).unwrap_or(i64::MAX))));
    all
}

fn host(of: &HostReport) -> Host {
    Host {
        name: of.name.clone(),
        kernel: of.kernel.clone(),
        arch: of.arch.clone(),
        cpus: of.cpus.unwrap_or(0),
        memory_bytes: of.memory_bytes.unwrap_or(0),
    }
}

fn service(of: &ServiceReport) -> ServiceContext {
    let process = |of: &crate::analysis::model::ProcessReport| Process {
        pid: of.pid,
        comm: of.comm.clone(),
        exited: of.state == ProcessState::Exited,
    };
    ServiceContext {
        name: of.name.clone(),
        selector: of.selector.clone(),
        objective: Objective {
            p99: Duration::from_nanos(of.objective.p99_ns),
            min_rps: of.objective.min_rps,
            cache_hit_rate: of.objective.cache_hit_rate,
        },
        // What the rules have made of the rows is in the report.
        endpoints: EndpointRules::default(),
        processes: of.processes.iter().map(process).collect(),
        udp_ports: of.udp_ports.clone(),
    }
}

fn cost(of: &CostReport) -> Cost {
    let program = |of: &crate::analysis::model::ProgramCostReport| ProgramCost {
        name: of.name.clone(),
        runs: of.runs,
        run_time: Duration::from_nanos(of.run_time_ns),
    };
    let share = |ppm: u64| ppm as f64 / 1e6;
    Cost {
        agent_cpu_ns: of.agent_cpu_ns.unwrap_or(0),
        agent_max_rss_bytes: of.agent_max_rss_bytes.unwrap_or(0),
        map_bytes: of.map_bytes.unwrap_or(0),
        attach_ns: of.attach_ns.unwrap_or(0),
        programs: of.programs.as_ref().map(|programs| programs.iter().map(program).collect()),
        programs_unmeasured: of.programs_unmeasured.clone(),
        overhead: of.overhead.as_ref().map(|of| Overhead {
            limit: share(of.limit_ppm),
            intervals: of.intervals,
            last: of.last_ppm.map(share),
            highest: of.highest_ppm.map(share),
            account: of.account_ppm.map(share),
        }),
    }
}
