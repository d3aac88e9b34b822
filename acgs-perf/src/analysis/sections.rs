//! The sections beside the requests: scheduler, system calls, TCP, time series, cost.
//!
//! In: their part of a `Capture`. Out: their part of the report, in the order in which a reader wants it.

use acgs_perf_common::state::{FIRST_BLOCKED, STATE_NAMES, State};

use super::distribution::distribution;
use super::number::{measured, nanos, rate};
use crate::analysis::figures::{Scheduler, SeriesPoint, Syscall, Tcp};
use crate::analysis::model::{
    Blocked, CostReport, OverheadReport, PeerReport, ProgramCostReport, RanInsteadReport, SchedulerReport,
    SeriesPointReport, Switches, SyscallReport, TcpReport,
};
use crate::live::status::ProbeStatus;
use crate::snapshot::Cost;

/// Scheduler figures; a state whose time or waits the capture lacks is absent.
pub fn scheduler(scheduler: &Scheduler) -> SchedulerReport {
    let time = |state: usize| scheduler.state_ns.get(state).copied();
    let blocked = STATE_NAMES.iter().enumerate().skip(FIRST_BLOCKED).filter_map(|(state, name)| {
        let waits = scheduler.blocked.get(state - FIRST_BLOCKED).map(distribution);
        (time(state).is_some() || waits.is_some())
            .then(|| ((*name).to_owned(), Blocked { time_ns: time(state), waits }))
    });
    let mut ran_instead: Vec<_> = scheduler
        .ran_instead
        .iter()
        .map(|r| RanInsteadReport { comm: r.comm.clone(), pid: r.pid, waits: r.waits, wait_ns: r.wait_ns })
        .collect();
    ran_instead.sort_by(|a, b| b.wait_ns.cmp(&a.wait_ns).then(a.pid.cmp(&b.pid)));
    SchedulerReport {
        on_cpu_ns: time(State::OnCpu as usize),
        run_queue_ns: time(State::RunQueue as usize),
        run_queue: distribution(&scheduler.run_queue),
        blocked: blocked.collect(),
        switches: Switches { voluntary: scheduler.voluntary_switches, involuntary: scheduler.involuntary_switches },
        ran_instead,
    }
}

/// System calls, longest total time first, then most calls.
pub fn syscalls(syscalls: &[Syscall]) -> Vec<SyscallReport> {
    let mut all: Vec<_> = syscalls
        .iter()
        .map(|s| SyscallReport {
            name: s.name.clone(),
            count: s.count,
            errors: s.errors,
            errnos: s.errnos.iter().cloned().collect(),
            time_ns: s.latency.sum_ns,
            latency: distribution(&s.latency),
        })
        .collect();
    all.sort_by(|a, b| b.time_ns.cmp(&a.time_ns).then(b.count.cmp(&a.count)).then(a.name.cmp(&b.name)));
    all
}

/// TCP figures; `probes` tell why the accept wait is missing.
pub fn tcp(tcp: &Tcp, probes: &[ProbeStatus]) -> TcpReport {
    let accept_wait = tcp.accept_wait.as_ref().map(distribution);
    let accept_wait_unmeasured = accept_wait.is_none().then(|| accept_wait_reason(probes));
    let peers = tcp.peers.iter().map(|peer| PeerReport {
        address: peer.address.clone(),
        direction: if peer.outgoing { "outgoing" } else { "incoming" }.into(),
        connections: peer.connections,
        failures: peer.failures,
        mean_connect_ns: peer.mean_connect_ns,
        retransmits: peer.retransmits,
        resets: peer.resets,
        srtt_ns: peer.srtt_ns,
    });
    TcpReport {
        accepted: tcp.accepted,
        opened: tcp.opened,
        connect_failures: tcp.connect_failures,
        retransmits: tcp.retransmits,
        resets_received: tcp.resets_received,
        resets_sent: tcp.resets_sent,
        connect: distribution(&tcp.connect),
        accept_wait,
        accept_wait_unmeasured,
        srtt: distribution(&tcp.srtt),
        peers: peers.collect(),
    }
}

fn accept_wait_reason(probes: &[ProbeStatus]) -> String {
    match probes.iter().find(|probe| probe.name == "syscalls") {
        Some(probe) if probe.is_active() => "no active hook sees accept".into(),
        _ => "needs the syscalls probe".into(),
    }
}

/// One point of the time series.
pub fn series_point(point: &SeriesPoint) -> SeriesPointReport {
    SeriesPointReport {
        offset_ns: point.offset_ns,
        duration_ns: point.duration_ns,
        requests: point.requests,
        rate_per_s: rate(point.requests, point.duration_ns),
        p50_ns: point.p50_ns,
        p99_ns: point.p99_ns,
        counted_again: Some(point.counted_again),
    }
}

/// What measuring cost. No agent runs without CPU time, memory, maps and a load: 0 means that it was not measured.
pub fn cost(cost: &Cost) -> CostReport {
    let programs = cost.programs.as_ref().map(|programs| {
        programs
            .iter()
            .map(|p| ProgramCostReport { name: p.name.clone(), runs: p.runs, run_time_ns: nanos(p.run_time) })
            .collect()
    });
    let ppm = |share: f64| (share * 1e6).round() as u64;
    CostReport {
        overhead: cost.overhead.as_ref().map(|overhead| OverheadReport {
            limit_ppm: ppm(overhead.limit),
            intervals: overhead.intervals,
            last_ppm: overhead.last.map(ppm),
            highest_ppm: overhead.highest.map(ppm),
            account_ppm: overhead.account.map(ppm),
        }),
        agent_cpu_ns: measured(cost.agent_cpu_ns),
        agent_max_rss_bytes: measured(cost.agent_max_rss_bytes),
        map_bytes: measured(cost.map_bytes),
        attach_ns: measured(cost.attach_ns),
        programs_unmeasured: match &cost.programs {
            Some(_) => None,
            None => Some(cost.programs_unmeasured.clone().unwrap_or_else(|| "needs --measure-cost".into())),
        },
        programs,
    }
}
