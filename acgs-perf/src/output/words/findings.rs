//! Findings in words: what is the case, the numbers, and what to do.
//!
//! In: a finding with its figures, and the report that it is about. Out: its title, evidence and recommendation.

mod calls;
mod disk;
mod endpoints;
mod fates;
mod host;
mod said;
mod tail;

use acgs_perf_common::ledger::LOSSES;

use super::endpoints::called;
use crate::analysis::findings::{
    COUNTS_DISAGREE, CPU_QUOTA, ENDPOINT_OBJECTIVE_MISSED, MEASUREMENT_INCOMPLETE, NOT_CONSERVED, NOT_TESTED,
    NOTHING_ANSWERED, OBJECTIVE_MISSED, OVERHEAD_LIMITED, QUEUE_TIME_DOMINATES, TOO_FEW_REQUESTS, UDP_NOT_MEASURED,
    cause_of,
};
use crate::report::{Figure, Finding, Report, ServiceReport, Severity, Unit};
use crate::snapshot::Ending;
use crate::units::{duration, grouped, percent};
use said::{Words, against, numbers, value};

/// Advice where the attribution tells the cause.
const SEE_TAIL: &str = "see what its slow requests wait for, in the other findings about it";
/// Advice where requests have no answer.
const SEE_FATES: &str = "see which requests got no answer, in the other findings about it";
/// Advice where it does not.
const SEE_TIMES: &str = "compare queue time with service time: a high queue time calls for more workers or shorter work \
                         between reads, a high service time for a look at blocked time and system calls";
const LOAD_IT: &str =
    "record under the load that the objective is meant for, or set `min_rps` to what this service has to carry";

/// Says a finding; `has_tail` is whether there is one about the tail of its service too.
pub fn say(finding: &mut Finding, report: &Report, has_tail: bool) {
    let service = report.services.iter().find(|service| Some(&service.name) == finding.service.as_ref());
    let said = match (finding.id.as_str(), service) {
        (OBJECTIVE_MISSED, Some(service)) => objective_missed(finding, service, has_tail),
        (ENDPOINT_OBJECTIVE_MISSED, Some(service)) => endpoint_missed(finding, service, has_tail),
        (NOT_TESTED, Some(service)) => Words(
            format!("{} was not tested against its objective", service.name),
            service.objective.reason.clone(),
            LOAD_IT.into(),
        ),
        (QUEUE_TIME_DOMINATES, Some(service)) => queue_time_dominates(finding, service),
        (UDP_NOT_MEASURED, Some(service)) => udp_not_measured(service),
        (NOTHING_ANSWERED, Some(service)) => nothing_answered(finding, service),
        (COUNTS_DISAGREE, Some(service)) => counts_disagree(finding, service),
        (NOT_CONSERVED, Some(service)) => not_conserved(finding, service),
        (CPU_QUOTA, Some(service)) => cpu_quota(finding, service, report),
        (OVERHEAD_LIMITED, None) => overhead_limited(finding, report),
        (MEASUREMENT_INCOMPLETE, None) => incomplete(finding, report),
        (TOO_FEW_REQUESTS, Some(service)) => too_few(finding, service),
        (id, Some(service)) => match cause_of(id) {
            Some(cause) => tail::words(finding, cause, service),
            None => [host::words, disk::words, calls::words, endpoints::words]
                .iter()
                .find_map(|words| words(finding, service))
                .unwrap_or_else(|| fates::words(finding, service)),
        },
        (id, None) => Words(id.replace('_', " "), numbers(finding), String::new()),
    };
    (finding.title, finding.evidence, finding.recommendation) = (said.0, said.1, said.2);
    finding.gain = service.and_then(|service| gain(finding, service)).unwrap_or_default();
}

/// What it would bring.
fn gain(finding: &Finding, service: &ServiceReport) -> Option<String> {
    let now = service.requests.as_ref()?.latency.p99_ns?;
    let then = finding.would_fall_to_ns?;
    Some(format!("without it the P99 would fall from {} to about {}", duration(now), about(then)))
}

/// An estimate has two digits.
fn about(ns: u64) -> String {
    let unit = 10u64.pow(ns.checked_ilog10().unwrap_or(0).saturating_sub(1));
    let text = duration(ns.saturating_add(unit / 2) / unit * unit);
    match text.split_once(' ') {
        Some((number, unit)) if number.contains('.') => {
            format!("{} {unit}", number.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => text,
    }
}

fn too_few(finding: &Finding, service: &ServiceReport) -> Words {
    let requests = value(finding, "requests");
    let advice = match against(finding, "requests") {
        0 => "record for longer: more requests make the interval narrower".to_owned(),
        needed => format!("record for longer: at this rate {} times as long", needed.div_ceil(requests.max(1)).max(2)),
    };
    Words(
        format!("too few requests to {} to say whether it meets its objective", service.name),
        service.objective.reason.clone(),
        advice,
    )
}

fn objective_missed(finding: &Finding, service: &ServiceReport, has_tail: bool) -> Words {
    let (title, advice) = match finding.severity {
        Severity::Critical => {
            let latency = service.requests.as_ref().map(|requests| &requests.latency);
            let advice = match latency.is_some_and(|latency| latency.p99_at_least_ns.is_some()) {
                true => SEE_FATES,
                false if has_tail => SEE_TAIL,
                false => SEE_TIMES,
            };
            (format!("{} misses its objective", service.name), advice)
        }
        _ => (format!("{} left requests without an answer", service.name), SEE_FATES),
    };
    Words(title, service.objective.reason.clone(), advice.into())
}

fn endpoint_missed(finding: &Finding, service: &ServiceReport, has_tail: bool) -> Words {
    let name = finding.figures.iter().find_map(|figure| figure.of.as_deref()).unwrap_or_default();
    let of = service.endpoint_objectives.iter().find(|of| of.name == name);
    let advice = if has_tail { SEE_TAIL } else { SEE_TIMES };
    Words(
        format!("{} of {} misses its objective", called(name), service.name),
        of.map(|of| of.reason.clone()).unwrap_or_default(),
        advice.into(),
    )
}

fn queue_time_dominates(finding: &Finding, service: &ServiceReport) -> Words {
    let (queue, latency) = (value(finding, "queue_time_p99"), against(finding, "queue_time_p99"));
    Words(
        format!("requests to {} wait before they are read", service.name),
        format!(
            "one in a hundred waits {} or more before it is read; from arrival to reply one in a hundred takes {}",
            duration(queue),
            duration(latency)
        ),
        "the application reads too late: add workers, or move blocking and long work off the thread that reads".into(),
    )
}

fn nothing_answered(finding: &Finding, service: &ServiceReport) -> Words {
    Words(
        format!("{} answered no request", service.name),
        format!(
            "{} processes answered 0 requests, left {} without an answer, and sent {} messages that nobody had asked for",
            value(finding, "processes"),
            grouped(value(finding, "unanswered")),
            grouped(value(finding, "unsolicited_sends"))
        ),
        format!("check that there was load, and that `{}` selects the processes that serve it", service.selector),
    )
}

fn udp_not_measured(service: &ServiceReport) -> Words {
    let ports: Vec<_> = service.udp_ports.iter().map(u16::to_string).collect();
    Words(
        format!("what {} does over UDP is not measured", service.name),
        format!("it takes UDP messages on port {}", ports.join(", ")),
        "its figures are those of TCP and UNIX sockets alone".into(),
    )
}

fn counts_disagree(finding: &Finding, service: &ServiceReport) -> Words {
    let place = |figure: &Figure| {
        let count = figure.value.as_u64().unwrap_or(0);
        format!("{} in {}", grouped(count), figure.of.as_deref().unwrap_or("one place"))
    };
    let places: Vec<_> = finding.figures.iter().map(place).collect();
    Words(
        format!("the figures of {} disagree about how many requests there were", service.name),
        format!("{} requests answered; {}", grouped(against(finding, "requests")), places.join(", ")),
        "this is a fault of acgs-perf: weigh percentiles and shares by the difference, and please report it with the \
         JSON report"
            .into(),
    )
}

fn not_conserved(finding: &Finding, service: &ServiceReport) -> Words {
    Words(
        format!("the components of {} do not add up to its latency", service.name),
        format!(
            "components {}, latency {}, difference over all rows {} (more than 0.1 %)",
            duration(value(finding, "components")),
            duration(against(finding, "components")),
            duration(value(finding, "difference_over_all_rows"))
        ),
        "do not rely on the shares in `tail`; look at the loss counters, and report this as a fault of the measurement"
            .into(),
    )
}

fn cpu_quota(finding: &Finding, service: &ServiceReport, report: &Report) -> Words {
    let (held_back, ran) = (value(finding, "held_back"), against(finding, "held_back"));
    let wanted = ran.saturating_add(held_back);
    let window = report.window.duration_ns.max(1) as f64;
    let cpus = |ns: u64| format!("{:.2}", ns as f64 / window);
    Words(
        format!("{} is held back by the CPU quota of its control group", service.name),
        format!(
            "its threads could have run for {}, and were held back for {} of it ({}); they had {} CPUs on average",
            duration(wanted),
            duration(held_back),
            percent(held_back, wanted),
            cpus(ran)
        ),
        format!(
            "raise the quota (CPUQuota=, cpu.max, cpu.cfs_quota_us; in Kubernetes the CPU limit): its threads asked for {} CPUs \
             on average, at most; or run fewer threads at a time, so that the quota lasts for the period",
            cpus(wanted)
        ),
    )
}

fn overhead_limited(finding: &Finding, report: &Report) -> Words {
    let stopped = report.probes.iter().filter(|probe| probe.stopped_after_ns.is_some());
    let mut evidence: Vec<_> = stopped
        .map(|probe| format!("{} stopped: {}", probe.name, probe.reason.as_deref().unwrap_or("no reason given")))
        .collect();
    if finding.figures.iter().any(|figure| figure.unit == Unit::Ppm) {
        let share = |ppm| percent(ppm, 1_000_000);
        evidence.push(format!(
            "at the end {} of the host's CPU time, limit {}",
            share(value(finding, "overhead")),
            share(against(finding, "overhead"))
        ));
    }
    let title = match report.window.ended_by == Ending::Overhead {
        true => "the recording ended early: it cost more than --max-overhead allows",
        false => "probes were stopped: the measurement cost more than --max-overhead allows",
    };
    Words(
        title.into(),
        evidence.join("; "),
        "the figures of a stopped probe end where it was stopped: raise --max-overhead, or choose fewer probes with \
         --probes from the start"
            .into(),
    )
}

fn incomplete(finding: &Finding, report: &Report) -> Words {
    let lost = || finding.figures.iter().filter_map(|figure| Some((figure.of.as_deref()?, figure.value.as_u64()?)));
    let counters: Vec<_> = lost().map(|(name, count)| format!("{name} {}", grouped(count))).collect();
    let mut evidence = report.notes.clone();
    if !counters.is_empty() {
        evidence.insert(0, counters.join(", "));
    }
    let meaning = |name: &str| LOSSES.iter().find(|(known, _)| *known == name).map(|(_, text)| *text);
    let meanings: Vec<_> = lost().filter_map(|(name, _)| meaning(name)).collect();
    let advice = match meanings.is_empty() {
        true if counters.is_empty() => {
            "do not rely on the figures that the evidence names; record again if they matter".into()
        }
        true => "read the counters' meaning before relying on the figures".into(),
        false => format!("weigh the figures accordingly: {}", meanings.join("; ")),
    };
    Words("the measurement lost something".into(), evidence.join("; "), advice)
}

#[cfg(test)]
mod tests;
