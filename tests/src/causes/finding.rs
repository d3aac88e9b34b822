//! Whether the first finding of a report names the cause that was planted, with the remedy that fits.
//!
//! In: a report, the name of the planted cause, the components that are right. Out: the id of the first finding, and what is wrong
//! with it. Two ids are right where both say the same: one of them what slow requests wait for, the other who or what makes them.

use acgs_perf_common::attribution::Component::{self, *};
use serde_json::Value;

/// What a finding that names a cause has: one of these ids, and one of these parts of its advice.
#[derive(Clone, Copy, Debug)]
pub struct Named {
    /// Ids.
    pub ids: &'static [&'static str],
    /// Words of the advice; any will do.
    pub advice: &'static [&'static str],
}

const fn named(ids: &'static [&'static str], advice: &'static [&'static str]) -> Named {
    Named { ids, advice }
}

/// Where the component alone does not say what was planted: the peer is as fast as ever, and asked twenty times.
const BY_CAUSE: [(&str, Named); 1] =
    [("sequential_calls", named(&["many_calls"], &["ask for everything in one call"]))];

/// By the component that slow requests spend their time in.
const BY_COMPONENT: [(&[Component], Named); 14] = [
    // `noisy_neighbour` says who had the CPU for which requests wait.
    (&[RunQueue, QueueRunQueue], named(&["tail_run_queue", "noisy_neighbour"], &["CPUWeight="])),
    // `cpu_quota` says how long all threads were held back.
    (&[CpuQuota, QueueCpuQuota], named(&["tail_cpu_quota", "cpu_quota"], &["cpu.max"])),
    (&[Lock], named(&["tail_lock"], &["hold it for less"])),
    // `fsync_bound` says in which call requests wait for the disk.
    (&[Disk], named(&["tail_disk", "fsync_bound"], &["iostat", "sync"])),
    (&[Downstream], named(&["tail_downstream"], &["look at the peer"])),
    (&[QueueSleep], named(&["tail_queue"], &["the thread that reads sleeps"])),
    (&[QueueOnCpu], named(&["tail_queue"], &["the thread that reads is busy"])),
    (&[QueueLock], named(&["tail_queue"], &["the thread that reads waits for a lock"])),
    (&[PoolWait], named(&["tail_pool"], &["enlarge the thread pool"])),
    (&[Fault], named(&["tail_fault"], &["memory pressure"])),
    (&[QueueAccept], named(&["tail_accept_backlog"], &["accept more often"])),
    (&[Idle], named(&["tail_idle"], &["look for a timer"])),
    (&[Sleep], named(&["tail_sleep"], &["remove the sleep"])),
    (&[OnCpu], named(&["tail_cpu"], &["find the code"])),
];

/// What the first finding says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct First {
    /// Its id; empty where there is no finding.
    pub id: String,
    /// What is wrong; `None` when it names the cause.
    pub wrong: Option<String>,
}

/// The findings that would be right for a cause, of which any of these components is a right answer.
pub fn right(cause: &str, components: &[Component]) -> Vec<Named> {
    if let Some((_, named)) = BY_CAUSE.iter().find(|(name, _)| *name == cause) {
        return vec![*named];
    }
    let is_right = |(of, _): &&(&[Component], Named)| of.iter().any(|component| components.contains(component));
    BY_COMPONENT.iter().filter(is_right).map(|(_, named)| *named).collect()
}

/// Judges the first finding of a report.
pub fn judge(report: &Value, service: &str, right: &[Named]) -> First {
    let first = &report["findings"][0];
    let text = |field: &str| first[field].as_str().unwrap_or_default();
    let id = text("id").to_owned();
    let of_id: Vec<_> = right.iter().filter(|named| named.ids.contains(&id.as_str())).collect();
    let ids = || right.iter().flat_map(|named| named.ids).copied().collect::<Vec<_>>().join(" or ");
    let wrong = if of_id.is_empty() {
        Some(format!("{} instead of {}", if id.is_empty() { "no finding" } else { &id }, ids()))
    } else if text("service") != service {
        Some(format!("{id}, but of {} instead of {service}", text("service")))
    } else if !of_id.iter().flat_map(|named| named.advice).any(|words| text("recommendation").contains(words)) {
        Some(format!("{id}, but the advice is: {}", text("recommendation")))
    } else {
        None
    };
    First { id, wrong }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::causes::table::CAUSES;

    fn report(id: &str, advice: &str) -> Value {
        json!({"findings": [
            {"id": id, "service": "api", "recommendation": advice},
            {"id": "tail_lock", "service": "api", "recommendation": "hold it for less"},
        ]})
    }

    #[test]
    fn only_the_first_finding_counts_and_its_advice_has_to_fit() {
        let right = right("lock_convoy", &[Lock]);
        assert_eq!(judge(&report("tail_lock", "find it, and hold it for less"), "api", &right).wrong, None);
        let wrong = |report: &Value, service| judge(report, service, &right).wrong.unwrap_or_default();
        assert_eq!(
            wrong(&report("objective_missed", "hold it for less"), "api"),
            "objective_missed instead of tail_lock"
        );
        assert_eq!(wrong(&report("tail_lock", "add workers"), "api"), "tail_lock, but the advice is: add workers");
        assert_eq!(wrong(&report("tail_lock", "hold it for less"), "other"), "tail_lock, but of api instead of other");
        assert_eq!(wrong(&json!({"findings": []}), "api"), "no finding instead of tail_lock");
    }

    #[test]
    fn what_reads_too_late_is_told_apart_by_the_advice() {
        let right = right("blocked_loop_spin", &[QueueOnCpu]);
        let of = |advice| judge(&report("tail_queue", advice), "api", &right).wrong.is_none();
        assert!(of("the thread that reads is busy: add workers") && !of("the thread that reads sleeps"));
    }

    #[test]
    fn every_planted_cause_can_be_named() {
        for cause in CAUSES {
            assert!(!right(cause.name, cause.expected).is_empty(), "{}", cause.title());
        }
        assert_eq!(right("garbage_collection", &[QueueLock, Lock, QueueOnCpu]).len(), 3);
        assert!(right("slow_query", &[Downstream])[0].ids.contains(&"tail_downstream"));
        assert_eq!(right("sequential_calls", &[Downstream])[0].ids, ["many_calls"]);
    }
}
