//! The table of rules: which findings there are, and who makes them.
//!
//! In: nothing. Out: [`RULES`]. Of findings that matter and gain as much, the rule that stands first comes first. A rule without evidence is
//! silent. For each id there is a page `docs/findings/ID.md`, which a test of `output::pages` compares with this table.

use super::context::Context;
use super::{
    calls_itself, connection_churn, conserved, context_switches, counts, cpu_saturated, disk_saturated,
    downstream_calls, endpoints, errors, fates, fsync_bound, held_replies, idle_cpus, memory, noisy_neighbour,
    nothing_answered, objective, queue_time, quota, recording, repeated_reads, retransmissions, slow_endpoint,
    slow_fork, slow_worker, tail, udp, work_for_nobody,
};
use crate::analysis::model::{Finding, Report};

/// What a rule looks at.
pub enum Look {
    /// Each service.
    Service(fn(&Context) -> Vec<Finding>),
    /// The recording.
    Recording(fn(&Report) -> Vec<Finding>),
}

/// A rule.
pub struct Rule {
    /// The findings that it makes.
    pub ids: &'static [&'static str],
    /// How.
    pub look: Look,
}

const fn rule(ids: &'static [&'static str], look: fn(&Context) -> Vec<Finding>) -> Rule {
    Rule { ids, look: Look::Service(look) }
}

/// All of them.
pub const RULES: &[Rule] = &[
    rule(
        &[fates::UNREAD, fates::IN_SERVICE, fates::UNDELIVERED, fates::ABANDONED, fates::CUT_OFF, fates::REFUSED],
        fates::look,
    ),
    rule(tail::IDS, tail::look),
    rule(&[quota::CPU_QUOTA], quota::look),
    rule(&[cpu_saturated::CPU_SATURATED], cpu_saturated::look),
    rule(&[noisy_neighbour::NOISY_NEIGHBOUR, noisy_neighbour::OWN_THREADS], noisy_neighbour::look),
    rule(&[idle_cpus::IDLE_CPUS], idle_cpus::look),
    rule(&[fsync_bound::FSYNC_BOUND], fsync_bound::look),
    rule(&[disk_saturated::DISK_SATURATED], disk_saturated::look),
    rule(&[memory::MAJOR_FAULTS, memory::MEMORY_PRESSURE], memory::look),
    rule(&[downstream_calls::MANY_CALLS, downstream_calls::SEQUENTIAL_CALLS], downstream_calls::look),
    rule(&[repeated_reads::REPEATED_READS], repeated_reads::look),
    rule(&[calls_itself::CALLS_ITSELF], calls_itself::look),
    rule(&[connection_churn::CONNECTION_CHURN, connection_churn::CLIENTS_RECONNECT], connection_churn::look),
    rule(&[retransmissions::RETRANSMISSIONS], retransmissions::look),
    rule(&[held_replies::REPLIES_WAIT_FOR_ACK], held_replies::look),
    rule(&[slow_endpoint::SLOW_ENDPOINT], slow_endpoint::look),
    rule(&[slow_worker::SLOW_WORKER], slow_worker::look),
    rule(&[slow_fork::SLOW_FORK], slow_fork::look),
    rule(&[errors::REQUESTS_FAIL, errors::ERRORS_HIDE_LATENCY], errors::look),
    rule(&[work_for_nobody::WORK_FOR_NOBODY], work_for_nobody::look),
    rule(&[queue_time::QUEUE_TIME_DOMINATES], queue_time::look),
    rule(&[objective::OBJECTIVE_MISSED, objective::NOT_TESTED, objective::TOO_FEW_REQUESTS], objective::look),
    rule(&[endpoints::ENDPOINT_OBJECTIVE_MISSED], endpoints::look),
    rule(&[nothing_answered::NOTHING_ANSWERED], nothing_answered::look),
    rule(&[context_switches::CONTEXT_SWITCHES], context_switches::look),
    rule(&[udp::UDP_NOT_MEASURED], udp::look),
    rule(&[conserved::NOT_CONSERVED], conserved::look),
    rule(&[counts::COUNTS_DISAGREE], counts::look),
    Rule {
        ids: &[recording::OVERHEAD_LIMITED, recording::MEASUREMENT_INCOMPLETE],
        look: Look::Recording(recording::look),
    },
];

/// The ids of all findings.
pub fn ids() -> impl Iterator<Item = &'static str> {
    RULES.iter().flat_map(|rule| rule.ids.iter().copied())
}
