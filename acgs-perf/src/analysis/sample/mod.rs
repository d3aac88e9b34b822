//! Recordings for tests: one with every section, one that is small.
//!
//! In: nothing. Out: the same `Figures` every time.

pub mod attribution;

use std::time::Duration;

use acgs_perf_common::histogram::{BUCKETS, bucket_index};

use crate::analysis::figures::{
    Counts, Figures, Peer, RanInstead, Requests, Scheduler, SeriesPoint, Service, Syscall, Tcp,
};
use crate::discover::Objective;
use crate::live::session::ProgramCost;
use crate::live::status::{ProbeState, ProbeStatus};
use crate::snapshot::{Cost, Host, Process};

/// Some of the loss counters; the summary must not depend on how many there are.
const LEDGER: [&str; 4] =
    ["socket_storage_refused", "thread_storage_refused", "negative_difference", "errno_table_full"];

/// Counts of some values, as the kernel would keep them.
pub fn counts(values: impl IntoIterator<Item = u64>) -> Counts {
    let mut counts = Counts { buckets: vec![0; BUCKETS], sum_ns: Some(0), ..Counts::default() };
    for value in values {
        counts.sum_ns = counts.sum_ns.map(|sum| sum + value);
        match counts.buckets.get_mut(bucket_index(value)) {
            Some(bucket) => *bucket += 1,
            None => counts.over_range += 1,
        }
    }
    counts
}

/// `n` values spread evenly between `low` and `high`, and one in 150 ten times as long.
fn spread(n: u64, low: u64, high: u64) -> Counts {
    counts((0..n).map(|i| (low + (high - low) * i / n) * if i % 150 == 149 { 10 } else { 1 }))
}

fn probe(name: &str, state: ProbeState, reason: Option<&str>, hooks: &[&str]) -> ProbeStatus {
    ProbeStatus {
        name: name.into(),
        state,
        reason: reason.map(Into::into),
        stopped_after_ns: None,
        hooks: hooks.iter().map(|hook| (*hook).into()).collect(),
    }
}

/// A recording of a Redis with every section but the attribution, and of an API with that one.
pub fn whole() -> Figures {
    Figures {
        agent: "1.2.3".into(),
        host: Host {
            name: "host-1".into(),
            kernel: "6.18.0".into(),
            arch: "x86_64".into(),
            cpus: 8,
            memory_bytes: 16 << 30,
        },
        start_unix_ns: 1_767_225_600_000_000_000,
        duration_ns: 10_000_000_000,
        probes: vec![
            probe("request", ProbeState::Active, None, &["tp_btf/sk_data_ready", "tp_btf/sock_recv_length"]),
            probe("sched", ProbeState::Active, None, &["tp_btf/sched_switch", "tp_btf/sched_waking"]),
            probe("syscalls", ProbeState::Active, None, &["tp_btf/sys_enter", "tp_btf/sys_exit"]),
            probe("tcp", ProbeState::Active, None, &["tp_btf/inet_sock_set_state"]),
        ],
        ledger: LEDGER.iter().map(|name| ((*name).to_owned(), 0)).collect(),
        cost: Cost {
            programs_unmeasured: None,
            agent_cpu_ns: 42_000_000,
            agent_max_rss_bytes: 12 << 20,
            map_bytes: 3 << 20,
            attach_ns: 180_000_000,
            programs: Some(vec![ProgramCost {
                name: "sock_recv_length".into(),
                runs: 600_000,
                run_time: Duration::from_millis(66),
            }]),
            overhead: None,
        },
        services: vec![redis(), attribution::api()],
        tables: Vec::new(),
        ended_by: "duration".into(),
        notes: Vec::new(),
    }
}

fn redis() -> Service {
    Service {
        tables: Vec::new(),
        name: "redis".into(),
        selector: "port:6379".into(),
        processes: vec![
            Process { pid: 4711, comm: "redis-server".into(), exited: false },
            Process { pid: 4712, comm: "redis-rdb-bgsave".into(), exited: true },
        ],
        forked: 1,
        exited: 1,
        objective: Objective::default(),
        requests: Some(Requests {
            count: 300_000,
            unanswered: 2,
            unsolicited_sends: 0,
            bytes_in: 12_000_000,
            bytes_out: 1_500_000,
            latency: spread(300_000, 80_000, 210_000),
            queue_time: spread(300_000, 10_000, 60_000),
            service_time: spread(300_000, 3_000, 9_000),
        }),
        scheduler: Some(Scheduler {
            state_ns: vec![6_000_000_000, 500_000_000, 100_000_000, 0, 400_000_000, 3_000_000_000, 0, 0, 0],
            run_queue: spread(50_000, 2_000, 30_000),
            blocked: vec![
                spread(200, 100_000, 900_000),
                Counts::default(),
                spread(4_000, 50_000, 150_000),
                spread(30_000, 20_000, 180_000),
                Counts::default(),
                Counts::default(),
                Counts::default(),
            ],
            voluntary_switches: 34_200,
            involuntary_switches: 15_800,
            ran_instead: vec![RanInstead { comm: "stress-ng".into(), pid: 99, waits: 1200, wait_ns: 310_000_000 }],
        }),
        syscalls: Some(vec![
            syscall("read", 300_400, 400, &[("EAGAIN", 400)], spread(300_400, 900, 2_500)),
            syscall("epoll_wait", 31_000, 0, &[], spread(31_000, 1_000, 180_000)),
            syscall("write", 300_000, 0, &[], spread(300_000, 4_000, 9_000)),
        ]),
        tcp: Some(Tcp {
            accepted: 50,
            opened: 3,
            connect_failures: 1,
            retransmits: 7,
            resets_received: 0,
            resets_sent: 0,
            connect: spread(3, 200_000, 400_000),
            accept_wait: None,
            srtt: spread(5_000, 30_000, 60_000),
            peers: vec![
                Peer {
                    address: "10.0.0.7".into(),
                    connections: 50,
                    srtt_ns: Some(41_000),
                    retransmits: 7,
                    ..Peer::default()
                },
                Peer {
                    address: "10.0.0.9:5432".into(),
                    outgoing: true,
                    connections: 3,
                    failures: 1,
                    mean_connect_ns: Some(300_000),
                    ..Peer::default()
                },
            ],
        }),
        attribution: None,
        series: (0..10)
            .map(|i| SeriesPoint {
                offset_ns: i * 1_000_000_000,
                duration_ns: 1_000_000_000,
                requests: 30_000,
                p50_ns: Some(145_000),
                p99_ns: Some(815_000),
                ..SeriesPoint::default()
            })
            .collect(),
    }
}

fn syscall(name: &str, count: u64, errors: u64, errnos: &[(&str, u64)], latency: Counts) -> Syscall {
    let errnos = errnos.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
    Syscall { name: name.into(), count, errors, errnos, latency }
}

/// A small recording: few requests, one probe.
pub fn small() -> Figures {
    Figures {
        tables: Vec::new(),
        agent: "1.2.3".into(),
        host: Host { name: "tiny".into(), kernel: "6.1.0".into(), arch: "aarch64".into(), cpus: 2, memory_bytes: 0 },
        start_unix_ns: 1_767_225_600_123_456_789,
        duration_ns: 1_500_000_000,
        probes: vec![
            probe("request", ProbeState::Active, None, &["tp_btf/sk_data_ready"]),
            probe("sched", ProbeState::Disabled, Some("not in --probes"), &[]),
        ],
        ledger: vec![("socket_storage_refused".into(), 0)],
        cost: Cost { agent_cpu_ns: 3_000_000, ..Cost::default() },
        services: vec![Service {
            name: "tiny".into(),
            selector: "port:80".into(),
            processes: vec![Process { pid: 7, comm: "tiny".into(), exited: false }],
            objective: Objective::default(),
            requests: Some(Requests {
                count: 200,
                latency: spread(200, 1_000, 2_000),
                queue_time: spread(200, 100, 200),
                service_time: spread(200, 800, 1_700),
                ..Requests::default()
            }),
            ..Service::default()
        }],
        ended_by: "interrupted".into(),
        notes: Vec::new(),
    }
}
