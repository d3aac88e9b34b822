//! The probes: sets of hooks that one can switch. To add a probe, add a line here, a hook file in the kernel crate and a
//! section in `snapshot`.

use super::btf::Btf;
use crate::capture;

/// A probe and the tracepoints it attaches to; each has a program of the same name.
#[derive(Debug)]
pub struct Probe {
    /// Name on the command line and in the report.
    pub name: &'static str,
    /// What it measures, for `--help` and `doctor`.
    pub purpose: &'static str,
    /// Its own tracepoints, in the order in which they are attached.
    pub hooks: &'static [&'static str],
    /// Probes without which it has nothing to work on.
    pub needs: &'static [&'static str],
    /// Whether `record` has it on unless told otherwise.
    pub default: bool,
}

/// Hooks that keep the service table right; always attached, and before all others.
pub const PROCESS_HOOKS: &[&str] =
    &["sched_process_fork", "sched_process_exit", "sched_process_exec", "inet_sock_set_state"];

/// All probes. In `request` the hook that starts clocks comes last: what is in flight at attach is never half counted.
pub const PROBES: &[Probe] = &[
    Probe {
        name: "sched",
        purpose: "thread states, run-queue latency, blocked time per class, who ran instead",
        hooks: &["sched_waking", "sched_switch"],
        needs: &[],
        default: true,
    },
    Probe {
        name: "syscalls",
        purpose: "count, errors and latency per system call; accept wait",
        hooks: &["sys_enter", "sys_exit"],
        needs: &[],
        default: true,
    },
    Probe {
        name: "tcp",
        purpose: "connections, connect latency, round-trip time, retransmissions, resets",
        hooks: &["tcp_retransmit_skb", "tcp_receive_reset", "tcp_send_reset"],
        needs: &[],
        default: true,
    },
    Probe {
        name: "request",
        purpose: "latency, queue time and service time of requests on TCP and UNIX stream sockets",
        hooks: &["sock_send_length", "sock_recv_length", "sk_data_ready"],
        needs: &[],
        default: true,
    },
    Probe {
        name: "attribution",
        purpose: "where the time of each request went, downstream calls, the slowest requests one by one",
        hooks: &[],
        needs: &["request", "sched"],
        default: true,
    },
];

/// Parses `--probes`: a comma-separated list.
///
/// # Errors
/// Says which name is unknown and which there are.
pub fn parse(list: &str) -> Result<Vec<&'static Probe>, String> {
    let mut chosen: Vec<&Probe> = Vec::new();
    for name in list.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let probe = PROBES.iter().find(|probe| probe.name == name).ok_or_else(|| {
            let names: Vec<_> = PROBES.iter().map(|probe| probe.name).collect();
            format!("unknown probe \"{name}\"; use a comma-separated list of {}", names.join(", "))
        })?;
        if !chosen.iter().any(|known| known.name == probe.name) {
            chosen.push(probe);
        }
    }
    if chosen.is_empty() {
        return Err("no probe named; leave the option out for all probes".to_owned());
    }
    Ok(chosen)
}

/// What this kernel can do for each probe, given the names the user chose.
#[must_use]
pub fn states(btf: &Btf, chosen: &[&Probe]) -> Vec<capture::Probe> {
    let mut states: Vec<capture::Probe> = PROBES
        .iter()
        .map(|probe| {
            let missing: Vec<_> =
                probe.hooks.iter().filter(|hook| btf.tracepoint_arguments(hook).is_none()).copied().collect();
            let (state, reason) = if !chosen.iter().any(|c| c.name == probe.name) {
                ("disabled", Some("not among --probes".to_owned()))
            } else if missing.is_empty() {
                ("active", None)
            } else {
                ("unsupported", Some(format!("this kernel has no tracepoint {}", missing.join(", "))))
            };
            capture::Probe {
                name: probe.name.to_owned(),
                state: state.to_owned(),
                reason,
                stopped_after: None,
                hooks: probe.hooks.iter().map(|hook| format!("tp_btf/{hook}")).collect(),
            }
        })
        .collect();
    let active: Vec<String> = states.iter().filter(|p| p.state == "active").map(|p| p.name.clone()).collect();
    for (state, probe) in states.iter_mut().zip(PROBES).filter(|(state, _)| state.state == "active") {
        let absent: Vec<_> = probe.needs.iter().filter(|name| !active.iter().any(|a| a == *name)).copied().collect();
        if !absent.is_empty() {
            state.state = "disabled".to_owned();
            state.reason = Some(format!("needs the probe {}", absent.join(" and the probe ")));
        }
    }
    states
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_parsed_without_duplicates() {
        let names: Vec<_> = parse("tcp, request,tcp").expect("valid").iter().map(|p| p.name).collect();
        assert_eq!(names, ["tcp", "request"]);
    }

    #[test]
    fn an_unknown_name_is_an_error_that_lists_the_names() {
        let error = parse("request,scheduler").expect_err("unknown");
        assert!(error.contains("\"scheduler\"") && error.contains("syscalls"), "{error}");
        assert!(parse(" , ").is_err());
    }
}
