//! The floor of the approach: empty programs on exactly the hooks that the always-on agent attaches.
//!
//! In: nothing. Out: the hooks. The programs are loaded by `cost-floor` of the tests.

/// The hooks of the probes request, sched, attribution and tcp, and those that keep the service table.
pub const HOOKS: &[&str] = &[
    "sk_data_ready",
    "sock_recv_length",
    "sock_send_length",
    "sched_waking",
    "sched_switch",
    "sched_process_fork",
    "sched_process_exit",
    "sched_process_exec",
    "inet_sock_set_state",
    "tcp_retransmit_skb",
    "tcp_receive_reset",
    "tcp_send_reset",
];

/// The hooks that a report of the always-on arm names and the floor has not, or the other way round: the floor would then
/// not be the floor. The hooks that are always attached stand in no report.
pub fn differences(report: &serde_json::Value) -> Vec<String> {
    const ALWAYS: [&str; 4] = ["sched_process_fork", "sched_process_exit", "sched_process_exec", "inet_sock_set_state"];
    let probes = report["probes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let active = probes.iter().filter(|probe| probe["state"] == "active");
    let hooks = active.flat_map(|probe| probe["hooks"].as_array().map(Vec::as_slice).unwrap_or_default());
    let named: Vec<&str> = hooks.filter_map(|hook| hook.as_str()?.rsplit('/').next()).chain(ALWAYS).collect();
    let extra = named.iter().filter(|hook| !HOOKS.contains(hook)).map(|hook| format!("{hook} only in always-on"));
    let absent = HOOKS.iter().filter(|hook| !named.contains(hook)).map(|hook| format!("{hook} only in the floor"));
    extra.chain(absent).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_more_or_less_is_seen() {
        let hooks = |names: &[&str]| names.iter().map(|name| format!("tp_btf/{name}")).collect::<Vec<_>>();
        let report = serde_json::json!({ "probes": [
            { "state": "active", "hooks": hooks(&["sk_data_ready", "sock_recv_length", "sock_send_length"]) },
            { "state": "active", "hooks": hooks(&["sched_switch", "sched_wakeup"]) },
            { "state": "active", "hooks": hooks(&["tcp_retransmit_skb", "tcp_receive_reset", "tcp_send_reset"]) },
            { "state": "disabled", "hooks": hooks(&["sys_enter"]) },
        ]});
        assert_eq!(differences(&report), ["sched_wakeup only in always-on", "sched_waking only in the floor"]);
    }
}
