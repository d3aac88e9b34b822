//! What of the live-kernel ring runs on another kernel.
//!
//! In: a kernel, and how much of the ring. Out: the tests to be built, the steps to run, and what is left out, with the reason.

use acgs_perf_vm::initial::{INSIDE, Step};
use acgs_perf_vm::kernels::{Expected, Kernel};
use acgs_perf_vm::programs::AGENT;

/// The step that asks the agent which hooks it uses, and what loading its programs took.
pub const DOCTOR: &str = "doctor";
/// The tests that need a working agent, shortest first, and those of each that cannot run inside, with the reason.
const RING: &[(&str, &[(&str, &str)])] = &[
    ("live_kernel", &[("an_fsync_is_disk", "there is no disk")]),
    ("socket_calls", &[]),
    ("fates", &[("ten_thousand_idle_connections", "not in emulation")]),
    ("delivery", &[]),
    ("memory", &[]),
    ("listening", &[("mptcp_over_two_paths", "there is no ip")]),
    (
        "strangers",
        &[
            ("in_a_pid_namespace", "there is no unshare"),
            ("who_dies_while_the_agent_looks", "there is no sleep, and no storm in emulation"),
        ],
    ),
    (
        "capture",
        &[
            ("of_a_capture_that_ends_early", "the same on every kernel"),
            ("a_place_where_nothing_can_be_written", "the same on every kernel"),
        ],
    ),
    ("timers", &[]),
    ("quota", &[("without_a_quota", "the same on every kernel, and long in emulation")]),
    ("bad_input", &[]),
    ("scale", &[]),
    ("stress", &[]),
    (
        "hostile",
        &[
            ("a_service_that_is_killed", "the same on every kernel, and long in emulation"),
            ("a_thousand_processes_a_second", "not in emulation"),
        ],
    ),
];
/// Those of a short run: what tells most about a kernel, hooks and verifier, in the shortest time.
const SHORT: &[&str] = &["socket_calls"];
/// The test of what an old kernel is told.
const REFUSAL: &str = "old_kernel";

/// How much of the ring runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Length {
    /// All of it.
    Whole,
    /// What every change has to pass.
    Short,
    /// Tests whose name has this in it (`None`: all), so many times in one machine: for what is rare.
    Part(Option<String>, u32),
}

impl Length {
    /// As the command line says it.
    pub fn of(only: Option<String>, times: u32) -> Self {
        if only.is_none() && times == 1 { Self::Whole } else { Self::Part(only, times.max(1)) }
    }

    /// How often each test runs.
    pub fn times(&self) -> u32 {
        if let Self::Part(_, times) = self { *times } else { 1 }
    }
}

/// Whether a step is a test, of which at least one must have run.
pub fn is_test(step: &Step) -> bool {
    step.name != DOCTOR
}

/// Every test that the matrix needs, to be built.
pub fn tests(length: &Length) -> Vec<&'static str> {
    match length {
        Length::Whole | Length::Part(..) => RING.iter().map(|(name, _)| *name).chain([REFUSAL]).collect(),
        Length::Short => SHORT.to_vec(),
    }
}

/// The tests that run nowhere else.
pub fn own_tests() -> Vec<&'static str> {
    vec![REFUSAL]
}

/// What runs on this kernel.
pub fn steps(kernel: &Kernel, length: &Length) -> Vec<Step> {
    let test = |name: &str, without: &[(&str, &str)], round: u32| {
        let mut arguments = vec!["--test-threads=1", "--color=never"];
        arguments.extend(without.iter().flat_map(|(name, _)| ["--skip", name]));
        if let Length::Part(only, _) = length {
            arguments.push("--nocapture");
            arguments.extend(only.as_deref());
        }
        let title = if length.times() == 1 { name.to_owned() } else { format!("{name}.{round}") };
        Step::new(&title, 1200, &format!("/{INSIDE}/deps/{name}"), &arguments)
    };
    let mut steps = match kernel.expected {
        Expected::Everything => {
            let ring = RING.iter().filter(|(name, _)| *length != Length::Short || SHORT.contains(name));
            let rounds = (1..=length.times()).flat_map(|round| ring.clone().map(move |test| (test, round)));
            rounds.map(|((name, without), round)| test(name, without, round)).collect()
        }
        Expected::Refusal => vec![test(REFUSAL, &[], 1)],
    };
    let mut arguments = vec!["doctor", "--format", "json"];
    if kernel.expected == Expected::Everything {
        arguments.push("--load");
    }
    steps.push(Step::new(DOCTOR, 240, &format!("/{INSIDE}/{AGENT}"), &arguments));
    steps
}

/// Tests that are left out inside, with the reason, for the output.
pub fn left_out(kernel: &Kernel) -> Vec<String> {
    if kernel.expected == Expected::Refusal {
        return vec!["every test but old_kernel: nothing can be recorded on a kernel that old".into()];
    }
    RING.iter().flat_map(|(_, without)| *without).map(|(name, why)| format!("{name}: {why}")).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use acgs_perf_vm::kernels::KERNELS;

    use super::*;

    #[test]
    fn every_kernel_runs_a_test_and_asks_the_doctor_last() {
        for (kernel, length) in KERNELS.iter().flat_map(|kernel| [(kernel, Length::Whole), (kernel, Length::Short)]) {
            let steps = steps(kernel, &length);
            assert!(steps.iter().any(is_test), "{}", kernel.name);
            assert_eq!(steps.last().map(|step| step.name.as_str()), Some(DOCTOR));
            assert!(
                steps
                    .iter()
                    .filter(|step| is_test(step))
                    .all(|step| tests(&Length::Whole).contains(&step.name.as_str()))
            );
        }
    }

    #[test]
    fn a_part_runs_the_tests_of_a_name_so_many_times_and_each_round_has_its_own_title() {
        let kernel = KERNELS.iter().find(|kernel| kernel.expected == Expected::Everything).unwrap();
        let length = Length::of(Some("a_thousand".into()), 3);
        let steps = steps(kernel, &length);
        let titles: BTreeSet<&str> = steps.iter().map(|step| step.name.as_str()).collect();
        assert_eq!(titles.len(), 3 * RING.len() + 1);
        assert!(titles.contains("scale.3") && steps.iter().any(|step| step.runs("scale")));
        assert!(steps[0].line().ends_with("\ta_thousand\n"));
        assert_eq!(Length::of(None, 1), Length::Whole);
    }
}
