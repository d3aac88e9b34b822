//! What the page shows of a service.
//!
//! In: its part of the report. Out: pictures and tables, for the template. What was not measured has no picture; the text says why.

use crate::analysis::tail::main_cut;
use crate::output::text::{ABSENT, component_label, figure, percentiles};
use crate::output::words::slowest;
use crate::report::{CutReport, Distribution, Report, RequestsReport, ServiceReport, Verdict};
use crate::units::{bytes, duration, grouped, percent, rate, span};

use super::calls::{Calls, calls};
use super::endpoints::{Endpoints, Objective, endpoints, objectives};
use super::exemplars::{Exemplar, exemplars};
use super::heat::{Heat, heat};
use super::parts::{GROUPS, group, peer_name, verdict};
use super::percentiles;
use super::stack::{Stack, stack};

/// Rows of a list, such as system calls.
const TOP: usize = 8;
/// Components below this share on both sides are left out.
const MINOR: f64 = 0.005;

/// What is concluded of a service.
pub struct Summary {
    /// Where it is in the page.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Class of the verdict.
    pub class: &'static str,
    /// Sign and word of it.
    pub verdict: &'static str,
    /// The P99.
    pub p99: String,
    /// Its interval.
    pub interval: String,
    /// Objective.
    pub objective: String,
    /// Requests per second, and the least that is asked for.
    pub rate: String,
    /// Why the slowest requests are slow.
    pub sentence: String,
    /// Why the verdict, where it is not met.
    pub reason: String,
}

/// A service in full.
pub struct ServiceView {
    /// What is concluded.
    pub summary: Summary,
    /// Selector, processes, and so on.
    pub facts: Vec<(&'static str, String)>,
    /// Percentiles as a picture.
    pub percentiles: Option<String>,
    /// The same as a table.
    pub table: Vec<PercentileRow>,
    /// Over time.
    pub heat: Option<Heat>,
    /// By quantile.
    pub stack: Option<Stack>,
    /// The tail against the rest.
    pub cut: Option<Cut>,
    /// Peers.
    pub downstream: Vec<[String; 9]>,
    /// What they are asked for.
    pub calls: Calls,
    /// Single requests.
    pub exemplars: Vec<Exemplar>,
    /// By name.
    pub endpoints: Option<Endpoints>,
    /// Those that are held against something of their own.
    pub objectives: Vec<Objective>,
    /// Requests without a reply and other kinds, (what, count, oldest).
    pub fates: Vec<(&'static str, String, String)>,
    /// Threads, run queue, TCP.
    pub host: Vec<(&'static str, String)>,
    /// System calls.
    pub syscalls: Vec<[String; 6]>,
    /// Parts of the report that are not there, and why.
    pub absent: Vec<String>,
}

/// Name, count and six percentiles.
pub struct PercentileRow {
    /// What it is of.
    pub name: &'static str,
    /// Values.
    pub count: String,
    /// p50, p90, p99, p99.9, p99.99, max.
    pub percentiles: [String; 6],
}

/// The requests above a quantile against the rest.
pub struct Cut {
    /// `slowest 1 %`.
    pub title: String,
    /// How many they are.
    pub note: String,
    /// (class, component, mean, share, mean of the rest, excess).
    pub rows: Vec<(&'static str, [String; 5])>,
}

/// What is concluded of a service.
pub fn summary(at: usize, service: &ServiceReport) -> Summary {
    let objective = &service.objective;
    let (class, verdict) = verdict(objective.verdict);
    let latency = service.requests.as_ref().map(|requests| &requests.latency).filter(|latency| latency.count > 0);
    let per_second = service.requests.as_ref().and_then(|requests| requests.rate_per_s);
    Summary {
        id: format!("s{}", at + 1),
        name: service.name.clone(),
        class,
        verdict,
        p99: latency.map_or_else(|| ABSENT.into(), |of| figure((of.p99_ns, of.p99_at_least_ns), of)),
        interval: latency.map_or_else(|| "not measured".into(), interval),
        objective: format!("P99 < {} at > {} req/s", duration(objective.p99_ns), rate(objective.min_rps)),
        rate: per_second.map_or_else(|| ABSENT.into(), |per_second| format!("{} req/s", rate(per_second))),
        sentence: service.tail.as_ref().map_or_else(String::new, |tail| tail.sentence.clone()),
        reason: if objective.verdict == Some(Verdict::Met) { String::new() } else { objective.reason.clone() },
    }
}

fn interval(latency: &Distribution) -> String {
    match (latency.p99_ci95_ns, latency.p99_ci95_low_ns) {
        (Some([low, high]), _) => format!("95 % interval {}", span(low, high)),
        (None, Some(low)) => format!("95 % interval {} or more", duration(low)),
        (None, None) => "no 95 % interval".into(),
    }
}

/// A service in full; `services` is how many the page has.
pub fn view(at: usize, service: &ServiceReport, report: &Report) -> ServiceView {
    let summary = summary(at, service);
    let (id, services) = (summary.id.clone(), report.services.len());
    let requests = service.requests.as_ref();
    ServiceView {
        facts: facts(service),
        percentiles: requests.and_then(|of| percentiles::plot(&format!("{id}p"), of, &service.objective, services)),
        table: requests.map_or_else(Vec::new, table),
        heat: heat(&format!("{id}h"), service, services),
        stack: stack(&format!("{id}q"), service, services),
        cut: service.tail.as_ref().and_then(|tail| main_cut(&tail.cuts)).map(cut),
        downstream: downstream(service),
        calls: calls(service, services),
        exemplars: exemplars(&id, service, services),
        endpoints: endpoints(service, services),
        objectives: objectives(service, services),
        fates: fates(service),
        host: host(service),
        syscalls: syscalls(service),
        absent: absent(service, report),
        summary,
    }
}

fn facts(service: &ServiceReport) -> Vec<(&'static str, String)> {
    let mut processes: Vec<String> =
        service.processes.iter().take(TOP).map(|of| format!("{} {}", of.comm, of.pid)).collect();
    if service.processes.len() > TOP {
        processes.push(format!("{} more", service.processes.len() - TOP));
    }
    if processes.is_empty() {
        processes.push("none".into());
    }
    let mut facts = vec![("Selector", service.selector.clone()), ("Processes", processes.join(", "))];
    if let Some(requests) = &service.requests {
        facts.push(("Answered", grouped(requests.count)));
        facts.push(("Bytes", format!("{} in, {} out", bytes(requests.bytes_in), bytes(requests.bytes_out))));
    }
    facts
}

fn table(requests: &RequestsReport) -> Vec<PercentileRow> {
    let always = [
        ("Latency", &requests.latency),
        ("Queue time", &requests.queue_time),
        ("Service time", &requests.service_time),
    ];
    let delivery = requests.delivery.iter().map(|of| ("Delivery", of));
    let row = |(name, of): (&'static str, &Distribution)| PercentileRow {
        name,
        count: grouped(of.count),
        percentiles: percentiles(of),
    };
    always.into_iter().chain(delivery).map(row).collect()
}

fn cut(cut: &CutReport) -> Cut {
    let major = |mean: u64, whole: u64| mean as f64 >= whole as f64 * MINOR;
    let shown =
        cut.components.iter().filter(|of| major(of.mean_ns, cut.mean_ns) || major(of.body_mean_ns, cut.body_mean_ns));
    let excess = |ns: i64| format!("{}{}", if ns < 0 { "−" } else { "+" }, duration(ns.unsigned_abs()));
    let mut rows: Vec<(&'static str, [String; 5])> = shown
        .map(|of| {
            let cells = [
                component_label(&of.name),
                duration(of.mean_ns),
                percent(of.mean_ns, cut.mean_ns),
                duration(of.body_mean_ns),
                excess(of.excess_ns),
            ];
            (GROUPS[group(&of.name)].0, cells)
        })
        .collect();
    let whole = i64::try_from(i128::from(cut.mean_ns) - i128::from(cut.body_mean_ns)).unwrap_or(i64::MAX);
    let all = ["Latency".to_owned(), duration(cut.mean_ns), "100 %".into(), duration(cut.body_mean_ns), excess(whole)];
    rows.push(("sum", all));
    let above = cut.threshold_ns.map_or_else(|| "68.7 s".to_owned(), duration);
    Cut {
        title: slowest(&cut.quantile),
        note: format!("Means of {} requests above {above}, and of the rest.", grouped(cut.count)),
        rows,
    }
}

fn downstream(service: &ServiceReport) -> Vec<[String; 9]> {
    let ratio = |value: Option<f64>| value.map_or_else(|| ABSENT.into(), |value| format!("{value:.2}"));
    let row = |of: &crate::report::DownstreamReport| {
        let [p50, _, p99, _, _, max] = percentiles(&of.latency);
        [
            peer_name(&of.address, service),
            grouped(of.calls),
            ratio(of.calls_per_request),
            ratio(of.connects_per_call),
            p50,
            p99,
            max,
            grouped(of.unanswered),
            of.coverage.as_ref().map_or_else(|| ABSENT.into(), |of| percent(of.named.min(of.counted), of.counted)),
        ]
    };
    service.downstream.iter().flatten().map(row).collect()
}

fn fates(service: &ServiceReport) -> Vec<(&'static str, String, String)> {
    let mut all = Vec::new();
    let oldest = |ns: Option<u64>| ns.map_or_else(String::new, |ns| format!("the oldest for {}", duration(ns)));
    if let Some(fates) = &service.fates {
        for (what, of) in
            [("Unread", &fates.unread), ("In service", &fates.in_service), ("Not delivered", &fates.undelivered)]
        {
            all.push((what, grouped(of.count), oldest(of.oldest_ns)));
        }
        all.push(("Abandoned by the client", grouped(fates.abandoned.count), oldest(fates.abandoned.oldest_ns)));
        if let Some(count) = fates.cut_off {
            all.push(("Cut off by the service", grouped(count), String::new()));
        }
    }
    if let Some(refused) = &service.refused {
        all.push(("Connections refused", grouped(refused.drops), String::new()));
    }
    let kinds = service.kinds.clone().unwrap_or_default();
    for (what, count) in [
        ("One-way messages", kinds.one_way),
        ("Farewells", kinds.farewell),
        ("Handshakes", kinds.handshake),
        ("Waits by design", kinds.wait_by_design.as_ref().map_or(0, |of| of.count)),
        ("Pushes", kinds.push.as_ref().map_or(0, |of| of.count)),
    ] {
        if count > 0 {
            all.push((what, grouped(count), String::new()));
        }
    }
    all
}

fn host(service: &ServiceReport) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    if let Some(scheduler) = &service.scheduler {
        let blocked = scheduler.blocked.iter().map(|(class, of)| (class.as_str(), of.time_ns));
        let states = [
            ("on-CPU", scheduler.on_cpu_ns),
            ("run queue", scheduler.run_queue_ns),
            ("CPU quota", scheduler.cpu_quota_ns),
        ];
        let mut states: Vec<(&str, u64)> =
            states.into_iter().chain(blocked).filter_map(|(name, ns)| Some((name, ns?))).collect();
        let whole = states.iter().fold(0u64, |sum, (_, ns)| sum.saturating_add(*ns));
        states.retain(|(_, ns)| *ns > 0);
        states.sort_by_key(|(_, ns)| std::cmp::Reverse(*ns));
        let states: Vec<String> = states.iter().map(|(name, ns)| format!("{name} {}", percent(*ns, whole))).collect();
        all.push(("Threads", format!("{} of {} thread time", states.join(" · "), duration(whole))));
        let [p50, _, p99, _, _, max] = percentiles(&scheduler.run_queue);
        all.push(("Run queue", format!("p50 {p50} · p99 {p99} · max {max}")));
        let ran = scheduler.ran_instead.iter().take(5).map(|of| format!("{} {}", of.comm, duration(of.wait_ns)));
        let ran: Vec<String> = ran.collect();
        if !ran.is_empty() {
            all.push(("Ran instead", ran.join(" · ")));
        }
    }
    if let Some(tcp) = &service.tcp {
        let figures = format!(
            "{} accepted · {} opened · {} failed to connect · {} segments retransmitted · resets {} received, {} sent",
            grouped(tcp.accepted),
            grouped(tcp.opened),
            grouped(tcp.connect_failures),
            grouped(tcp.retransmits),
            grouped(tcp.resets_received),
            grouped(tcp.resets_sent)
        );
        all.push(("TCP", figures));
    }
    all
}

fn syscalls(service: &ServiceReport) -> Vec<[String; 6]> {
    let row = |of: &crate::report::SyscallReport| {
        let [p50, _, p99, _, _, _] = percentiles(&of.latency);
        let total = of.time_ns.map_or_else(|| ABSENT.into(), duration);
        [of.name.clone(), grouped(of.count), total, p50, p99, grouped(of.errors)]
    };
    service.syscalls.iter().flatten().take(TOP).map(row).collect()
}

/// Which parts are missing, by the probe that would have them.
fn absent(service: &ServiceReport, report: &Report) -> Vec<String> {
    let parts = [
        ("request", "requests", service.requests.is_none()),
        ("attribution", "what requests are made of", service.attribution.is_none()),
        ("endpoints", "endpoints", service.coverage.is_none()),
        ("sched", "threads", service.scheduler.is_none()),
        ("tcp", "TCP", service.tcp.is_none()),
        ("syscalls", "system calls", service.syscalls.is_none()),
    ];
    let missing = parts.into_iter().filter(|(_, _, is_missing)| *is_missing);
    missing
        .map(|(probe, what, _)| {
            let state = match report.probes.iter().find(|of| of.name == probe) {
                Some(of) if of.has_figures() => "without figures",
                Some(of) => of.state.name(),
                None => "did not run",
            };
            format!("{what} (probe {probe}: {state})")
        })
        .collect()
}
