//! The pages that explain the findings, one for each id, as they stand in `docs/findings/`.
//!
//! In: the pages, at build time. Out: a page by its id. A test compares them with the table of rules, and their examples with what the rules and the words make of a
//! planted cause. To write the examples and the list anew: `UPDATE=1 cargo test -p acgs-perf output::pages`.

macro_rules! pages {
    ($($id:literal)*) => {
        &[$(($id, include_str!(concat!("../../../docs/findings/", $id, ".md")))),*]
    };
}

/// Id and page.
pub const PAGES: &[(&str, &str)] = pages! {
    "tail_accept_backlog"
    "tail_queue"
    "tail_cpu"
    "tail_run_queue"
    "tail_cpu_quota"
    "tail_lock"
    "tail_disk"
    "tail_downstream"
    "tail_request_body"
    "tail_idle"
    "tail_sleep"
    "tail_fault"
    "tail_other"
    "tail_event_loop"
    "tail_pool"
    "tail_connection_wait"
    "tail_unknown"
    "tail_reply"
    "tail_nagle"
    "tail_slow_client"
    "tail_network"
    "requests_unread"
    "requests_unanswered"
    "replies_undelivered"
    "requests_abandoned"
    "requests_cut_off"
    "connections_refused"
    "cpu_quota"
    "cpu_saturated"
    "noisy_neighbour"
    "own_threads"
    "idle_cpus"
    "fsync_bound"
    "disk_saturated"
    "major_faults"
    "memory_pressure"
    "many_calls"
    "sequential_calls"
    "repeated_reads"
    "calls_itself"
    "connection_churn"
    "clients_reconnect"
    "retransmissions"
    "replies_wait_for_ack"
    "slow_endpoint"
    "slow_worker"
    "slow_fork"
    "requests_fail"
    "errors_hide_latency"
    "work_for_nobody"
    "queue_time_dominates"
    "objective_missed"
    "endpoint_objective_missed"
    "not_tested"
    "too_few_requests"
    "nothing_answered"
    "context_switches"
    "udp_not_measured"
    "attribution_not_conserved"
    "counts_disagree"
    "overhead_limited"
    "measurement_incomplete"
};

/// The page of a finding.
#[must_use]
pub fn page(id: &str) -> Option<&'static str> {
    PAGES.iter().find(|(known, _)| *known == id).map(|(_, page)| *page)
}

/// What a page says in one line.
#[must_use]
pub fn summary(page: &str) -> &str {
    page.lines().nth(2).unwrap_or_default()
}

#[cfg(test)]
mod tests;
