//! From raw counts to a report: percentiles, confidence intervals, verdicts, findings.
//!
//! In: a `Capture`. Out: an unsealed `Report`, of the types in `model`. Pure: no root, no kernel, no clock.

mod attribution;
mod confidence;
#[cfg(test)]
mod coverage;
mod distribution;
pub mod figures;
mod findings;
mod hdr;
pub mod model;
mod number;
#[cfg(test)]
pub(crate) mod sample;
mod sections;
mod tables;
pub mod tail;
mod verdict;

pub use attribution::calls_outstanding;

use acgs_perf_common::CONSTITUTIONAL_HASH;

use crate::snapshot::{Capture, Process};
use figures::{Figures, Service};
use model::{HostReport, ProcessReport, Report, RequestsReport, SCHEMA_VERSION, ServiceReport, Tool, Window};
use number::{measured, rate};

/// Name of the tool in the report.
const TOOL: &str = "acgs-perf";

/// Turns a recording into a report. The report still has to be sealed.
#[must_use]
pub fn analyse(capture: &Capture) -> Report {
    assess(&figures::figures(capture))
}

/// Turns figures into a report.
#[must_use]
pub fn assess(figures: &Figures) -> Report {
    let mut report = Report {
        schema_version: SCHEMA_VERSION,
        constitutional_hash: CONSTITUTIONAL_HASH.into(),
        tool: Tool { name: TOOL.into(), version: figures.agent.clone() },
        host: HostReport {
            name: figures.host.name.clone(),
            kernel: figures.host.kernel.clone(),
            arch: figures.host.arch.clone(),
            cpus: (figures.host.cpus > 0).then_some(figures.host.cpus),
            memory_bytes: measured(figures.host.memory_bytes),
        },
        window: Window {
            start_unix_ns: figures.start_unix_ns,
            duration_ns: figures.duration_ns,
            ended_by: figures.ended_by.clone(),
        },
        probes: figures.probes.clone(),
        ledger: figures.ledger.iter().cloned().collect(),
        cost: sections::cost(&figures.cost),
        services: figures.services.iter().map(|s| service(s, figures)).collect(),
        recording: tables::tables(&figures.tables),
        notes: figures.notes.clone(),
        findings: Vec::new(),
        digest: String::new(),
    };
    report.findings = findings::findings(&report);
    report
}

fn service(service: &Service, figures: &Figures) -> ServiceReport {
    let per_second = service.requests.as_ref().map(|r| (&r.latency, rate(r.count, figures.duration_ns)));
    let where_from = service.attribution.as_ref();
    let stopped = figures.probes.iter().any(|probe| probe.name == "attribution" && probe.stopped_after_ns.is_some());
    // Those of the time in which calls were counted too.
    let answered = match where_from {
        Some(attribution) if stopped => attribution.rows.iter().map(|row| row.count).sum(),
        _ => service.requests.as_ref().map_or(0, |r| r.count),
    };
    let attribution = where_from.map(attribution::attribution);
    let downstream = where_from.map(|a| attribution::downstream(a, answered));
    let exemplars = where_from.map(attribution::exemplars);
    let tail = attribution.as_ref().map(|a| {
        tail::tail(&a.rows, downstream.as_deref().unwrap_or_default(), exemplars.as_deref().unwrap_or_default())
    });
    ServiceReport {
        name: service.name.clone(),
        selector: service.selector.clone(),
        processes: service.processes.iter().map(process).collect(),
        processes_forked: service.forked,
        processes_exited: service.exited,
        objective: verdict::judge(&service.objective, per_second),
        requests: service.requests.as_ref().map(|r| RequestsReport {
            count: r.count,
            rate_per_s: rate(r.count, figures.duration_ns),
            latency: distribution::distribution(&r.latency),
            queue_time: distribution::distribution(&r.queue_time),
            service_time: distribution::distribution(&r.service_time),
            unanswered: r.unanswered,
            unsolicited_sends: r.unsolicited_sends,
            bytes_in: r.bytes_in,
            bytes_out: r.bytes_out,
        }),
        tail,
        attribution,
        downstream,
        exemplars,
        scheduler: service.scheduler.as_ref().map(sections::scheduler),
        syscalls: service.syscalls.as_deref().map(sections::syscalls),
        tcp: service.tcp.as_ref().map(|tcp| sections::tcp(tcp, &figures.probes)),
        series: service.series.iter().map(sections::series_point).collect(),
        tables: tables::tables(&service.tables),
    }
}

fn process(process: &Process) -> ProcessReport {
    let state = if process.exited { "exited" } else { "running" };
    ProcessReport { pid: process.pid, comm: process.comm.clone(), state: state.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_without_its_probe_is_absent() {
        let mut figures = sample::small();
        figures.services[0].requests = None;
        let value = serde_json::to_value(assess(&figures)).unwrap();
        let service = value["services"][0].as_object().unwrap();
        for key in ["requests", "scheduler", "syscalls", "tcp"] {
            assert!(!service.contains_key(key), "{key}");
        }
        assert!(service["objective"].get("verdict").is_none());
    }

    #[test]
    fn what_was_not_measured_is_not_zero() {
        let value = serde_json::to_value(assess(&Figures::default())).unwrap();
        assert_eq!(value["cost"], serde_json::json!({"programs_unmeasured": "needs --measure-cost"}));
        assert!(value["host"].get("cpus").is_none() && value["host"].get("memory_bytes").is_none());
    }

    #[test]
    fn figures_arrive_in_their_places() {
        let figures = sample::whole();
        let report = assess(&figures);
        let service = &report.services[0];
        let requests = service.requests.as_ref().unwrap();
        assert_eq!((requests.count, requests.rate_per_s), (300_000, Some(30_000.0)));
        let scheduler = service.scheduler.as_ref().unwrap();
        assert_eq!(scheduler.on_cpu_ns, Some(6_000_000_000));
        assert_eq!(scheduler.run_queue_ns, Some(500_000_000));
        assert_eq!(scheduler.blocked.len(), 7);
        assert_eq!(scheduler.blocked["poll"].time_ns, Some(3_000_000_000));
        let syscalls = service.syscalls.as_ref().unwrap();
        assert_eq!(syscalls[0].name, "epoll_wait", "longest total time first");
        let tcp = service.tcp.as_ref().unwrap();
        assert_eq!(tcp.accept_wait, None);
        assert!(tcp.accept_wait_unmeasured.is_some());
        assert_eq!(report.ledger.len(), figures.ledger.len());
    }
}
