//! Findings from the attribution: the cause of a slow tail.
//!
//! In: one service of the report. Out: `tail_` and its cause: the one that explains the tail, and others that are worth the work.

use std::collections::BTreeMap;

use acgs_perf_common::attribution::Component::{
    self, LoopWait, QueueDisk, QueueDownstream, QueueFault, QueueIdle, QueueLock, QueueOnCpu, QueueOther, QueueSleep,
};

use super::context::Context;
use crate::analysis::model::{Confidence, DownstreamReport, Figure, Finding, ServiceReport, Severity, Unit};
use crate::analysis::number::share4;
use crate::analysis::tables::EndpointRow;
use crate::analysis::tail::{Cause, Explanation, Part, causes, component};

/// Each cause, and its finding.
const CAUSES: [(Cause, &str); 21] = [
    (Cause::Accept, "tail_accept_backlog"),
    (Cause::Queue, "tail_queue"),
    (Cause::Cpu, "tail_cpu"),
    (Cause::RunQueue, "tail_run_queue"),
    (Cause::CpuQuota, "tail_cpu_quota"),
    (Cause::Lock, "tail_lock"),
    (Cause::Disk, "tail_disk"),
    (Cause::Downstream, "tail_downstream"),
    (Cause::RequestBody, "tail_request_body"),
    (Cause::Idle, "tail_idle"),
    (Cause::Sleep, "tail_sleep"),
    (Cause::Fault, "tail_fault"),
    (Cause::Other, "tail_other"),
    (Cause::EventLoop, "tail_event_loop"),
    (Cause::Pool, "tail_pool"),
    (Cause::Connection, "tail_connection_wait"),
    (Cause::Unknown, "tail_unknown"),
    (Cause::Reply, "tail_reply"),
    (Cause::Nagle, "tail_nagle"),
    (Cause::SlowClient, "tail_slow_client"),
    (Cause::Network, "tail_network"),
];

/// The findings about causes.
pub const IDS: &[&str] = &{
    let mut ids = [""; CAUSES.len()];
    let mut at = 0;
    while at < ids.len() {
        ids[at] = CAUSES[at].1;
        at += 1;
    }
    ids
};

/// Seldom is one request in so many.
const SELDOM: u64 = 5;
/// An endpoint blocks others if its median is this many times that of the service.
const BLOCKS_FACTOR: u64 = 5;

/// A tail is worth a finding if its mean is at least this many times that of the rest, or if the objective is missed.
const CLEAR_FACTOR: u64 = 2;
/// With fewer calls, a pool that is being filled looks like no pool.
const MIN_CALLS: u64 = 100;

/// A further cause makes at least this share of what the slowest requests take longer, in percent.
const FURTHER_PERCENT: i128 = 20;
/// Without a further cause the P99 would be shorter by at least this, in percent.
const FURTHER_GAIN_PERCENT: u64 = 10;

/// Why the tail is slow, if that is clear: the cause that explains it, and others that are worth the work.
pub fn look(context: &Context) -> Vec<Finding> {
    let Some(explanation) = &context.explanation else { return Vec::new() };
    let cut = explanation.cut;
    // Where the P99 lies among requests without an end, those that have one did not cause it.
    let requests = context.service.requests.as_ref();
    let is_among_ended = requests.is_none_or(|requests| requests.latency.p99_at_least_ns.is_none());
    let is_missed = context.is_missed() && is_among_ended;
    let is_steep = explanation.clear && cut.mean_ns >= cut.body_mean_ns.saturating_mul(CLEAR_FACTOR);
    let Some(main) = explanation.main.first().filter(|_| is_steep || is_missed) else { return Vec::new() };
    let severity = if is_missed { Severity::Critical } else { Severity::Info };
    let figures = figures(context.service, explanation, &explanation.main);
    let first = found(context, main, severity, Confidence::High, figures);
    let mut all = vec![blocked_by(context, main, first)];
    if main.cause != Cause::Unknown {
        all.extend(
            causes(cut).iter().filter(|part| part.cause != main.cause).filter_map(|part| further(context, part)),
        );
    }
    all
}

/// The finding about a cause.
fn found(context: &Context, part: &Part, severity: Severity, confidence: Confidence, figures: Vec<Figure>) -> Finding {
    let mean_ns = context.explanation.as_ref().map_or(0, |found| found.cut.mean_ns);
    let share = share4(part.mean_ns.into(), mean_ns.into());
    let finding = Finding { share: Some(share), ..context.found(id(part.cause), severity, confidence, figures) };
    if part.cause == Cause::Unknown {
        return finding;
    }
    let mut components: Vec<_> = part.components.iter().filter_map(|of| component(&of.name)).collect();
    components.extend(goes_too(part.cause));
    context.with_gain_of(finding, &components, 1.0)
}

/// What would go with a cause: while a loop is busy with one request, it neither reads others nor goes on with them.
fn goes_too(cause: Cause) -> &'static [Component] {
    match cause {
        Cause::Queue => &[LoopWait],
        Cause::EventLoop => {
            &[QueueOnCpu, QueueLock, QueueDisk, QueueDownstream, QueueIdle, QueueSleep, QueueFault, QueueOther]
        }
        _ => &[],
    }
}

/// Another cause, if it is worth the work.
fn further(context: &Context, part: &Part) -> Option<Finding> {
    let explanation = context.explanation.as_ref()?;
    let cut = explanation.cut;
    let (weight, whole) = match explanation.clear {
        true => (part.excess_ns(), i128::from(cut.mean_ns) - i128::from(cut.body_mean_ns)),
        false => (part.mean_ns.into(), cut.mean_ns.into()),
    };
    if part.cause == Cause::Unknown || weight <= 0 || weight * 100 < whole * FURTHER_PERCENT {
        return None;
    }
    let figures = figures(context.service, explanation, std::slice::from_ref(part));
    let finding = found(context, part, Severity::Info, Confidence::Medium, figures);
    let now = context.service.requests.as_ref()?.latency.p99_ns?;
    let gain = now.saturating_sub(finding.would_fall_to_ns?);
    (u128::from(gain) * 100 >= u128::from(now) * u128::from(FURTHER_GAIN_PERCENT)).then_some(finding)
}

/// Names the endpoint that keeps the thread that reads busy, if there is one of which that can be said: it is seldom asked for, it always takes long, and so
/// long as others wait.
fn blocked_by(context: &Context, main: &Part, finding: Finding) -> Finding {
    let usual = context.service.requests.as_ref().and_then(|requests| requests.latency.p50_ns);
    let Some(usual) = usual.filter(|_| matches!(main.cause, Cause::EventLoop | Cause::Queue)) else { return finding };
    let all: u64 = context.endpoints.iter().map(|row| row.requests).sum();
    let p50_of = |row: &EndpointRow| row.latency.p50_ns.unwrap_or(0);
    let blocks = |row: &&EndpointRow| {
        let p50 = p50_of(row);
        let seldom = row.requests.saturating_mul(SELDOM) <= all;
        seldom && p50 >= usual.saturating_mul(BLOCKS_FACTOR) && p50.saturating_mul(2) >= main.mean_ns
    };
    let time = |row: &&EndpointRow| p50_of(row).saturating_mul(row.requests);
    let Some(row) = context.endpoints.iter().filter(blocks).max_by_key(time) else { return finding };
    let mut finding = finding;
    let (name, p50) = (row.name.clone(), p50_of(row));
    finding.figures.push(Figure::new("endpoint_p50", p50, Unit::Ns).of(name.clone()).against(usual));
    finding.confidence = Some(Confidence::Medium);
    Finding { endpoint: Some(name), ..finding }
}

fn figures(service: &ServiceReport, explanation: &Explanation, main: &[Part]) -> Vec<Figure> {
    let cut = explanation.cut;
    let mut figures = vec![
        Figure::new("requests_above_cut", cut.count, Unit::Count).of(cut.quantile.clone()),
        Figure::new("mean_latency", cut.mean_ns, Unit::Ns).of(cut.quantile.clone()).against(cut.body_mean_ns),
    ];
    figures.extend(cut.threshold_ns.map(|ns| Figure::new("threshold", ns, Unit::Ns).of(cut.quantile.clone())));
    for part in main {
        figures.push(Figure::new(name(part.cause), part.mean_ns, Unit::Ns).against(part.body_mean_ns));
    }
    let is_downstream = main.iter().any(|part| part.cause == Cause::Downstream);
    if is_downstream {
        let calls = Figure::decimal("calls", cut.calls_per_request, Unit::PerRequest);
        figures.extend(calls.map(|calls| calls.against_decimal(cut.body_calls_per_request)));
        let peers = cut.downstream.iter().take(2);
        figures.extend(peers.map(|peer| Figure::new("waited_for", peer.mean_ns, Unit::Ns).of(peer.peer.clone())));
        figures.extend(asked_for(service, cut.threshold_ns.unwrap_or(0)));
        let peer = unpooled(service, explanation);
        figures.extend(peer.map(|peer| {
            Figure::new("connects", peer.connects, Unit::Count).of(peer.address.clone()).against(peer.calls)
        }));
    }
    figures
}

/// What the exemplars among the slowest have waited for most at their peers, if that has a name: of all that they waited there.
fn asked_for(service: &ServiceReport, threshold_ns: u64) -> Option<Figure> {
    let slow = service.exemplars.iter().flatten().filter(|exemplar| exemplar.latency_ns >= threshold_ns);
    let waits = slow.flat_map(|exemplar| &exemplar.segments).filter(|segment| segment.peer.is_some());
    let (mut all, mut by_call) = (0u64, BTreeMap::<&str, u64>::new());
    for segment in waits {
        all = all.saturating_add(segment.duration_ns);
        let of_call = by_call.entry(segment.call.as_deref().unwrap_or_default()).or_default();
        *of_call = of_call.saturating_add(segment.duration_ns);
    }
    let (call, ns) = by_call.into_iter().max_by_key(|(_, ns)| *ns).filter(|(call, _)| !call.is_empty())?;
    Some(Figure::new("asked_for", ns, Unit::Ns).of(call).against(all))
}

/// The peer that the tail waits for most, if the service opens a connection for at least every second call to it.
fn unpooled<'a>(service: &'a ServiceReport, explanation: &Explanation) -> Option<&'a DownstreamReport> {
    let first = explanation.cut.downstream.first()?;
    let peer = service.downstream.iter().flatten().find(|peer| peer.address == first.peer)?;
    (peer.calls >= MIN_CALLS && peer.connects.saturating_mul(2) >= peer.calls).then_some(peer)
}

/// Whether a finding of [`look`] already says why requests wait before they are read.
pub fn explains_queue(context: &Context, explanation: &Explanation) -> bool {
    let why = [Cause::Accept, Cause::Queue, Cause::RunQueue, Cause::CpuQuota];
    explanation.main.first().is_some_and(|main| why.contains(&main.cause)) && !look(context).is_empty()
}

/// The cause that a finding is about; `None` if it is about something else.
#[must_use]
pub fn cause_of(finding: &str) -> Option<Cause> {
    CAUSES.iter().find(|(_, id)| *id == finding).map(|(cause, _)| *cause)
}

fn id(cause: Cause) -> &'static str {
    CAUSES.iter().find(|(of, _)| *of == cause).map_or("tail_other", |(_, id)| id)
}

/// As a figure calls the cause: the id without what all of them begin with.
fn name(cause: Cause) -> &'static str {
    id(cause).trim_start_matches("tail_")
}

#[cfg(test)]
mod tests {
    use acgs_perf_common::attribution::COMPONENT_NAMES;

    use super::*;
    use crate::analysis::model::{AttributionRowReport, Report};
    use crate::analysis::sample::planted::tail_of;
    use crate::analysis::sample::{self, assessed};

    /// The sample's service whose tail waits for its database.
    fn api() -> Report {
        let mut report = sample::whole();
        report.services.remove(0);
        report
    }

    fn of(report: &Report) -> Vec<Finding> {
        let findings = assessed(report.clone()).findings;
        findings.into_iter().filter(|f| f.id.starts_with("tail_")).collect()
    }

    /// The rows of the slow requests.
    fn slow_rows(report: &mut Report) -> impl Iterator<Item = &mut AttributionRowReport> {
        let rows = &mut report.services[0].attribution.as_mut().unwrap().rows;
        rows.iter_mut().filter(|row| row.latency_ns / row.count > 10_000_000)
    }

    fn named<'a>(finding: &'a Finding, what: &str) -> Option<&'a Figure> {
        finding.figures.iter().find(|figure| figure.what == what)
    }

    #[test]
    fn a_missed_objective_gets_its_cause_with_numbers() {
        let findings = assessed(api()).findings;
        assert_eq!(
            findings.iter().map(|f| f.id.as_str()).collect::<Vec<_>>(),
            ["many_calls", "tail_downstream", "objective_missed", "slow_endpoint"]
        );
        let finding = &findings[1];
        assert_eq!((finding.severity, finding.service.as_deref()), (Severity::Critical, Some("api")));
        assert!(finding.share.is_some_and(|share| (0.94..0.96).contains(&share)), "{finding:?}");
        let waited = named(finding, "waited_for").unwrap();
        assert_eq!(waited.of.as_deref(), Some("127.0.0.1:5432"));
        let calls = named(finding, "calls").unwrap();
        assert_eq!((calls.unit, calls.value.as_f64()), (Unit::PerRequest, Some(21.0)));
        assert!(named(finding, "connects").is_none());
    }

    #[test]
    fn what_was_asked_for_is_named_where_the_exemplars_know_it() {
        let mut report = api();
        let asked = named(&of(&report)[0], "asked_for").cloned().expect("asked for");
        assert_eq!(asked.of.as_deref(), Some("SELECT … FROM policies WHERE id = ?"));
        let (ns, all) = (asked.value.as_u64().unwrap(), asked.against.and_then(|all| all.as_u64()).unwrap());
        assert!(ns * 100 > all * 99 && ns < all, "{ns} of {all}: a little is another peer's");
        let exemplars = report.services[0].exemplars.as_mut().unwrap();
        exemplars.iter_mut().flat_map(|one| &mut one.segments).for_each(|segment| segment.call = None);
        assert_eq!(named(&of(&report)[0], "asked_for"), None);
    }

    #[test]
    fn a_connection_for_each_call_is_pointed_out() {
        let mut report = api();
        let connects = |report: &mut Report, connects| {
            report.services[0].downstream.as_mut().unwrap()[0].connects = connects;
        };
        connects(&mut report, 10_000);
        let expected = Figure::new("connects", 10_000, Unit::Count).of("127.0.0.1:5432").against(20_000);
        assert_eq!(named(&of(&report)[0], "connects"), Some(&expected));
        connects(&mut report, 9_999);
        assert_eq!(named(&of(&report)[0], "connects"), None);
    }

    #[test]
    fn a_tail_that_explains_the_queue_needs_no_second_finding() {
        let mut report = api();
        for row in slow_rows(&mut report) {
            row.component_ns = [("queue_run_queue".to_owned(), row.latency_ns)].into();
        }
        let requests = report.services[0].requests.as_mut().unwrap();
        requests.queue_time = sample::distribution((0..20_000).map(|_| 50_000_000));
        let ids = |report: &Report| assessed(report.clone()).findings.into_iter().map(|f| f.id).collect::<Vec<_>>();
        assert_eq!(ids(&report), ["noisy_neighbour", "tail_run_queue", "objective_missed", "slow_endpoint"]);
        report.services[0].attribution = None;
        assert_eq!(ids(&report), ["objective_missed", "slow_endpoint", "queue_time_dominates"]);
    }

    #[test]
    fn it_is_for_information_if_the_objective_is_met() {
        let mut report = api();
        report.services[0].objective.p99_ns = 1_000_000_000;
        assert_eq!(of(&report)[0].severity, Severity::Info);
        // Not tested, or missed for the rate alone: the tail did not cause that.
        report.services[0].objective.min_rps = 1e6;
        assert_eq!(of(&report)[0].severity, Severity::Info);
        report.services[0].fates.as_mut().unwrap().abandoned.beyond_objective = 1_000;
        assert_eq!(of(&report)[0].severity, Severity::Info);
    }

    #[test]
    fn it_is_not_what_missed_the_objective_where_the_p99_has_no_end() {
        let mut report = api();
        let latency = &mut report.services[0].requests.as_mut().unwrap().latency;
        (latency.p99_ns, latency.p99_at_least_ns) = (None, Some(3_000_000_000));
        assert_eq!(of(&report)[0].severity, Severity::Info);
    }

    #[test]
    fn a_service_that_is_slow_throughout_gets_its_cause_too() {
        let mut report = api();
        // Only the slow ones.
        let attribution = report.services[0].attribution.as_mut().unwrap();
        attribution.rows.retain(|row| row.latency_ns / row.count > 10_000_000);
        assert_eq!(of(&report)[0].id, "tail_downstream");
        report.services[0].objective.p99_ns = 1_000_000_000;
        assert!(of(&report).is_empty(), "a steady service that meets its objective has no finding");
    }

    #[test]
    fn every_component_has_an_id() {
        let mut seen = std::collections::BTreeSet::new();
        for (component, _) in COMPONENT_NAMES {
            let mut report = api();
            for row in slow_rows(&mut report) {
                row.component_ns = [(component.to_owned(), row.latency_ns)].into();
            }
            let finding = of(&report).remove(0);
            assert!(finding.id.starts_with("tail_"), "{finding:?}");
            seen.insert(finding.id);
        }
        assert_eq!(seen.len(), 21, "{seen:?}");
    }

    #[test]
    fn a_loop_that_is_free_reads_requests_and_goes_on_with_them() {
        let falls_to = |parts: &[(Component, f64)]| of(&tail_of(parts))[0].would_fall_to_ns.expect("a gain");
        // Of some 51 ms a tenth is left, whatever each of the two is.
        for parts in [[(QueueSleep, 0.5), (LoopWait, 0.4)], [(QueueSleep, 0.4), (LoopWait, 0.5)]] {
            assert!(falls_to(&parts) < 8_000_000, "{parts:?}");
        }
        assert!(falls_to(&[(QueueSleep, 0.5), (Component::Lock, 0.4)]) > 20_000_000, "a lock stays");
    }
}
