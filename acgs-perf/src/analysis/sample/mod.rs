//! Reports for tests, with all that was counted and nothing concluded yet: one with every section, one that is small; and a capture.
//!
//! In: nothing. Out: the same values every time.

pub mod attribution;
pub mod examples;
pub mod planted;

use std::collections::BTreeMap;

use acgs_perf_common::CONSTITUTIONAL_HASH;
use acgs_perf_common::histogram::{BUCKETS, bucket_index};
use acgs_perf_common::maps::{Counter, Histogram, STATE_COUNTER, SYSCALL_HEADER};
use acgs_perf_common::state::{FIRST_BLOCKED, STATE_NAMES};

use super::counts::Counts;
use super::model::{
    Blocked, CostReport, Distribution, FatesReport, HostReport, ObjectiveReport, OpenReport, PeerReport, ProbeState,
    ProbeStatus, ProcessReport, ProcessState, ProgramCostReport, RanInsteadReport, RefusedReport, Report,
    RequestsReport, SCHEMA_VERSION, SchedulerReport, SeriesPointReport, ServiceReport, Switches, SyscallReport,
    TcpReport, Tool, Window,
};
use crate::live::probes::{request, sched, syscalls};
use crate::snapshot::{Capture, Context, Ending, Interval, ServiceContext, Subject, Timeline};
use crate::sums::{Row, Section, Sections, Sums};

/// Some of the loss counters; the summary must not depend on how many there are.
const LEDGER: [&str; 4] =
    ["socket_storage_refused", "thread_storage_refused", "negative_difference", "errno_table_full"];
const SECOND: u64 = 1_000_000_000;

/// The report with what `assess` concludes.
pub fn assessed(mut report: Report) -> Report {
    super::assess(&mut report);
    report
}

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

/// The distribution of some values.
pub fn distribution(values: impl IntoIterator<Item = u64>) -> Distribution {
    distribution_of(&counts(values))
}

/// The distribution of some counts.
pub fn distribution_of(counts: &Counts) -> Distribution {
    super::distribution::distribution(counts)
}

/// `n` values spread evenly between `low` and `high`, and one in 150 ten times as long.
fn spread(n: u64, low: u64, high: u64) -> Distribution {
    distribution((0..n).map(|i| (low + (high - low) * i / n) * if i % 150 == 149 { 10 } else { 1 }))
}

/// Where the sums are not kept.
fn without_mean(d: Distribution) -> Distribution {
    Distribution { sum_ns: None, mean_ns: None, ..d }
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

fn process(pid: u32, comm: &str, state: ProcessState) -> ProcessReport {
    ProcessReport { pid, comm: comm.into(), state }
}

/// P99 below 5 ms at more than 100 requests/s.
fn objective() -> ObjectiveReport {
    ObjectiveReport { p99_ns: 5_000_000, min_rps: 100.0, ..ObjectiveReport::default() }
}

/// A recording without services.
pub fn empty() -> Report {
    Report {
        schema_version: SCHEMA_VERSION,
        constitutional_hash: CONSTITUTIONAL_HASH.into(),
        tool: Tool { name: "acgs-perf".into(), version: "1.2.3".into() },
        host: HostReport::default(),
        hosts: Vec::new(),
        window: Window { start_unix_ns: 1_767_225_600 * SECOND, duration_ns: 10 * SECOND, ended_by: Ending::Duration },
        probes: Vec::new(),
        ledger: BTreeMap::new(),
        cost: CostReport { programs_unmeasured: Some("needs --measure-cost".into()), ..CostReport::default() },
        services: Vec::new(),
        client: Vec::new(),
        recording: BTreeMap::new(),
        notes: Vec::new(),
        findings: Vec::new(),
        digest: String::new(),
    }
}

/// A recording of a Redis with every section but the attribution, and of an API with that one.
pub fn whole() -> Report {
    Report {
        host: HostReport {
            name: "host-1".into(),
            kernel: "6.18.0".into(),
            arch: "x86_64".into(),
            cpus: Some(8),
            memory_bytes: Some(16 << 30),
        },
        probes: vec![
            probe("request", ProbeState::Active, None, &["tp_btf/sk_data_ready", "tp_btf/sock_recv_length"]),
            probe("sched", ProbeState::Active, None, &["tp_btf/sched_switch", "tp_btf/sched_waking"]),
            probe("syscalls", ProbeState::Active, None, &["tp_btf/sys_enter", "tp_btf/sys_exit"]),
            probe("tcp", ProbeState::Active, None, &["tp_btf/inet_sock_set_state"]),
        ],
        ledger: LEDGER.iter().map(|name| ((*name).to_owned(), 0)).collect(),
        cost: CostReport {
            agent_cpu_ns: Some(42_000_000),
            agent_max_rss_bytes: Some(12 << 20),
            map_bytes: Some(3 << 20),
            attach_ns: Some(180_000_000),
            programs: Some(vec![ProgramCostReport {
                name: "sock_recv_length".into(),
                runs: 600_000,
                run_time_ns: 66_000_000,
            }]),
            ..CostReport::default()
        },
        services: vec![redis(), attribution::api()],
        ..empty()
    }
}

fn redis() -> ServiceReport {
    ServiceReport {
        name: "redis".into(),
        selector: "port:6379".into(),
        processes: vec![
            process(4711, "redis-server", ProcessState::Running),
            process(4712, "redis-rdb-bgsave", ProcessState::Exited),
        ],
        processes_forked: 1,
        processes_exited: 1,
        udp_ports: Vec::new(),
        objective: objective(),
        endpoint_objectives: Vec::new(),
        requests: Some(RequestsReport {
            count: 300_000,
            rate_per_s: Some(30_000.0),
            unanswered: 2,
            unsolicited_sends: 0,
            bytes_in: 12_000_000,
            bytes_out: 1_500_000,
            latency: spread(300_000, 80_000, 210_000),
            queue_time: spread(300_000, 10_000, 60_000),
            service_time: spread(300_000, 3_000, 9_000),
            delivery: None,
            held_ns: None,
            by_rule: None,
        }),
        fates: Some(FatesReport {
            in_service: OpenReport { count: 2, oldest_ns: Some(160_000), ..OpenReport::default() },
            cut_off: Some(0),
            ..FatesReport::default()
        }),
        refused: Some(RefusedReport::default()),
        kinds: None,
        coverage: None,
        tail: None,
        attribution: None,
        downstream: None,
        exemplars: None,
        scheduler: Some(scheduler()),
        syscalls: Some(vec![
            syscall("epoll_wait", 0, &[], spread(31_000, 1_000, 180_000)),
            syscall("write", 0, &[], spread(300_000, 4_000, 9_000)),
            syscall("read", 400, &[("EAGAIN", 400)], spread(300_400, 900, 2_500)),
        ]),
        tcp: Some(tcp()),
        latency_over_time: Vec::new(),
        series: series(|_| (30_000, 145_000, 815_000)),
        tables: BTreeMap::new(),
    }
}

/// Ten seconds; `of` gives requests, p50, p99 of one.
/// Ten points of a second: requests, P50, P99.
pub fn series(of: impl Fn(u64) -> (u64, u64, u64)) -> Vec<SeriesPointReport> {
    let point = |second| {
        let (requests, p50, p99) = of(second);
        SeriesPointReport {
            offset_ns: second * SECOND,
            duration_ns: SECOND,
            requests,
            rate_per_s: Some(requests as f64),
            p50_ns: Some(p50),
            p99_ns: Some(p99),
            unread: Some(0),
            in_service: Some(1),
            oldest_ns: Some(p50),
            abandoned: Some(0),
            refused: Some(0),
            counted_again: Some(0),
        }
    };
    (0..10).map(point).collect()
}

fn scheduler() -> SchedulerReport {
    let blocked = [
        (100_000_000, spread(200, 100_000, 900_000)),
        (0, Distribution::default()),
        (400_000_000, spread(4_000, 50_000, 150_000)),
        (3_000_000_000, spread(30_000, 20_000, 180_000)),
        (0, Distribution::default()),
        (0, Distribution::default()),
        (0, Distribution::default()),
    ];
    let blocked = STATE_NAMES[FIRST_BLOCKED..].iter().zip(blocked).map(|(name, (time_ns, waits))| {
        ((*name).to_owned(), Blocked { time_ns: Some(time_ns), waits: Some(without_mean(waits)) })
    });
    SchedulerReport {
        on_cpu_ns: Some(6_000_000_000),
        run_queue_ns: Some(500_000_000),
        cpu_quota_ns: Some(0),
        run_queue: without_mean(spread(50_000, 2_000, 30_000)),
        blocked: blocked.collect(),
        switches: Switches { voluntary: 34_200, involuntary: 15_800 },
        ran_instead: vec![RanInsteadReport { comm: "stress-ng".into(), pid: 99, waits: 1200, wait_ns: 310_000_000 }],
    }
}

fn tcp() -> TcpReport {
    let peer = |address: &str, direction: &str| PeerReport {
        address: address.into(),
        direction: direction.into(),
        connections: 50,
        failures: 0,
        mean_connect_ns: None,
        retransmits: 7,
        resets: 0,
        srtt_ns: Some(41_000),
    };
    TcpReport {
        accepted: 50,
        opened: 3,
        connect_failures: 1,
        retransmits: 7,
        resets_received: 0,
        resets_sent: 0,
        connect: without_mean(spread(3, 200_000, 400_000)),
        accept_wait: None,
        accept_wait_unmeasured: Some("no active hook sees accept".into()),
        srtt: without_mean(spread(5_000, 30_000, 60_000)),
        peers: vec![
            peer("10.0.0.7", "incoming"),
            PeerReport {
                connections: 3,
                failures: 1,
                mean_connect_ns: Some(300_000),
                retransmits: 0,
                srtt_ns: None,
                ..peer("10.0.0.9:5432", "outgoing")
            },
        ],
    }
}

fn syscall(name: &str, errors: u64, errnos: &[(&str, u64)], latency: Distribution) -> SyscallReport {
    let errnos = errnos.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
    let time_ns = latency.mean_ns.map(|mean| mean * latency.count);
    SyscallReport { name: name.into(), count: latency.count, errors, errnos, time_ns, latency }
}

/// A small recording: few requests, one probe.
pub fn small() -> Report {
    Report {
        host: HostReport {
            name: "tiny".into(),
            kernel: "6.1.0".into(),
            arch: "aarch64".into(),
            cpus: Some(2),
            memory_bytes: None,
        },
        window: Window {
            start_unix_ns: 1_767_225_600_123_456_789,
            duration_ns: 1_500_000_000,
            ended_by: Ending::Interrupted,
        },
        probes: vec![
            probe("request", ProbeState::Active, None, &["tp_btf/sk_data_ready"]),
            probe("sched", ProbeState::Disabled, Some("not in --probes"), &[]),
        ],
        ledger: [("socket_storage_refused".to_owned(), 0)].into(),
        cost: CostReport { agent_cpu_ns: Some(3_000_000), ..empty().cost },
        services: vec![ServiceReport {
            name: "tiny".into(),
            selector: "port:80".into(),
            processes: vec![process(7, "tiny", ProcessState::Running)],
            processes_forked: 0,
            processes_exited: 0,
            requests: Some(RequestsReport {
                count: 200,
                rate_per_s: Some(133.333),
                latency: spread(200, 1_000, 2_000),
                queue_time: spread(200, 100, 200),
                service_time: spread(200, 800, 1_700),
                ..RequestsReport::default()
            }),
            scheduler: None,
            syscalls: None,
            tcp: None,
            series: Vec::new(),
            ..redis()
        }],
        ..empty()
    }
}

/// A capture of one interval, with some words in the sections of three probes.
pub fn capture() -> Capture {
    let words = |words: &[(u32, i64)]| {
        let sums: BTreeMap<u32, i64> = words.iter().copied().collect();
        Row { sums: Sums::sparse(sums), ..Row::default() }
    };
    let one = |key: Vec<u32>, row| Section::from([(key, row)]);
    let requests = [(Counter::Requests, 300_000), (Counter::Read, 300_002)].map(|(at, count)| (at as u32, count));
    let states = [6_000_000_000, 500_000_000, 0, 0, 0, 3_000_000_000].into_iter();
    let states: Vec<_> = (STATE_COUNTER..).zip(states).collect();
    let call =
        |nr: u32, ns| (vec![nr], words(&[(0, 1), (2, ns), (SYSCALL_HEADER + bucket_index(ns as u64) as u32, 1)]));
    let sections = Sections::from([
        (request::COUNTERS.into(), one(vec![], words(&requests))),
        (request::LATENCY.into(), one(vec![Histogram::Latency as u32], words(&[(500, 300_000)]))),
        (sched::COUNTERS.into(), one(vec![], words(&states))),
        // read and epoll_wait.
        (syscalls::CALLS.into(), Section::from([call(0, 1_000), call(232, 90_000)])),
    ]);
    let context = Context {
        duration_ns: 10 * SECOND,
        ended_by: Ending::Duration,
        probes: whole().probes,
        ledger: LEDGER.iter().map(|name| (*name).to_owned()).collect(),
        services: vec![ServiceContext { name: "redis".into(), ..ServiceContext::default() }],
        ..Context::default()
    };
    let subjects = [(Subject::service(0), sections)].into();
    let interval = Interval { len_ns: 10 * SECOND, subjects, ..Interval::default() };
    Capture { context, intervals: Timeline::of([interval]), ..Capture::default() }
}
