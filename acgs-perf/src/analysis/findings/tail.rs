//! Findings from the attribution: the cause of a slow tail with what to do about it, and rows that do not add up.
//!
//! In: one service of the report. Out: at most one finding about the tail, `tail_` and its cause, and
//! `attribution_not_conserved`.

use acgs_perf_common::attribution::Component;

use crate::analysis::model::{AttributionRowReport, CutReport, DownstreamReport, Finding, ServiceReport, Severity};
use crate::analysis::tail::{Cause, Explanation, calls_in_sequence, explain, main_cut, phrase, slowest};
use crate::analysis::verdict::missed_for_latency;
use crate::units::{duration, grouped, percent, process_name};

/// A tail is worth a finding if its mean is at least this many times that of the rest, or if the objective is missed.
const CLEAR_FACTOR: u64 = 2;
/// With fewer calls, a pool that is being filled looks like no pool.
const MIN_CALLS: u64 = 100;
/// Components may differ from the latency by one part in this many.
const TOLERANCE: u128 = 1_000;

/// Why the tail is slow, if that is clear.
pub fn tail(service: &ServiceReport) -> Option<Finding> {
    let cut = main_cut(&service.tail.as_ref()?.cuts)?;
    let explanation = explain(cut);
    let missed = missed_for_latency(service);
    let steep = explanation.clear && cut.mean_ns >= cut.body_mean_ns.saturating_mul(CLEAR_FACTOR);
    let main = explanation.main.first().filter(|_| steep || missed)?;
    let who = slowest(&cut.quantile);
    let subject = match explanation.clear {
        true => format!("the {who} of the requests to {}", service.name),
        // Only a missed objective leads here.
        false => format!("all requests to {}, not only the {who},", service.name),
    };
    let title = match main.cause {
        Cause::Unknown => format!("what makes {} slow could not be attributed", service.name),
        _ => format!("{subject} spend their time {}", phrase(main, cut).text),
    };
    let connects = unpooled(service, &explanation);
    let mut evidence = evidence(service, &explanation);
    let mut recommendation = recommendation(&explanation);
    if let Some(peer) = connects {
        evidence.push_str(&format!(
            "; {} connections to {} for {} calls",
            grouped(peer.connects),
            peer.address,
            grouped(peer.calls)
        ));
        recommendation.push_str("; keep connections open instead of opening one for each call");
    }
    Some(Finding {
        id: id(main.cause).into(),
        severity: if missed { Severity::Critical } else { Severity::Info },
        service: Some(service.name.clone()),
        title,
        evidence,
        recommendation,
    })
}

/// The peer that the tail waits for most, if the service opens a connection for at least every second call to it.
fn unpooled<'a>(service: &'a ServiceReport, explanation: &Explanation) -> Option<&'a DownstreamReport> {
    let waits = explanation.main.iter().any(|part| part.cause == Cause::Downstream);
    let first = explanation.cut.downstream.first().filter(|_| waits)?;
    let peer = service.downstream.iter().flatten().find(|peer| peer.address == first.peer)?;
    (peer.calls >= MIN_CALLS && peer.connects.saturating_mul(2) >= peer.calls).then_some(peer)
}

/// Whether a finding of [`tail`] already says why requests wait before they are read.
pub fn explains_queue(finding: &Finding) -> bool {
    [Cause::Accept, Cause::Queue, Cause::RunQueue].map(id).contains(&finding.id.as_str())
}

fn id(cause: Cause) -> &'static str {
    match cause {
        Cause::Accept => "tail_accept_backlog",
        Cause::Queue => "tail_queue",
        Cause::Cpu => "tail_cpu",
        Cause::RunQueue => "tail_run_queue",
        Cause::Lock => "tail_lock",
        Cause::Disk => "tail_disk",
        Cause::Downstream => "tail_downstream",
        Cause::Idle => "tail_idle",
        Cause::Sleep => "tail_sleep",
        Cause::Fault => "tail_fault",
        Cause::Other => "tail_other",
        Cause::EventLoop => "tail_event_loop",
        Cause::Pool => "tail_pool",
        Cause::Unknown => "tail_unknown",
        Cause::Reply => "tail_reply",
    }
}

fn evidence(service: &ServiceReport, explanation: &Explanation) -> String {
    let cut = explanation.cut;
    let threshold = cut.threshold_ns.map_or_else(|| "68.7 s or more".into(), duration);
    let mut facts = vec![format!(
        "{} requests above {} ({threshold}) take {} on average, the rest {}",
        grouped(cut.count),
        cut.quantile,
        duration(cut.mean_ns),
        duration(cut.body_mean_ns)
    )];
    for part in &explanation.main {
        let phrase = phrase(part, cut);
        facts.push(format!(
            "{}: {} ({}), in the rest {}",
            phrase.text,
            duration(phrase.mean_ns),
            percent(phrase.mean_ns, cut.mean_ns),
            duration(phrase.body_mean_ns)
        ));
    }
    if explanation.main.iter().any(|part| part.cause == Cause::Downstream) && cut.calls_per_request > 0.0 {
        facts.push(format!(
            "calls per request {:.1}, in the rest {:.1}",
            cut.calls_per_request, cut.body_calls_per_request
        ));
    }
    if explanation.main.iter().any(|part| part.cause == Cause::RunQueue) {
        facts.extend(ran_instead(service, cut));
    }
    facts.join("; ")
}

/// Who had the CPU: from the exemplars, or from all waits of the service where the exemplars do not tell.
fn ran_instead(service: &ServiceReport, cut: &CutReport) -> Option<String> {
    let one = |comm: &str, pid: u32, wait_ns: u64| format!("{} {}", process_name(comm, pid), duration(wait_ns));
    let exemplars: Vec<_> = cut.preemptors.iter().take(3).map(|p| one(&p.comm, p.pid, p.wait_ns)).collect();
    if !exemplars.is_empty() {
        return Some(format!("ran instead, in the exemplars: {}", exemplars.join(", ")));
    }
    let all = &service.scheduler.as_ref()?.ran_instead;
    let all: Vec<_> = all.iter().take(3).map(|r| one(&r.comm, r.pid, r.wait_ns)).collect();
    (!all.is_empty()).then(|| format!("ran instead, over all waits of the service: {}", all.join(", ")))
}

fn recommendation(explanation: &Explanation) -> String {
    let Some(main) = explanation.main.first() else { return String::new() };
    let advice = match main.cause {
        Cause::Accept => {
            "accept more often: raise the backlog of `listen` and net.core.somaxconn, add workers, let clients keep \
             their connections open"
        }
        Cause::Queue => queue_advice(main.first()),
        Cause::Cpu => "profile the code with `perf record` on the thread of an exemplar, and cache or divide the work",
        Cause::RunQueue => {
            "give the service CPUs of its own: move or limit the commands that ran instead (cpuset, CPUWeight=), raise \
             its CPU quota, or run fewer threads than CPUs"
        }
        Cause::Lock => "find the lock with `perf lock contention` or `perf trace -e futex`, and hold it for less",
        Cause::Disk => "keep the data in memory, write asynchronously, or look at the device with `iostat -x 1`",
        Cause::Downstream if calls_in_sequence(explanation.cut).is_some() => {
            "make the calls that do not need each other's answer at the same time, or ask for everything in one call; \
             then look at the latency of the peer"
        }
        Cause::Downstream => {
            "look at the peer: record it as a service too, check its slow queries, its pool and its connects per call; \
             set a timeout on the call"
        }
        Cause::Idle => {
            "look at the exemplars: a timer or a sleep of the event loop, a client that sends its request in pieces, or a \
             wait that is not seen, as on another process"
        }
        Cause::Sleep => "remove the sleep, or the retry with a fixed pause, from the path of the request",
        Cause::Fault => "check memory pressure and swap (`vmstat 1`), transparent huge pages, and memory-mapped files",
        Cause::Other => "look at the system calls of the service, and at the segments of the exemplars",
        Cause::EventLoop => {
            "move blocking and long work off the event loop (thread pool, worker process), or run more workers"
        }
        Cause::Pool => "enlarge the thread pool, or shorten what its threads do",
        Cause::Unknown => {
            "see in the exemplars which stretch is unknown; work that is handed to another process is not followed"
        }
        Cause::Reply => {
            "check whether the reply is large or streamed on purpose, whether the client reads slowly, and the network \
             to it"
        }
    };
    advice.into()
}

fn queue_advice(component: Option<Component>) -> &'static str {
    match component {
        Some(Component::QueueOnCpu) => {
            "the thread that reads is busy: add workers, or move long work off the thread that reads"
        }
        Some(Component::QueueDownstream) => {
            "the thread that reads blocks in calls of other requests: use an asynchronous client, or more workers"
        }
        Some(Component::QueueLock) => {
            "the thread that reads waits for a lock: find it with `perf lock contention`, or add workers"
        }
        Some(Component::QueueDisk | Component::QueueFault) => {
            "the thread that reads waits for the disk or for memory: move such work off it, check memory pressure"
        }
        Some(Component::QueueSleep) => "the thread that reads sleeps: remove the sleep, or move it off that thread",
        _ => "the application reads too late: add workers, or move blocking and long work off the thread that reads",
    }
}

/// Rows whose components do not add up to their latency: then a share is not what it says.
pub fn not_conserved(service: &ServiceReport) -> Option<Finding> {
    let rows = &service.attribution.as_ref()?.rows;
    let sum = |row: &AttributionRowReport| row.component_ns.values().map(|ns| u128::from(*ns)).sum::<u128>();
    let latency: u128 = rows.iter().map(|row| u128::from(row.latency_ns)).sum();
    let components: u128 = rows.iter().map(sum).sum();
    // Row by row, so that too much in one and too little in another do not make up for each other.
    let wrong: u128 = rows.iter().map(|row| sum(row).abs_diff(row.latency_ns.into())).sum();
    if wrong.saturating_mul(TOLERANCE) <= latency {
        return None;
    }
    let ns = |value: u128| duration(u64::try_from(value).unwrap_or(u64::MAX));
    Some(Finding {
        id: "attribution_not_conserved".into(),
        severity: Severity::Warning,
        service: Some(service.name.clone()),
        title: format!("the components of {} do not add up to its latency", service.name),
        evidence: format!(
            "components {}, latency {}, difference over all rows {} (more than 0.1 %)",
            ns(components),
            ns(latency),
            ns(wrong)
        ),
        recommendation:
            "do not rely on the shares in `tail`; look at the loss counters, and report this as a fault of \
                         the measurement"
                .into(),
    })
}

#[cfg(test)]
mod tests {
    use acgs_perf_common::attribution::COMPONENT_NAMES;

    use super::*;
    use crate::analysis::figures::Figures;
    use crate::analysis::{assess, sample};

    /// The sample's service whose tail waits for its database.
    fn api() -> Figures {
        let mut figures = sample::whole();
        figures.services.remove(0);
        figures
    }

    fn of(figures: &Figures) -> Vec<Finding> {
        assess(figures)
            .findings
            .into_iter()
            .filter(|f| f.id.starts_with("tail_") || f.id.contains("conserved"))
            .collect()
    }

    #[test]
    fn a_missed_objective_gets_its_cause_with_numbers() {
        let findings = assess(&api()).findings;
        assert_eq!(findings.iter().map(|f| f.id.as_str()).collect::<Vec<_>>(), ["objective_missed", "tail_downstream"]);
        assert!(findings[0].recommendation.starts_with("the finding about its tail"));
        let finding = &findings[1];
        assert_eq!((finding.severity, finding.service.as_deref()), (Severity::Critical, Some("api")));
        assert!(finding.title.ends_with("spend their time waiting for postgres (127.0.0.1:5432)"), "{}", finding.title);
        assert_eq!(
            finding.evidence,
            "200 requests above p99 (51.0 ms) take 54.5 ms on average, the rest 2.32 ms; waiting for postgres \
             (127.0.0.1:5432): 51.5 ms (95 %), in the rest 989 µs; calls per request 21.0, in the rest 3.2"
        );
        assert!(finding.recommendation.starts_with("make the calls that do not need"), "{}", finding.recommendation);
    }

    #[test]
    fn a_connection_for_each_call_is_pointed_out() {
        let mut figures = api();
        let peers = |figures: &mut Figures, connects| {
            figures.services[0].attribution.as_mut().unwrap().downstream[0].connects = connects;
        };
        peers(&mut figures, 10_000);
        let finding = of(&figures).remove(0);
        assert!(
            finding.evidence.ends_with("; 10,000 connections to 127.0.0.1:5432 for 20,000 calls"),
            "{}",
            finding.evidence
        );
        assert!(finding.recommendation.ends_with("; keep connections open instead of opening one for each call"));
        peers(&mut figures, 9_999);
        assert!(!of(&figures)[0].recommendation.contains("keep connections"));
    }

    #[test]
    fn who_ran_instead_comes_from_the_exemplars_or_else_from_all_waits() {
        let mut figures = sample::whole();
        let scheduler = figures.services.remove(0).scheduler;
        figures.services[0].scheduler = scheduler;
        let attribution = figures.services[0].attribution.as_mut().unwrap();
        for row in attribution.rows.iter_mut().filter(|row| row.latency_ns / row.count > 10_000_000) {
            row.component_ns = Default::default();
            row.component_ns[Component::QueueRunQueue as usize] = row.latency_ns;
        }
        figures.services[0].requests.as_mut().unwrap().queue_time = sample::counts((0..20_000).map(|_| 50_000_000));
        let finding = of(&figures).remove(0);
        assert_eq!(finding.id, "tail_run_queue");
        assert!(finding.evidence.ends_with("in the exemplars: stress-ng 99 1.60 ms"), "{}", finding.evidence);
        figures.services[0].attribution.as_mut().unwrap().exemplars = crate::snapshot::exemplar::Kept::default();
        let finding = of(&figures).remove(0);
        assert!(finding.evidence.ends_with("of the service: stress-ng 99 310 ms"), "{}", finding.evidence);
        // It says where the queue comes from; that there is one needs no second finding.
        let ids = |figures: &Figures| assess(figures).findings.into_iter().map(|f| f.id).collect::<Vec<_>>();
        assert_eq!(ids(&figures), ["objective_missed", "tail_run_queue"]);
        figures.services[0].attribution = None;
        assert_eq!(ids(&figures), ["objective_missed", "queue_time_dominates"]);
    }

    #[test]
    fn it_is_for_information_if_the_objective_is_met() {
        let mut figures = api();
        figures.services[0].objective.p99 = std::time::Duration::from_secs(1);
        assert_eq!(of(&figures)[0].severity, Severity::Info);
        // Missed for the rate alone: the tail did not cause that.
        figures.services[0].objective.min_rps = 1e6;
        assert_eq!(of(&figures)[0].severity, Severity::Info);
    }

    #[test]
    fn a_service_that_is_slow_throughout_gets_its_cause_too() {
        let mut figures = api();
        let attribution = figures.services[0].attribution.as_mut().unwrap();
        // Only the slow ones.
        attribution.rows.retain(|row| row.latency_ns / row.count > 10_000_000);
        let finding = of(&figures).remove(0);
        assert!(finding.title.starts_with("all requests to api, not only the slow"), "{}", finding.title);
        assert_eq!(finding.id, "tail_downstream");
        figures.services[0].objective.p99 = std::time::Duration::from_secs(1);
        assert!(of(&figures).is_empty(), "a steady service that meets its objective has no finding");
    }

    #[test]
    fn every_component_has_an_id_and_advice() {
        let mut seen = std::collections::BTreeSet::new();
        for index in 0..COMPONENT_NAMES.len() {
            let mut figures = api();
            let attribution = figures.services[0].attribution.as_mut().unwrap();
            for row in attribution.rows.iter_mut().filter(|row| row.latency_ns / row.count > 10_000_000) {
                row.component_ns = Default::default();
                row.component_ns[index] = row.latency_ns;
            }
            let finding = of(&figures).remove(0);
            assert!(finding.id.starts_with("tail_") && finding.recommendation.len() > 20, "{finding:?}");
            seen.insert(finding.id);
        }
        assert_eq!(seen.len(), 15, "{seen:?}");
    }

    #[test]
    fn rows_that_do_not_add_up_are_a_warning() {
        let mut figures = api();
        let change = |figures: &mut Figures, by: u64| {
            let row = &mut figures.services[0].attribution.as_mut().unwrap().rows[0];
            row.component_ns[Component::OnCpu as usize] += by;
        };
        let total: u64 = figures.services[0].attribution.as_ref().unwrap().rows.iter().map(|row| row.latency_ns).sum();
        change(&mut figures, total / 1_000);
        assert_eq!(of(&figures).len(), 1, "0.1 % is within the tolerance");
        change(&mut figures, 1);
        let findings = of(&figures);
        assert_eq!((findings[1].id.as_str(), findings[1].severity), ("attribution_not_conserved", Severity::Warning));
        assert!(
            findings[1].evidence.starts_with("components 57.0 s, latency 56.9 s, difference"),
            "{}",
            findings[1].evidence
        );
        // Too much in one row and as much too little in another is still wrong.
        let rows = &mut figures.services[0].attribution.as_mut().unwrap().rows;
        rows[1].component_ns[Component::OnCpu as usize] -= total / 1_000 + 1;
        assert_eq!(of(&figures).len(), 2);
    }
}
