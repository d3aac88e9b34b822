//! What runs inside the machine: the arms, and the step that runs them.
//!
//! In: nothing. Out: the step and the programs it needs.

use acgs_perf_vm::initial::{INSIDE, Step};
use acgs_perf_vm::programs::{AGENT, INIT};

use crate::cost::arms::{AGAIN, ALL, ALL_PROBES, ALWAYS_ON, ALWAYS_ON_PROBES, BARE, FLOOR};
use crate::cost::floor::HOOKS;

/// Name of the step.
pub const STEP: &str = "instructions";
const PROGRAM: &str = "cost-instructions";
/// What the image has, and nothing else, so that it changes only when one of these does.
pub const PROGRAMS: &[&str] = &[INIT, AGENT, PROGRAM, "cost-floor"];
/// The floor with the hooks of `syscalls`.
pub const FLOOR_CALLS: &str = "floor, syscalls";
/// What is always on, and requests have names.
const NAMED: &str = "with endpoints";
/// What `record` does unless told otherwise: the load does no I/O and its processes live on, so that a request costs what it does
/// without these probes.
const DEFAULT: &str = "default";
/// Rounds of each kind, of which the cheapest counts.
const ROUNDS: &str = "4";
/// Limit by the machine's clock, which says nothing about how long that takes.
const SECONDS: u32 = 3600;

/// The arms with what each attaches, as `cost-instructions` reads it.
fn arms() -> Vec<(&'static str, String)> {
    let floor = format!("floor:{}", HOOKS.join(","));
    vec![
        (BARE, String::new()),
        (FLOOR, floor.clone()),
        (FLOOR_CALLS, format!("{floor},sys_enter,sys_exit")),
        ("request", "agent:request".to_owned()),
        ("request, sched", "agent:request,sched".to_owned()),
        (ALWAYS_ON, format!("agent:{ALWAYS_ON_PROBES}")),
        (NAMED, format!("agent:{ALWAYS_ON_PROBES},endpoints")),
        (ALL, format!("agent:{ALL_PROBES}")),
        (DEFAULT, format!("agent:{ALL_PROBES},block_io,memory,endpoints")),
        (AGAIN, String::new()),
    ]
}

/// The only step.
pub fn step() -> Step {
    let programs = format!("/{INSIDE}");
    let arms: Vec<String> = arms().into_iter().map(|(name, what)| format!("{name}={what}")).collect();
    let mut arguments = vec!["run", "--rounds", ROUNDS, "--programs", &programs];
    arguments.extend(arms.iter().map(String::as_str));
    Step::new(STEP, SECONDS, &format!("{programs}/{PROGRAM}"), &arguments)
}

/// One line on each arm.
pub fn describe() -> Vec<String> {
    let line = |(name, what): (&str, String)| match what.split_once(':') {
        None => format!("**{name}**: nothing attached"),
        Some(("agent", probes)) => format!("**{name}**: `acgs-perf record --probes {probes}`"),
        Some((_, hooks)) => {
            format!("**{name}**: a program that returns at once on each of {}", hooks.replace(',', ", "))
        }
    };
    arms().into_iter().map(line).collect()
}
