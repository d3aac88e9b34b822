//! One service in the terminal summary.
//!
//! In: its part of the report and the probes' states. Out: the verdict, then requests, tail, threads, TCP, system calls, and the tables
//! of other probes.

use crate::live::table::Scope;
use crate::report::{
    Distribution, FatesReport, OpenReport, ProbeStatus, ProcessState, RequestsReport, SchedulerReport, ServiceReport,
    SyscallReport, TcpReport, Verdict,
};

use super::layout::{ABSENT, Lines, TOP, few_percentiles, figure, more, percentiles, row};
use super::probe::{absent, until};
use super::{endpoints, tables, tail};
use crate::units::{bytes, duration, grouped, percent, process_name, rate, span};

/// Renders a service.
pub fn render(service: &ServiceReport, probes: &[ProbeStatus], lines: &mut Lines) {
    verdict(service, lines);
    processes(service, lines);
    match &service.requests {
        Some(requests) => requests_table(service, requests, lines),
        None => absent("requests", "request", probes, lines),
    }
    series(service, lines);
    match &service.tail {
        Some(_) => {
            tail::render(service, lines);
            until("attribution", probes, lines);
        }
        None => absent("tail", "attribution", probes, lines),
    }
    match &service.scheduler {
        Some(scheduler) => {
            threads(scheduler, lines);
            until("sched", probes, lines);
        }
        None => absent("threads", "sched", probes, lines),
    }
    match &service.tcp {
        Some(report) => {
            tcp(report, lines);
            until("tcp", probes, lines);
        }
        None => absent("tcp", "tcp", probes, lines),
    }
    match &service.syscalls {
        Some(all) => {
            syscalls(all, lines);
            until("syscalls", probes, lines);
        }
        None => absent("system calls", "syscalls", probes, lines),
    }
    endpoints::render(service, probes, lines);
    tables::render(&service.tables, Scope::Service, probes, lines);
}

/// The verdict, and the figures that it is made of.
pub fn verdict_line(service: &ServiceReport) -> String {
    let objective = &service.objective;
    let word = match objective.verdict {
        Some(Verdict::Met) => "MET",
        Some(Verdict::Missed) => "MISSED",
        Some(Verdict::TooFew) => "TOO FEW REQUESTS TO TELL",
        Some(Verdict::NotTested) => "NOT TESTED",
        None => "NOT MEASURED",
    };
    let numbers = service.requests.as_ref().filter(|r| r.latency.count > 0).map(|requests| {
        let p99 = requests.latency.p99_ns;
        let interval = match requests.latency.p99_ci95_ns {
            Some([low, high]) => format!("95 % CI {}", span(low, high)),
            None => match requests.latency.p99_ci95_low_ns {
                Some(low) => format!("95 % CI {} or more", duration(low)),
                None => "no 95 % CI".into(),
            },
        };
        let below = if p99.is_some_and(|p99| p99 < objective.p99_ns) { "<" } else { "≥" };
        let speed = requests.rate_per_s.map(|per_second| {
            let above = if per_second > objective.min_rps { ">" } else { "≤" };
            format!(" at {} req/s {above} {}", rate(per_second), rate(objective.min_rps))
        });
        let p99 = figure((p99, requests.latency.p99_at_least_ns), &requests.latency);
        format!("   p99 {p99} ({interval}) {below} {}{}", duration(objective.p99_ns), speed.unwrap_or_default())
    });
    format!("{}   {word}{}", service.name, numbers.as_deref().unwrap_or_default())
}

fn verdict(service: &ServiceReport, lines: &mut Lines) {
    let objective = &service.objective;
    lines.words(&verdict_line(service), "");
    if let Some(tail) = &service.tail {
        lines.labelled("tail", &tail.sentence);
    }
    if objective.verdict != Some(Verdict::Met) {
        lines.labelled("because", &objective.reason);
    }
}

fn processes(service: &ServiceReport, lines: &mut Lines) {
    let mut items = vec![format!("selector {}", service.selector)];
    let shown = service.processes.iter().take(TOP);
    items.extend(shown.map(|p| match p.state {
        ProcessState::Running => format!("{} {}", p.comm, p.pid),
        ProcessState::Exited => format!("{} {} (exited)", p.comm, p.pid),
    }));
    more(&mut items, service.processes.len(), "processes");
    if service.processes.is_empty() {
        items.push("no process".into());
    }
    if service.processes_forked > 0 || service.processes_exited > 0 {
        items.push(format!(
            "{} forked, {} exited",
            grouped(service.processes_forked),
            grouped(service.processes_exited)
        ));
    }
    lines.items("processes", &items);
}

/// What became of requests without a reply.
fn without_reply(fates: &FatesReport) -> Vec<String> {
    let open = |open: &OpenReport, what: &str| {
        let oldest =
            open.oldest_ns.map(|ns| format!("{} {what}, the oldest for {}", grouped(open.count), duration(ns)));
        oldest.unwrap_or_else(|| format!("0 {what}"))
    };
    let mut items = vec![open(&fates.unread, "unread"), open(&fates.in_service, "in service")];
    if fates.undelivered.count > 0 {
        items.push(open(&fates.undelivered, "not delivered"));
    }
    let abandoned = &fates.abandoned;
    items.push(format!("{} abandoned", grouped(abandoned.count)));
    if abandoned.into_closed > 0 {
        items.push(format!("{} of them answered for nobody", grouped(abandoned.into_closed)));
    }
    if let Some(cut_off) = fates.cut_off.filter(|cut_off| *cut_off > 0) {
        items.push(format!("{} cut off", grouped(cut_off)));
    }
    items
}

fn requests_table(service: &ServiceReport, requests: &RequestsReport, lines: &mut Lines) {
    let mut items = vec![format!("{} answered", grouped(requests.count))];
    match &service.fates {
        Some(fates) => items.extend(without_reply(fates)),
        None => items.push(format!("{} unanswered", grouped(requests.unanswered))),
    }
    items.extend(
        service
            .refused
            .as_ref()
            .filter(|refused| refused.drops > 0)
            .map(|refused| format!("{} connections dropped by a full queue", grouped(refused.drops))),
    );
    let kinds = service.kinds.clone().unwrap_or_default();
    for (count, what) in [(kinds.one_way, "one-way messages"), (kinds.farewell, "farewells")] {
        if count > 0 {
            items.push(format!("{} {what}", grouped(count)));
        }
    }
    if kinds.handshake > 0 {
        items.push(format!("{} handshakes", grouped(kinds.handshake)));
    }
    if let Some(waits) = &kinds.wait_by_design {
        let p99 = waits.latency.p99_ns.map_or_else(String::new, |ns| format!(" (p99 {})", duration(ns)));
        items.push(format!("{} waits by design{p99}", grouped(waits.count)));
    }
    if let Some(push) = kinds.push.as_ref().filter(|push| push.count > push.latency_before.count) {
        items.push(format!("{} pushes", grouped(push.count - push.latency_before.count)));
    }
    if let Some(push) = kinds.push.as_ref().filter(|push| push.latency_before.count > 0) {
        let before =
            push.latency_before.p99_ns.map_or_else(String::new, |ns| format!(" (before it p99 {})", duration(ns)));
        items.push(format!("{} replies went on after a pause{before}", grouped(push.latency_before.count)));
    }
    if requests.unsolicited_sends > 0 {
        items.push(format!("{} unsolicited sends", grouped(requests.unsolicited_sends)));
    }
    items.push(format!("{} in, {} out", bytes(requests.bytes_in), bytes(requests.bytes_out)));
    lines.items("requests", &items);
    let mut rows = vec![row(&["", "count", "p50", "p90", "p99", "p99.9", "p99.99", "max"])];
    let always = [
        ("latency", &requests.latency),
        ("queue time", &requests.queue_time),
        ("service time", &requests.service_time),
    ];
    for (name, d) in always.into_iter().chain(requests.delivery.iter().map(|held| ("delivery", held))) {
        let mut cells = row(&[name]);
        cells.push(grouped(d.count));
        cells.extend(percentiles(d));
        rows.push(cells);
    }
    lines.table(&rows);
}

fn series(service: &ServiceReport, lines: &mut Lines) {
    let rates: Vec<_> = service.series.iter().filter_map(|point| point.rate_per_s).collect();
    let p99s: Vec<_> = service.series.iter().filter_map(|point| point.p99_ns).collect();
    if rates.len() < 2 {
        return;
    }
    let (low, high) = rates.iter().fold((f64::MAX, 0.0f64), |(low, high), r| (low.min(*r), high.max(*r)));
    let mut items = vec![format!("{} points", service.series.len()), format!("{} to {} req/s", rate(low), rate(high))];
    if let (Some(low), Some(high)) = (p99s.iter().min(), p99s.iter().max()) {
        items.push(format!("p99 {}", span(*low, *high)));
    }
    lines.items("over time", &items);
}

fn threads(scheduler: &SchedulerReport, lines: &mut Lines) {
    let blocked = scheduler.blocked.iter().map(|(class, blocked)| (class.as_str(), blocked.time_ns));
    let mut states: Vec<_> =
        [("on-CPU", scheduler.on_cpu_ns), ("run queue", scheduler.run_queue_ns), ("CPU quota", scheduler.cpu_quota_ns)]
            .into_iter()
            .chain(blocked)
            .filter_map(|(name, time)| Some((name, time?)))
            .collect();
    let total = states.iter().fold(0u64, |sum, (_, time)| sum.saturating_add(*time));
    states.retain(|(_, time)| *time > 0);
    states.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
    let mut items: Vec<_> = states.iter().map(|(name, time)| format!("{name} {}", percent(*time, total))).collect();
    items.push(format!("of {} thread time", duration(total)));
    lines.items("threads", &items);
    let mut items = quantiles(&scheduler.run_queue);
    items.push(format!("{} voluntary switches", grouped(scheduler.switches.voluntary)));
    items.push(format!("{} involuntary", grouped(scheduler.switches.involuntary)));
    lines.items("run queue", &items);
    if !scheduler.ran_instead.is_empty() {
        let shown = scheduler.ran_instead.iter().take(TOP);
        let mut items: Vec<_> = shown
            .map(|r| format!("{}: {} in {} waits", process_name(&r.comm, r.pid), duration(r.wait_ns), grouped(r.waits)))
            .collect();
        more(&mut items, scheduler.ran_instead.len(), "commands");
        lines.items("ran instead", &items);
    }
}

fn tcp(tcp: &TcpReport, lines: &mut Lines) {
    lines.items(
        "tcp",
        &[
            format!("{} accepted", grouped(tcp.accepted)),
            format!("{} opened", grouped(tcp.opened)),
            format!("{} failed to connect", grouped(tcp.connect_failures)),
            format!("{} segments retransmitted", grouped(tcp.retransmits)),
            format!("resets {} received, {} sent", grouped(tcp.resets_received), grouped(tcp.resets_sent)),
        ],
    );
    let summary = |name: &str, d: &Distribution| format!("{name} {}", quantiles(d).join(", "));
    let accept = match &tcp.accept_wait {
        Some(wait) => summary("accept wait", wait),
        None => format!("accept wait {ABSENT} ({})", tcp.accept_wait_unmeasured.as_deref().unwrap_or("not measured")),
    };
    lines.items("", &[summary("connect", &tcp.connect), accept, summary("smoothed RTT", &tcp.srtt)]);
    if tcp.peers.is_empty() {
        return;
    }
    let mut items: Vec<_> = tcp
        .peers
        .iter()
        .take(TOP)
        .map(|peer| {
            let arrow = if peer.direction == "outgoing" { "to" } else { "from" };
            let rtt = peer.srtt_ns.map_or_else(String::new, |srtt| format!(", RTT {}", duration(srtt)));
            let failed = if peer.failures > 0 { format!(", {} failed", grouped(peer.failures)) } else { String::new() };
            format!("{arrow} {}: {} connections{failed}{rtt}", peer.address, grouped(peer.connections))
        })
        .collect();
    more(&mut items, tcp.peers.len(), "peers");
    lines.items("peers", &items);
}

fn syscalls(all: &[SyscallReport], lines: &mut Lines) {
    if all.is_empty() {
        lines.items("system calls", &["none".into()]);
        return;
    }
    let mut rows = vec![row(&["system calls", "count", "total", "p50", "p99", "max", "errors"])];
    for call in all.iter().take(TOP) {
        let d = &call.latency;
        let mut errnos: Vec<_> = call.errnos.iter().collect();
        errnos.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        let errors = match errnos.first() {
            Some((name, count)) if errnos.len() == 1 && **count == call.errors => {
                format!("{} {name}", grouped(call.errors))
            }
            Some((name, count)) => format!("{}, {} {name}", grouped(call.errors), grouped(**count)),
            None => grouped(call.errors),
        };
        let mut cells = row(&[&call.name]);
        cells.push(grouped(call.count));
        cells.push(call.time_ns.map_or_else(|| ABSENT.into(), duration));
        cells.extend(few_percentiles(d));
        cells.push(errors);
        rows.push(cells);
    }
    lines.table(&rows);
    if all.len() > TOP {
        lines.labelled("", &format!("and {} more, all in the JSON report", all.len() - TOP));
    }
}

fn quantiles(d: &Distribution) -> Vec<String> {
    if d.count == 0 {
        return vec!["none seen".into()];
    }
    let [p50, p99, max] = few_percentiles(d);
    vec![format!("p50 {p50}"), format!("p99 {p99}"), format!("max {max}")]
}
