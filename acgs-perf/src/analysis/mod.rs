//! From raw counts to a report: percentiles, confidence intervals, verdicts, findings.
//!
//! In: a `Capture`. Out: an unsealed `Report`. Pure: no root, no kernel, no clock.

mod attribution;
mod confidence;
mod distribution;
mod findings;
mod hdr;
mod number;
#[cfg(test)]
pub(crate) mod sample;
mod sections;
pub mod tail;
mod verdict;

pub use attribution::calls_outstanding;

use acgs_perf_common::CONSTITUTIONAL_HASH;

use crate::capture::{Capture, Service};
use crate::report::{
    HostReport, ProbeReport, ProcessReport, Report, RequestsReport, SCHEMA_VERSION, ServiceReport, Tool, Window,
};
use number::{measured, nanos, rate};

/// Name of the tool in the report.
const TOOL: &str = "acgs-perf";

/// Turns a recording into a report. The report still has to be sealed.
#[must_use]
pub fn analyse(capture: &Capture) -> Report {
    let mut report = Report {
        schema_version: SCHEMA_VERSION,
        constitutional_hash: CONSTITUTIONAL_HASH.into(),
        tool: Tool { name: TOOL.into(), version: env!("CARGO_PKG_VERSION").into() },
        host: HostReport {
            name: capture.host.name.clone(),
            kernel: capture.host.kernel.clone(),
            arch: capture.host.arch.clone(),
            cpus: (capture.host.cpus > 0).then_some(capture.host.cpus),
            memory_bytes: measured(capture.host.memory_bytes),
        },
        window: Window {
            start_unix_ns: capture.start_unix_ns,
            duration_ns: nanos(capture.duration),
            ended_by: capture.ended_by.clone(),
        },
        probes: capture.probes.iter().map(probe).collect(),
        ledger: capture.ledger.iter().cloned().collect(),
        cost: sections::cost(&capture.cost),
        services: capture.services.iter().map(|s| service(s, capture)).collect(),
        notes: capture.notes.clone(),
        findings: Vec::new(),
        digest: String::new(),
    };
    report.findings = findings::findings(&report);
    report
}

fn probe(probe: &crate::capture::Probe) -> ProbeReport {
    ProbeReport {
        name: probe.name.clone(),
        state: probe.state.clone(),
        reason: probe.reason.clone(),
        stopped_after_ns: probe.stopped_after.map(nanos),
        hooks: probe.hooks.clone(),
    }
}

fn service(service: &Service, capture: &Capture) -> ServiceReport {
    let per_second = service.requests.as_ref().map(|r| (&r.latency, rate(r.count, nanos(capture.duration))));
    let where_from = service.attribution.as_ref();
    let stopped = capture.probes.iter().any(|probe| probe.name == "attribution" && probe.stopped_after.is_some());
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
            rate_per_s: rate(r.count, nanos(capture.duration)),
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
        tcp: service.tcp.as_ref().map(|tcp| sections::tcp(tcp, &capture.probes)),
        series: service.series.iter().map(sections::series_point).collect(),
    }
}

fn process(process: &crate::capture::Process) -> ProcessReport {
    let state = if process.exited { "exited" } else { "running" };
    ProcessReport { pid: process.pid, comm: process.comm.clone(), state: state.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_without_its_probe_is_absent() {
        let mut capture = sample::small();
        capture.services[0].requests = None;
        let value = serde_json::to_value(analyse(&capture)).unwrap();
        let service = value["services"][0].as_object().unwrap();
        for key in ["requests", "scheduler", "syscalls", "tcp"] {
            assert!(!service.contains_key(key), "{key}");
        }
        assert!(service["objective"].get("verdict").is_none());
    }

    #[test]
    fn what_was_not_measured_is_not_zero() {
        let value = serde_json::to_value(analyse(&Capture::default())).unwrap();
        assert_eq!(value["cost"], serde_json::json!({"programs_unmeasured": "needs --measure-cost"}));
        assert!(value["host"].get("cpus").is_none() && value["host"].get("memory_bytes").is_none());
    }

    #[test]
    fn figures_arrive_in_their_places() {
        let capture = sample::capture();
        let report = analyse(&capture);
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
        assert_eq!(report.ledger.len(), capture.ledger.len());
    }
}
