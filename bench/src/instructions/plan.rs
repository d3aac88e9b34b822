//! What runs inside the machine: the arms, and the step that runs them.
//!
//! In: nothing. Out: the step and the programs it needs.

use acgs_perf_vm::initial::{INSIDE, Step};
use acgs_perf_vm::programs::{AGENT, INIT};

use crate::cost::arms::{AGAIN, ALL, ALL_PROBES, ALWAYS_ON, ALWAYS_ON_PROBES, BARE, FLOOR};
use crate::cost::floor::HOOKS;

/// Name of the step.
const STEP: &str = "instructions";
pub const PROGRAM: &str = "cost-instructions";
/// What the image has, and nothing else, so that it changes only when one of these does.
pub const PROGRAMS: &[&str] = &[INIT, AGENT, PROGRAM, "cost-floor"];
/// The floor with the hooks of `syscalls`.
pub const FLOOR_CALLS: &str = "floor, syscalls";
/// Programs that read the clock and what is known of socket and thread.
pub const INFORMED: &str = "informed floor";
/// What is always on, and requests have names.
pub const NAMED: &str = "with endpoints";
/// What `record` does unless told otherwise: the load does no I/O and its processes live on, so that a request costs what it does
/// without these probes.
pub const DEFAULT: &str = "default";
/// Its probes.
pub const DEFAULT_PROBES: &str = "request,sched,attribution,tcp,syscalls,block_io,memory,endpoints";
/// Rounds of each kind, of which the cheapest counts.
const ROUNDS: &str = "4";
/// Limit by the machine's clock, which says nothing about how long that takes.
pub const SECONDS: u32 = 3600;

/// The arms with what each attaches, as `cost-instructions` reads it.
fn arms() -> Vec<(&'static str, String)> {
    let floor = format!("floor:{}", HOOKS.join(","));
    vec![
        (BARE, String::new()),
        (FLOOR, floor.clone()),
        (FLOOR_CALLS, format!("{floor},sys_enter,sys_exit")),
        (INFORMED, format!("informed:{}", HOOKS.join(","))),
        ("request", "agent:request".to_owned()),
        ("request, sched", "agent:request,sched".to_owned()),
        (ALWAYS_ON, format!("agent:{ALWAYS_ON_PROBES}")),
        (NAMED, format!("agent:{ALWAYS_ON_PROBES},endpoints")),
        (ALL, format!("agent:{ALL_PROBES}")),
        (DEFAULT, format!("agent:{DEFAULT_PROBES}")),
        (AGAIN, String::new()),
    ]
}

/// The only step.
pub fn step() -> Step {
    let arms: Vec<String> = arms().into_iter().map(|(name, what)| format!("{name}={what}")).collect();
    run(STEP, &[], &arms)
}

/// A step that runs these arms.
pub fn run(name: &str, options: &[&str], arms: &[String]) -> Step {
    let programs = format!("/{INSIDE}");
    let mut arguments = vec!["run", "--rounds", ROUNDS, "--programs", &programs];
    arguments.extend(options);
    arguments.extend(arms.iter().map(String::as_str));
    Step::new(name, SECONDS, &format!("{programs}/{PROGRAM}"), &arguments)
}

/// One line on each arm.
pub fn describe() -> Vec<String> {
    let line = |(name, what): (&str, String)| match what.split_once(':') {
        None => format!("**{name}**: nothing attached"),
        Some(("agent", probes)) => format!("**{name}**: `acgs-perf record --probes {probes}`"),
        Some(("informed", _)) => format!(
            "**{name}**: on the same hooks a program that reads the clock and what is kept of the socket and of the thread, everybody's, \
             and returns: no clock of requests can be cheaper"
        ),
        Some((_, hooks)) => {
            format!("**{name}**: a program that returns at once on each of {}", hooks.replace(',', ", "))
        }
    };
    arms().into_iter().map(line).collect()
}
