//! Findings: what deserves attention, each with the numbers that show it.
//!
//! In: the report so far. Out: findings in the order of `rank`, with figures and without words, which are made in `output::words`.
//! The rules, a short file each, stand in the table of `rules`.

mod calls_itself;
mod connection_churn;
mod conserved;
mod context;
mod context_switches;
mod counts;
mod cpu_saturated;
mod disk_saturated;
mod downstream_calls;
mod endpoints;
mod errors;
mod fates;
mod fsync_bound;
mod held_replies;
mod idle_cpus;
mod memory;
mod noisy_neighbour;
mod nothing_answered;
mod objective;
mod queue_time;
mod quota;
mod rank;
mod recording;
mod repeated_reads;
mod retransmissions;
mod rules;
mod slow_endpoint;
mod slow_fork;
mod slow_worker;
mod start;
mod tail;
mod udp;
mod work_for_nobody;

pub use calls_itself::CALLS_ITSELF;
pub use connection_churn::{CLIENTS_RECONNECT, CONNECTION_CHURN};
pub use conserved::NOT_CONSERVED;
pub use context_switches::CONTEXT_SWITCHES;
pub use counts::COUNTS_DISAGREE;
pub use cpu_saturated::CPU_SATURATED;
pub use disk_saturated::DISK_SATURATED;
pub use downstream_calls::{MANY_CALLS, SEQUENTIAL_CALLS};
pub use endpoints::ENDPOINT_OBJECTIVE_MISSED;
pub use errors::{ERRORS_HIDE_LATENCY, REQUESTS_FAIL};
pub use fates::{ABANDONED, CUT_OFF, IN_SERVICE, REFUSED, UNDELIVERED, UNREAD};
pub use fsync_bound::FSYNC_BOUND;
pub use held_replies::REPLIES_WAIT_FOR_ACK;
pub use idle_cpus::IDLE_CPUS;
pub use memory::{MAJOR_FAULTS, MEMORY_PRESSURE};
pub use noisy_neighbour::{NOISY_NEIGHBOUR, OWN_THREADS};
pub use nothing_answered::NOTHING_ANSWERED;
pub use objective::{NOT_TESTED, OBJECTIVE_MISSED, TOO_FEW_REQUESTS};
pub use queue_time::QUEUE_TIME_DOMINATES;
pub use quota::CPU_QUOTA;
pub use recording::{MEASUREMENT_INCOMPLETE, OVERHEAD_LIMITED};
pub use repeated_reads::REPEATED_READS;
pub use retransmissions::RETRANSMISSIONS;
pub use rules::ids;
pub use slow_endpoint::SLOW_ENDPOINT;
pub use slow_fork::SLOW_FORK;
pub use slow_worker::SLOW_WORKER;
pub use tail::cause_of;
pub use udp::UDP_NOT_MEASURED;
pub use work_for_nobody::WORK_FOR_NOBODY;

use crate::analysis::model::{Finding, Report};
use context::Context;
use rules::{Look, RULES};

/// All findings of a report.
pub fn findings(report: &Report) -> Vec<Finding> {
    let services: Vec<_> = report.services.iter().map(|service| Context::new(report, service)).collect();
    let found = RULES.iter().flat_map(|rule| match rule.look {
        Look::Service(look) => services.iter().flat_map(look).collect::<Vec<_>>(),
        Look::Recording(look) => look(report),
    });
    rank::ranked(report, found.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::model::{Figure, Severity, Unit};
    use crate::analysis::sample::{self, assessed};

    fn ids(report: &Report) -> Vec<String> {
        assessed(report.clone()).findings.into_iter().map(|finding| finding.id).collect()
    }

    /// The healthy service of the sample.
    fn healthy() -> Report {
        let mut report = sample::whole();
        report.services.truncate(1);
        report
    }

    #[test]
    fn a_healthy_recording_has_none() {
        assert_eq!(ids(&healthy()), Vec::<String>::new());
    }

    #[test]
    fn each_finding_brings_its_numbers_most_severe_first() {
        let mut report = healthy();
        report.ledger.insert("errno_table_full".into(), 1234);
        let requests = report.services[0].requests.as_mut().unwrap();
        requests.latency = sample::distribution((0..300_000).map(|_| 20_000_000));
        requests.queue_time = sample::distribution((0..300_000).map(|_| 15_000_000));
        assert_eq!(ids(&report), ["objective_missed", "queue_time_dominates", "measurement_incomplete"]);
        let findings = assessed(report).findings;
        let p99 = &findings[0].figures[0];
        assert_eq!((p99.what.as_str(), p99.against.clone()), ("p99", Some(5_000_000.into())));
        assert!(p99.value.as_u64().is_some_and(|p99| (20_000_000..20_200_000).contains(&p99)));
        let lost = Figure::new("lost", 1234, Unit::Count).of("errno_table_full").against(0);
        assert_eq!(findings[2].figures, [lost]);
        assert!(findings[2].service.is_none());
    }

    #[test]
    fn what_could_not_be_read_is_a_finding_without_figures() {
        let mut report = healthy();
        report.notes.push("TCP peers could not be read whole: no permission".into());
        let finding = assessed(report).findings.remove(0);
        assert_eq!((finding.id.as_str(), finding.figures.len()), (MEASUREMENT_INCOMPLETE, 0));
    }

    #[test]
    fn a_low_rate_is_for_information_unless_requests_were_left() {
        let mut report = healthy();
        report.services[0].objective.min_rps = 1e6;
        let finding = assessed(report.clone()).findings.remove(0);
        assert_eq!((finding.id.as_str(), finding.severity), (NOT_TESTED, Severity::Info));
        let rate = finding.figures.iter().find(|figure| figure.what == "rate").unwrap();
        assert_eq!((rate.value.as_f64(), rate.against.as_ref().and_then(|n| n.as_f64())), (Some(30_000.0), Some(1e6)));
        report.services[0].fates.as_mut().unwrap().abandoned.beyond_objective = 5_000;
        let findings = assessed(report).findings;
        let all: Vec<_> = findings.iter().map(|finding| (finding.id.as_str(), finding.severity)).collect();
        assert_eq!(all, [(ABANDONED, Severity::Warning), (OBJECTIVE_MISSED, Severity::Warning)]);
    }

    #[test]
    fn udp_is_said_not_to_be_measured() {
        let mut report = healthy();
        report.services[0].udp_ports = vec![53];
        let finding = assessed(report).findings.remove(0);
        assert_eq!((finding.id.as_str(), finding.severity), (UDP_NOT_MEASURED, Severity::Info));
        assert_eq!(finding.figures, [Figure::new("udp_port", 53, Unit::Count)]);
    }

    #[test]
    fn a_service_without_an_answer_is_named() {
        let mut report = sample::small();
        report.services[0].requests = Some(Default::default());
        assert_eq!(ids(&report), [NOTHING_ANSWERED]);
        report.services[0].requests = None;
        assert_eq!(ids(&report), Vec::<String>::new());
    }
}
