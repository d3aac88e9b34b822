//! The arms of the bench: one line each.
//!
//! In: nothing. Out: what is attached in each arm, how one knows that it has begun and that it has measured something.
//! A probe that comes later joins by a line here.

use anyhow::{Result, bail};

use super::rivals::{self, Target};

/// What is attached.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Nobody.
    Bare,
    /// Empty programs on the hooks of the always-on probes.
    Floor,
    /// The agent, with these probes.
    Agent(&'static str),
    /// Another tool.
    Rival(fn(&Target) -> rivals::Tool),
}

/// One arm.
#[derive(Debug)]
pub struct Arm {
    /// Name in tables and on the command line.
    pub name: &'static str,
    /// What is attached.
    pub kind: Kind,
    /// Whether it runs in each round, or only in each Nth.
    pub core: bool,
}

/// What the others are compared with.
pub const BARE: &str = "bare";
/// The same once more: what the machine's noise makes of nothing.
pub const AGAIN: &str = "bare again";
/// Empty programs.
pub const FLOOR: &str = "floor";
/// What runs day and night.
pub const ALWAYS_ON: &str = "always-on";
/// What sees each system call.
pub const ALL: &str = "with syscalls";
/// Rivals that answer the questions of `always-on`, of `with syscalls`, and the one that all know.
pub const BPFTRACE_ALWAYS: &str = "bpftrace requests + run queue";
/// All three one-liners in one program.
pub const BPFTRACE_ALL: &str = "bpftrace all three";
/// The oldest of all.
pub const STRACE: &str = "strace -c -f";

/// Probes of the always-on agent.
pub const ALWAYS_ON_PROBES: &str = "request,sched,attribution,tcp";
/// All probes that a request has to do with.
pub const ALL_PROBES: &str = "request,sched,attribution,tcp,syscalls";

const fn core(name: &'static str, kind: Kind) -> Arm {
    Arm { name, kind, core: true }
}

const fn arm(name: &'static str, kind: Kind) -> Arm {
    Arm { name, kind, core: false }
}

/// All arms, in the order of the tables.
pub const ARMS: &[Arm] = &[
    core(BARE, Kind::Bare),
    core(AGAIN, Kind::Bare),
    core(FLOOR, Kind::Floor),
    core(ALWAYS_ON, Kind::Agent(ALWAYS_ON_PROBES)),
    core(ALL, Kind::Agent(ALL_PROBES)),
    arm("request", Kind::Agent("request")),
    arm("request, sched", Kind::Agent("request,sched")),
    arm("request, sched, attribution", Kind::Agent("request,sched,attribution")),
    arm("tcp", Kind::Agent("tcp")),
    arm("syscalls", Kind::Agent("syscalls")),
    arm("bpftrace requests", Kind::Rival(rivals::requests)),
    arm("bpftrace run queue", Kind::Rival(rivals::run_queue)),
    arm(BPFTRACE_ALWAYS, Kind::Rival(rivals::requests_and_run_queue)),
    arm("bpftrace syscalls", Kind::Rival(rivals::syscalls)),
    arm(BPFTRACE_ALL, Kind::Rival(rivals::all_three)),
    arm("libbpf-tools runqlat", Kind::Rival(rivals::runqlat)),
    arm("libbpf-tools syscount", Kind::Rival(rivals::syscount)),
    arm("libbpf-tools offcputime", Kind::Rival(rivals::offcputime)),
    arm("perf trace -s", Kind::Rival(rivals::perf_trace)),
    arm(STRACE, Kind::Rival(rivals::strace)),
];

/// The arm of this name.
pub fn find(name: &str) -> Option<&'static Arm> {
    ARMS.iter().find(|arm| arm.name == name)
}

/// The arms that were asked for; the bare ones always belong to them. `;` parts names, which have commas in them.
pub fn choose(list: Option<&str>) -> Result<Vec<&'static Arm>> {
    let Some(list) = list else { return Ok(ARMS.iter().collect()) };
    let names: Vec<&str> = list.split(';').map(str::trim).filter(|name| !name.is_empty()).collect();
    if let Some(unknown) = names.iter().find(|name| find(name).is_none()) {
        let known: Vec<&str> = ARMS.iter().map(|arm| arm.name).collect();
        bail!("unknown arm \"{unknown}\"; use a list of these, parted by \";\": {}", known.join("; "));
    }
    Ok(ARMS.iter().filter(|arm| matches!(arm.kind, Kind::Bare) || names.contains(&arm.name)).collect())
}

/// Whether an arm runs in this round: those that are not of the core take turns, so that rounds are of equal length.
pub fn is_due(arm: &Arm, round: usize, every: usize) -> bool {
    let place = ARMS.iter().position(|other| other.name == arm.name).unwrap_or(0);
    arm.core || (place + round).is_multiple_of(every.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_arms_are_always_chosen() {
        let names: Vec<&str> = choose(Some("floor; request, sched")).unwrap().iter().map(|arm| arm.name).collect();
        assert_eq!(names, [BARE, AGAIN, FLOOR, "request, sched"]);
        assert!(choose(Some("dtrace")).unwrap_err().to_string().contains("bpftrace syscalls"));
    }

    #[test]
    fn the_others_take_turns() {
        for arm in ARMS {
            let rounds = (1..=9).filter(|round| is_due(arm, *round, 3)).count();
            assert_eq!(rounds, if arm.core { 9 } else { 3 }, "{}", arm.name);
        }
    }

    #[test]
    fn names_are_their_own() {
        for (at, arm) in ARMS.iter().enumerate() {
            assert!(ARMS[..at].iter().all(|other| other.name != arm.name), "{}", arm.name);
        }
    }
}
