//! The probes: sets of hooks that one can switch. To add a probe, add a line here, its hooks in `hooks`, a hook file in the
//! kernel crate and a section in `snapshot`.

use super::btf::Btf;
use super::hooks::{self, Hook, Program};
use crate::capture;

/// A probe and the hooks it attaches to.
#[derive(Debug)]
pub struct Probe {
    /// Name on the command line and in the report.
    pub name: &'static str,
    /// What it measures, for `--help` and `doctor`.
    pub purpose: &'static str,
    /// Its own hooks, in the order in which they are attached.
    pub hooks: &'static [Hook],
    /// Probes without which it has nothing to work on.
    pub needs: &'static [&'static str],
    /// Whether `record` has it on unless told otherwise.
    pub default: bool,
}

/// All probes.
pub const PROBES: &[Probe] = &[
    Probe {
        name: "sched",
        purpose: "thread states, run-queue latency, blocked time per class, who ran instead",
        hooks: hooks::SCHED,
        needs: &[],
        default: true,
    },
    Probe {
        name: "syscalls",
        purpose: "count, errors and latency per system call; accept wait",
        hooks: hooks::SYSCALLS,
        needs: &[],
        default: true,
    },
    Probe {
        name: "tcp",
        purpose: "connections, connect latency, round-trip time, retransmissions, resets",
        hooks: hooks::TCP,
        needs: &[],
        default: true,
    },
    Probe {
        name: "request",
        purpose: "latency, queue time and service time of requests on TCP and UNIX stream sockets",
        hooks: hooks::REQUEST,
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

/// A probe on this kernel.
#[derive(Clone, Debug)]
pub struct Choice {
    /// Its state, for the report.
    pub probe: capture::Probe,
    /// Its programs, if it is active.
    pub programs: Vec<Program>,
}

impl Choice {
    /// Whether it is to be used.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.probe.state == "active"
    }

    /// It cannot run.
    pub fn fail(&mut self, state: &str, reason: String) {
        state.clone_into(&mut self.probe.state);
        self.probe.reason = Some(reason);
        self.programs.clear();
    }
}

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

/// What this kernel can do for each probe, given the names the user chose; with a `standby` for each program that needs one.
#[must_use]
pub fn choose(btf: &Btf, chosen: &[&Probe], standby: bool) -> Vec<Choice> {
    let mut choices: Vec<Choice> = PROBES
        .iter()
        .map(|probe| {
            let wanted = chosen.iter().any(|c| c.name == probe.name);
            let programs = hooks::choose(btf, probe.hooks, standby);
            let (state, reason) = match &programs {
                _ if !wanted => ("disabled", Some("not among --probes".to_owned())),
                Ok(_) => ("active", None),
                Err(reason) => ("unsupported", Some(reason.clone())),
            };
            let programs = programs.unwrap_or_default();
            Choice {
                probe: capture::Probe {
                    name: probe.name.to_owned(),
                    state: state.to_owned(),
                    reason,
                    stopped_after: None,
                    hooks: programs.iter().filter(|program| !program.is_standby()).map(Program::hook).collect(),
                },
                programs: if state == "active" { programs } else { Vec::new() },
            }
        })
        .collect();
    settle(&mut choices);
    choices
}

/// Probes that lack another one on which they stand are disabled.
pub fn settle(choices: &mut [Choice]) {
    let active: Vec<String> = choices.iter().filter(|c| c.is_active()).map(|c| c.probe.name.clone()).collect();
    for (choice, probe) in choices.iter_mut().zip(PROBES).filter(|(choice, _)| choice.is_active()) {
        let absent: Vec<_> = probe.needs.iter().filter(|name| !active.iter().any(|a| a == *name)).copied().collect();
        if !absent.is_empty() {
            choice.fail("disabled", format!("needs the probe {}", absent.join(" and the probe ")));
        }
    }
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
