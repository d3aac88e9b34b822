//! An example of each finding: a report in which it is found.
//!
//! In: an id. Out: a report, of those that `planted` makes.

use acgs_perf_common::attribution::Component;
use serde_json::json;

use super::planted::{
    api, disk, endpoint, forked, healthy, held, reads, run_queue, scheduler, sequence, synced, tail_of, with_cpus,
    with_endpoints, with_table,
};
use super::{distribution, small};
use crate::analysis::model::{
    AbandonedReport, Because, EndpointObjectiveReport, OpenReport, RefusedReport, Report, Verdict,
};

/// The component of the example of a finding about slow requests.
const COMPONENTS: [(&str, Component); 20] = [
    ("tail_accept_backlog", Component::QueueAccept),
    ("tail_queue", Component::QueueSleep),
    ("tail_cpu", Component::OnCpu),
    ("tail_run_queue", Component::RunQueue),
    ("tail_cpu_quota", Component::CpuQuota),
    ("tail_lock", Component::Lock),
    ("tail_disk", Component::Disk),
    ("tail_request_body", Component::RequestBody),
    ("tail_idle", Component::Idle),
    ("tail_sleep", Component::Sleep),
    ("tail_fault", Component::Fault),
    ("tail_other", Component::Other),
    ("tail_event_loop", Component::LoopWait),
    ("tail_pool", Component::PoolWait),
    ("tail_connection_wait", Component::ConnectionWait),
    ("tail_unknown", Component::Unknown),
    ("tail_reply", Component::Reply),
    ("tail_nagle", Component::DeliveryNagle),
    ("tail_slow_client", Component::DeliveryWindow),
    ("tail_network", Component::DeliveryNetwork),
];

/// A report with this finding.
pub fn example(id: &str) -> Report {
    if let Some((_, component)) = COMPONENTS.iter().find(|(known, _)| *known == id) {
        return tail(id, *component);
    }
    of_service(id).or_else(|| of_recording(id)).unwrap_or_else(|| panic!("{id} has no example"))
}

/// Most of the time of the slow requests is of one component.
fn tail(id: &str, component: Component) -> Report {
    let mut report = tail_of(&[(component, 0.9)]);
    if ["tail_queue", "tail_event_loop"].contains(&id) {
        let rows = [endpoint("GET /orders", 19_000, 0, 0, 1_900_000), endpoint("POST /export", 200, 0, 0, 60_000_000)];
        report.services[0].tables.insert("endpoints".into(), json!(rows));
    }
    report
}

fn of_service(id: &str) -> Option<Report> {
    Some(match id {
        "tail_downstream" => api(),
        "many_calls" => sequence(21),
        "sequential_calls" => sequence(3),
        "repeated_reads" => reads("postgres", "select name, value from settings", 20_000, 1_100_000),
        "connection_churn" => {
            let mut report = api();
            report.services[0].downstream.as_mut()?[0].connects = 19_000;
            report
        }
        "calls_itself" => {
            let mut report = api();
            let service = &mut report.services[0];
            let peer = &mut service.downstream.as_mut()?[0];
            (peer.service, peer.calls) = (Some(service.name.clone()), service.requests.as_ref()?.count / 2);
            report
        }
        "noisy_neighbour" => run_queue(0.8),
        "idle_cpus" => with_cpus(run_queue(0.8), &[1, 2, 88, 93]),
        "own_threads" => {
            let mut report = run_queue(0.8);
            let own = report.services[0].processes[0].pid;
            scheduler(&mut report).ran_instead[0].pid = own;
            report
        }
        "cpu_saturated" => {
            let mut report = run_queue(0.6);
            scheduler(&mut report).on_cpu_ns = Some(report.window.duration_ns * 76 / 10);
            report
        }
        "cpu_quota" => {
            let mut report = tail_of(&[(Component::CpuQuota, 0.9)]);
            let window = report.window.duration_ns;
            let of = scheduler(&mut report);
            (of.on_cpu_ns, of.cpu_quota_ns) = (Some(window / 2), Some(window / 4));
            report
        }
        "fsync_bound" => synced(0.9, 0.9),
        "slow_fork" => forked(61_000_000),
        "disk_saturated" => disk(12_000_000, 800_000),
        "major_faults" => with_table(
            "page_faults",
            json!([{"kind": "minor", "faults": 900_000}, {"kind": "major", "faults": 41_000}]),
        ),
        "memory_pressure" => {
            let time = distribution((0..900).map(|_| 2_000_000));
            with_table("memory_stalls", json!([{"kind": "direct_reclaim", "stalls": 900, "time": time}]))
        }
        "slow_worker" => with_table(
            "workers",
            json!([
                {"pid": "2811", "comm": "gunicorn", "requests": 2_548, "slow": 97},
                {"pid": "2810", "comm": "gunicorn", "requests": 2_531, "slow": 1},
                {"pid": "2812", "comm": "gunicorn", "requests": 2_480, "slow": 2},
                {"pid": "2809", "comm": "gunicorn", "requests": 2_441, "slow": 0},
            ]),
        ),
        "slow_endpoint" => with_endpoints(&[
            endpoint("GET /orders", 2_000, 0, 0, 150_000),
            endpoint("POST /export", 100, 0, 0, 9_000_000),
        ]),
        "requests_fail" | "errors_hide_latency" => with_endpoints(&[
            endpoint("GET /orders", 4_000, 0, 0, 180_000),
            endpoint("GET /prices", 1_000, 900, 0, 40_000),
        ]),
        _ => return changed(id),
    })
}

/// The healthy service with something that is not.
fn changed(id: &str) -> Option<Report> {
    let mut report = healthy();
    let service = &mut report.services[0];
    let open =
        || OpenReport { count: 40, beyond_objective: 40, oldest_ns: Some(3_000_000_000), ..OpenReport::default() };
    let fates = service.fates.as_mut()?;
    let requests = service.requests.as_mut()?;
    match id {
        "requests_unread" => fates.unread = open(),
        "requests_unanswered" => fates.in_service = open(),
        "replies_undelivered" => fates.undelivered = open(),
        "requests_abandoned" | "work_for_nobody" => {
            let latency = distribution((0..5_000).map(|at| 200_000_000 + at));
            let oldest_ns = latency.max_ns;
            fates.abandoned =
                AbandonedReport { count: 5_000, beyond_objective: 5_000, oldest_ns, latency, into_closed: 4_100 };
        }
        "requests_cut_off" => fates.cut_off = Some(12),
        "connections_refused" => {
            service.refused = Some(RefusedReport { drops: 424, by_port: [(8000, 424)].into() });
        }
        "clients_reconnect" => service.tcp.as_mut()?.accepted = 290_000,
        "retransmissions" => {
            let tcp = service.tcp.as_mut()?;
            tcp.retransmits = 4_200;
            tcp.peers[0].retransmits = 4_100;
        }
        "replies_wait_for_ack" => return Some(held(12_000, 480_000_000_000, 0)),
        "queue_time_dominates" => requests.queue_time = distribution((0..300_000).map(|_| 190_000)),
        "objective_missed" => requests.latency = distribution((0..300_000).map(|_| 20_000_000)),
        "endpoint_objective_missed" => service.endpoint_objectives.push(EndpointObjectiveReport {
            name: "POST /export".into(),
            p99_ns: 2_000_000,
            requests: 20_000,
            rate_per_s: Some(2_000.0),
            found_p99_ns: Some(9_040_000),
            found_p99_ci95_ns: Some([8_650_000, 9_320_000]),
            verdict: Some(Verdict::Missed),
            because: Some(Because::P99AtLeast),
            ..EndpointObjectiveReport::default()
        }),
        "not_tested" => service.objective.min_rps = 1e6,
        "nothing_answered" => *requests = Default::default(),
        "context_switches" => {
            let of = service.scheduler.as_mut()?;
            (of.switches.voluntary, of.switches.involuntary) = (3_100_000, 400_000);
            of.on_cpu_ns = Some(21_000_000_000);
        }
        "udp_not_measured" => service.udp_ports = vec![53],
        "counts_disagree" => requests.queue_time.count += 2,
        _ => return None,
    }
    Some(report)
}

fn of_recording(id: &str) -> Option<Report> {
    let mut report = healthy();
    match id {
        "too_few_requests" => return Some(small()),
        "attribution_not_conserved" => {
            let mut report = api();
            let rows = &mut report.services[0].attribution.as_mut()?.rows;
            *rows[0].component_ns.values_mut().next()? *= 9;
            return Some(report);
        }
        "overhead_limited" => {
            let probe = &mut report.probes[2];
            probe.state = super::ProbeState::Stopped;
            probe.reason = Some("after 2s the measurement took 5 %".into());
            probe.stopped_after_ns = Some(2_000_000_000);
        }
        "measurement_incomplete" => drop(report.ledger.insert("errno_table_full".into(), 1_234)),
        _ => return None,
    }
    Some(report)
}
