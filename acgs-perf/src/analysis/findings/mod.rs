//! Findings: what deserves attention, each with the numbers that show it.
//!
//! In: the report so far. Out: findings, most severe first. Kinds: `objective_missed`, `queue_time_dominates`,
//! `nothing_answered`, `measurement_incomplete`, `overhead_limited`; `counts` has `counts_disagree`, `tail` those of the
//! attribution.

mod counts;
mod tail;

use acgs_perf_common::ledger::LOSSES;

use super::number::grouped;
use super::verdict::missed_for_latency;
use crate::analysis::model::{Finding, ProbeStatus, Report, ServiceReport, Severity, Verdict};
use crate::units::duration;

/// With fewer requests, a P99 is little more than the slowest request, and says nothing about queueing.
const MIN_REQUESTS: u64 = 100;

/// Advice where the attribution tells the cause.
const SEE_TAIL: &str = "the finding about its tail says what the slow requests wait for, and what to do";
/// Advice where it does not.
const SEE_TIMES: &str = "compare queue time with service time: a high queue time calls for more workers or shorter work \
                         between reads, a high service time for a look at blocked time and system calls";

/// What ends a recording when no probe is left to stop.
const ENDED_BY_OVERHEAD: &str = "overhead";

/// All findings of a report.
pub fn findings(report: &Report) -> Vec<Finding> {
    let mut all: Vec<_> = report.services.iter().flat_map(of_service).collect();
    let is_stopped = |probe: &ProbeStatus| probe.name == "attribution" && probe.stopped_after_ns.is_some();
    let has_all_rows = !report.probes.iter().any(is_stopped);
    all.extend(report.services.iter().filter_map(|service| counts::disagree(service, has_all_rows)));
    all.extend(overhead_limited(report));
    all.extend(losses(report));
    all.sort_by_key(|finding| finding.severity);
    all
}

fn of_service(service: &ServiceReport) -> impl Iterator<Item = Finding> {
    [
        objective_missed(service),
        tail::tail(service),
        tail::not_conserved(service),
        queue_time_dominates(service),
        nothing_answered(service),
    ]
    .into_iter()
    .flatten()
}

fn objective_missed(service: &ServiceReport) -> Option<Finding> {
    let objective = &service.objective;
    if objective.verdict != Some(Verdict::Missed) {
        return None;
    }
    let (severity, title, recommendation) = match missed_for_latency(service) {
        false => (
            Severity::Warning,
            format!("{} answered fewer requests per second than its objective asks for", service.name),
            "record under the load that the objective is meant for, or set `min_rps` to what this service has to carry",
        ),
        true => (
            Severity::Critical,
            format!("{} misses its objective", service.name),
            if tail::tail(service).is_some() { SEE_TAIL } else { SEE_TIMES },
        ),
    };
    Some(Finding {
        id: "objective_missed".into(),
        severity,
        service: Some(service.name.clone()),
        title,
        evidence: objective.reason.clone(),
        recommendation: recommendation.into(),
    })
}

fn queue_time_dominates(service: &ServiceReport) -> Option<Finding> {
    let requests = service.requests.as_ref().filter(|r| r.latency.count >= MIN_REQUESTS)?;
    let (queue, latency) = (requests.queue_time.p99_ns?, requests.latency.p99_ns?);
    if u128::from(queue) * 2 <= u128::from(latency) || tail::tail(service).is_some_and(|f| tail::explains_queue(&f)) {
        return None;
    }
    let met = service.objective.verdict == Some(Verdict::Met);
    Some(Finding {
        id: "queue_time_dominates".into(),
        severity: if met { Severity::Info } else { Severity::Warning },
        service: Some(service.name.clone()),
        title: format!("requests to {} wait before they are read", service.name),
        evidence: format!("P99 of queue time {}, of latency {}", duration(queue), duration(latency)),
        recommendation: "the application reads too late: add workers, or move blocking and long work off the thread \
                         that reads"
            .into(),
    })
}

fn nothing_answered(service: &ServiceReport) -> Option<Finding> {
    let requests = service.requests.as_ref().filter(|r| r.count == 0)?;
    Some(Finding {
        id: "nothing_answered".into(),
        severity: Severity::Warning,
        service: Some(service.name.clone()),
        title: format!("{} answered no request", service.name),
        evidence: format!(
            "requests answered 0, unanswered {}, unsolicited sends {}, processes {}",
            grouped(requests.unanswered),
            grouped(requests.unsolicited_sends),
            service.processes.len()
        ),
        recommendation: format!(
            "check that there was load, and that `{}` selects the processes that serve it",
            service.selector
        ),
    })
}

/// Probes were stopped, or the recording was ended, because of `--max-overhead`.
fn overhead_limited(report: &Report) -> Option<Finding> {
    let stopped = report.probes.iter().filter(|probe| probe.stopped_after_ns.is_some());
    let mut evidence: Vec<_> = stopped
        .map(|probe| format!("{} stopped: {}", probe.name, probe.reason.as_deref().unwrap_or("no reason given")))
        .collect();
    let ended = report.window.ended_by == ENDED_BY_OVERHEAD;
    if evidence.is_empty() && !ended {
        return None;
    }
    if let Some(overhead) = &report.cost.overhead
        && let (true, Some(last)) = (ended, overhead.last_ppm)
    {
        evidence.push(format!("at the end {last} ppm of the host's CPU time, limit {} ppm", overhead.limit_ppm));
    }
    Some(Finding {
        id: "overhead_limited".into(),
        severity: Severity::Warning,
        service: None,
        title: match ended {
            true => "the recording ended early: it cost more than --max-overhead allows".into(),
            false => "probes were stopped: the measurement cost more than --max-overhead allows".into(),
        },
        evidence: evidence.join("; "),
        recommendation:
            "the figures of a stopped probe end where it was stopped: raise --max-overhead, or choose fewer \
                         probes with --probes from the start"
                .into(),
    })
}

fn losses(report: &Report) -> Option<Finding> {
    let lost: Vec<_> = report.ledger.iter().filter(|(_, count)| **count > 0).collect();
    if lost.is_empty() && report.notes.is_empty() {
        return None;
    }
    let counters: Vec<_> = lost.iter().map(|(name, count)| format!("{name} {}", grouped(**count))).collect();
    let mut evidence: Vec<_> = report.notes.clone();
    if !counters.is_empty() {
        evidence.insert(0, counters.join(", "));
    }
    let meaning = |name: &str| LOSSES.iter().find(|(known, _)| *known == name).map(|(_, text)| *text);
    let meanings: Vec<_> = lost.iter().filter_map(|(name, _)| meaning(name)).collect();
    Some(Finding {
        id: "measurement_incomplete".into(),
        severity: Severity::Warning,
        service: None,
        title: "the measurement lost something".into(),
        evidence: evidence.join("; "),
        recommendation: match meanings.is_empty() {
            true if lost.is_empty() => {
                "do not rely on the figures that the evidence names; record again if they matter".into()
            }
            true => "read the counters' meaning before relying on the figures".into(),
            false => format!("weigh the figures accordingly: {}", meanings.join("; ")),
        },
    })
}

#[cfg(test)]
mod tests {
    use crate::analysis::model::{ProbeState, Severity};
    use crate::analysis::{assess, sample};

    fn ids(figures: &crate::analysis::figures::Figures) -> Vec<String> {
        assess(figures).findings.into_iter().map(|finding| finding.id).collect()
    }

    /// The healthy service of the sample.
    fn healthy() -> crate::analysis::figures::Figures {
        let mut figures = sample::whole();
        figures.services.truncate(1);
        figures
    }

    #[test]
    fn a_healthy_recording_has_none() {
        assert_eq!(ids(&healthy()), Vec::<String>::new());
    }

    #[test]
    fn each_finding_brings_its_numbers_most_severe_first() {
        let mut figures = healthy();
        figures.ledger[3].1 = 1234;
        let requests = figures.services[0].requests.as_mut().unwrap();
        requests.latency = sample::counts((0..300_000).map(|_| 20_000_000));
        requests.queue_time = sample::counts((0..300_000).map(|_| 15_000_000));
        assert_eq!(ids(&figures), ["objective_missed", "queue_time_dominates", "measurement_incomplete"]);
        let findings = assess(&figures).findings;
        assert!(findings[0].evidence.contains("at least 19.9 ms"), "{}", findings[0].evidence);
        assert_eq!(findings[1].evidence, "P99 of queue time 15.0 ms, of latency 20.1 ms");
        assert_eq!(findings[2].evidence, "errno_table_full 1,234");
        assert!(
            findings[2].recommendation.contains("table of failed system calls is full")
                && findings[2].service.is_none()
        );
    }

    #[test]
    fn what_could_not_be_read_is_evidence_too() {
        let mut figures = healthy();
        figures.notes.push("TCP peers could not be read whole: no permission".into());
        let finding = assess(&figures).findings.remove(0);
        assert_eq!(
            (finding.id.as_str(), finding.evidence.as_str()),
            ("measurement_incomplete", figures.notes[0].as_str())
        );
        assert!(finding.recommendation.starts_with("do not rely on the figures"), "{}", finding.recommendation);
        figures.ledger[3].1 = 7;
        let finding = assess(&figures).findings.remove(0);
        assert_eq!(finding.evidence, "errno_table_full 7; TCP peers could not be read whole: no permission");
    }

    #[test]
    fn a_low_rate_alone_is_a_warning_with_its_own_advice() {
        let mut figures = healthy();
        figures.services[0].objective.min_rps = 1e6;
        let finding = assess(&figures).findings.remove(0);
        assert_eq!((finding.id.as_str(), finding.severity), ("objective_missed", Severity::Warning));
        assert!(finding.evidence.contains("30,000 requests/s is not above 1,000,000"), "{}", finding.evidence);
        assert!(finding.recommendation.contains("min_rps"));
    }

    #[test]
    fn stopped_probes_and_an_early_end_are_told_with_what_was_measured() {
        let mut figures = healthy();
        figures.probes[2].state = ProbeState::Stopped;
        figures.probes[2].reason = Some("after 2s the measurement took 5 %".into());
        figures.probes[2].stopped_after_ns = Some(2_000_000_000);
        let finding = assess(&figures).findings.remove(0);
        assert_eq!((finding.id.as_str(), finding.severity), ("overhead_limited", Severity::Warning));
        assert_eq!(finding.evidence, "syscalls stopped: after 2s the measurement took 5 %");
        figures.ended_by = "overhead".into();
        let overhead = crate::snapshot::Overhead {
            limit: 0.001,
            intervals: 8,
            last: Some(0.02),
            highest: Some(0.03),
            account: Some(0.001),
        };
        figures.cost.overhead = Some(overhead);
        let report = assess(&figures);
        assert_eq!(report.probes[2].stopped_after_ns, Some(2_000_000_000));
        let finding = &report.findings[0];
        assert!(finding.title.contains("ended early"), "{}", finding.title);
        assert!(finding.evidence.ends_with("at the end 20000 ppm of the host's CPU time, limit 1000 ppm"));
    }

    #[test]
    fn a_service_without_an_answer_is_named() {
        let mut figures = sample::small();
        figures.services[0].requests = Some(crate::analysis::figures::Requests::default());
        assert_eq!(ids(&figures), ["nothing_answered"]);
        figures.services[0].requests = None;
        assert_eq!(ids(&figures), Vec::<String>::new());
    }
}
