//! Reports in which a cause is planted, for the rules of the findings and for their pages.
//!
//! In: how much of it. Out: a report of one service that nobody has assessed yet.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use acgs_perf_common::attribution::COMPONENT_NAMES;
use acgs_perf_common::attribution::Component::{self, Disk, Downstream, OnCpu, RunQueue};
use serde_json::{Value, json};

use super::{assessed, distribution, syscall, whole};
use crate::analysis::model::{Distribution, Finding, HeldReport, Report, SchedulerReport};

/// A slow request takes longer than this.
const SLOW_NS: u64 = 10_000_000;

/// The sample, made once.
fn made() -> Report {
    static WHOLE: OnceLock<Report> = OnceLock::new();
    WHOLE.get_or_init(whole).clone()
}

/// The healthy service of the sample: everything but an attribution.
pub fn healthy() -> Report {
    let mut report = made();
    report.services.truncate(1);
    report
}

/// The service whose tail waits for its database, with the scheduler's figures of the other one.
pub fn api() -> Report {
    let mut report = made();
    let redis = report.services.remove(0);
    report.services[0].scheduler = redis.scheduler;
    report
}

/// The ids of what is found.
pub fn ids(report: &Report) -> Vec<String> {
    assessed(report.clone()).findings.into_iter().map(|finding| finding.id).collect()
}

/// A finding.
pub fn found(report: &Report, id: &str) -> Option<Finding> {
    assessed(report.clone()).findings.into_iter().find(|finding| finding.id == id)
}

/// The scheduler's figures of the first service.
pub fn scheduler(report: &mut Report) -> &mut SchedulerReport {
    report.services[0].scheduler.as_mut().expect("the sample has them")
}

/// A service whose slow requests are of these components, by their shares; the rest is on the CPU.
pub fn tail_of(parts: &[(Component, f64)]) -> Report {
    let mut report = api();
    let service = &mut report.services[0];
    for row in service.attribution.iter_mut().flat_map(|attribution| &mut attribution.rows) {
        if row.latency_ns / row.count < SLOW_NS {
            continue;
        }
        let mut left = row.latency_ns;
        let mut components = BTreeMap::new();
        for (component, share) in parts {
            let ns = (row.latency_ns as f64 * share) as u64;
            left -= ns;
            components.insert(COMPONENT_NAMES[*component as usize].0.to_owned(), ns);
        }
        *components.entry(COMPONENT_NAMES[OnCpu as usize].0.to_owned()).or_default() += left;
        row.component_ns = components;
        if !parts.iter().any(|(component, _)| *component == Downstream) {
            (row.calls, row.one_call_ns, row.many_calls_ns) = (0, 0, 0);
            row.downstream_ns.clear();
        }
    }
    service.exemplars = Some(Vec::new());
    report
}

/// A share of the time of the slow requests is waiting for a CPU.
pub fn run_queue(share: f64) -> Report {
    tail_of(&[(RunQueue, share)])
}

/// The CPUs of the host are idle for so many percent of the time.
pub fn with_cpus(mut report: Report, idle: &[u64]) -> Report {
    let second = report.window.duration_ns / 100;
    let row = |(cpu, idle): (usize, &u64)| {
        json!({"cpu": format!("cpu{cpu}"), "idle_ns": idle * second, "user_ns": (100 - idle) * second,
            "system_ns": 0, "io_wait_ns": 0, "steal_ns": 0})
    };
    report.recording.insert("host_cpu".into(), idle.iter().enumerate().map(row).collect());
    report
}

/// The service reads this from its database so often, each time for so long, and nothing else.
pub fn reads(protocol: &str, name: &str, calls: u64, ns: u64) -> Report {
    const DATABASE: &str = "127.0.0.1:5432";
    let mut report = api();
    let service = &mut report.services[0];
    let latency = distribution((0..calls).map(|_| ns));
    for peer in service.downstream.iter_mut().flatten().filter(|peer| peer.address == DATABASE) {
        (peer.calls, peer.latency) = (calls, latency.clone());
    }
    let row = json!({
        "peer": DATABASE, "protocol": protocol, "kind": "request", "name": name, "calls": calls, "failed": 0,
        "repeated": calls / 4, "latency": latency,
    });
    service.tables.insert("downstream_endpoints".into(), json!([row]));
    report
}

/// The slow requests make so many calls, one after the other.
pub fn sequence(calls: u64) -> Report {
    let mut report = api();
    for row in report.services[0].attribution.iter_mut().flat_map(|attribution| &mut attribution.rows) {
        if row.latency_ns / row.count >= SLOW_NS {
            row.calls = row.count * calls;
        }
    }
    report.services[0].exemplars = Some(Vec::new());
    report
}

/// The disk is this share of the time of the slow requests, and `fsync` takes this share of it.
pub fn synced(of_disk: f64, share: f64) -> Report {
    let mut report = tail_of(&[(Disk, share)]);
    let name = COMPONENT_NAMES[Disk as usize].0;
    let service = &mut report.services[0];
    let rows = service.attribution.iter().flat_map(|attribution| &attribution.rows);
    let disk: u64 = rows.filter_map(|row| row.component_ns.get(name)).sum();
    let mut call = syscall("fsync", 0, &[], distribution((0..400).map(|_| 40_000_000)));
    call.time_ns = Some((disk as f64 * of_disk) as u64);
    service.syscalls = Some(vec![call]);
    report
}

/// The healthy service has started a process three times, which took as long as its slowest request, and twice less.
pub fn forked(longest_ns: u64) -> Report {
    let mut report = healthy();
    let service = &mut report.services[0];
    service.syscalls =
        Some(vec![syscall("clone", 0, &[], distribution([longest_ns, longest_ns / 2, longest_ns / 3].into_iter()))]);
    if let Some(requests) = &mut service.requests {
        requests.latency.max_ns = Some(longest_ns + longest_ns / 50);
    }
    report
}

/// Slow requests wait for a disk, whose requests wait and take so long on average.
pub fn disk(queue_ns: u64, device_ns: u64) -> Report {
    let mut report = tail_of(&[(Disk, 0.8)]);
    let times = |ns| json!(distribution((0..5_000).map(|_| ns)));
    let row = json!({
        "device": "259:0", "disk": "nvme0n1", "operation": "read", "requests": 5_000, "bytes": 20_480_000, "errors": 0,
        "queue_time": times(queue_ns), "device_time": times(device_ns),
    });
    report.services[0].tables.insert("block_io".into(), json!([row]));
    report
}

/// The healthy service with a table.
pub fn with_table(name: &str, rows: Value) -> Report {
    let mut report = healthy();
    report.services[0].tables.insert(name.into(), rows);
    report
}

/// The healthy service with these endpoints.
pub fn with_endpoints(rows: &[Value]) -> Report {
    with_table("endpoints", rows.into())
}

/// An endpoint all of whose requests take the same time.
pub fn endpoint(name: &str, requests: u64, failed: u64, refused: u64, ns: u64) -> Value {
    json!({
        "protocol": "http/1", "kind": "request", "name": name, "requests": requests, "failed": failed,
        "refused": refused, "streamed": 0, "latency": distribution((0..requests).map(|_| ns)),
    })
}

/// The healthy service, of which so many replies were held for so long.
pub fn held(replies: u64, nagle_ns: u64, window_ns: u64) -> Report {
    let mut report = healthy();
    let requests = report.services[0].requests.as_mut().expect("the sample has some");
    let each = (nagle_ns + window_ns) / replies;
    requests.delivery = Some(Distribution { count: replies, ..distribution((0..replies).map(|_| each)) });
    requests.held_ns = Some(HeldReport { nagle_ns, window_ns, network_ns: 0 });
    report
}
