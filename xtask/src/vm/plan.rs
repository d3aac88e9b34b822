//! What runs inside a machine, and the initial file system that brings it there.
//!
//! In: a kernel, the programs that were built. Out: the steps, and the cpio archive with them. Inside, programs lie as cargo
//! lays them out, so that the tests find the agent and the servers where they always do.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::cpio::Archive;
use super::kernels::{Expected, Kernel};
use super::programs::{AGENT, INIT, Programs};

/// Where programs are inside; `vm-init` has it too.
pub const INSIDE: &str = "acgs-perf/release";
/// The step that asks the agent which hooks it uses, and what loading its programs took.
pub const DOCTOR: &str = "doctor";
/// The tests that need a working agent, shortest first, and those of each that cannot run inside, with the reason.
const RING: &[(&str, &[(&str, &str)])] = &[
    ("live_kernel", &[("an_fsync_is_disk", "there is no disk")]),
    ("socket_calls", &[]),
    (
        "strangers",
        &[
            ("in_a_pid_namespace", "there is no unshare"),
            ("who_dies_while_the_agent_looks", "there is no sleep, and no storm in emulation"),
        ],
    ),
    ("bad_input", &[]),
    ("scale", &[]),
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

/// One command that runs inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its name in the output.
    pub name: String,
    seconds: u32,
    program: String,
    arguments: Vec<String>,
}

impl Step {
    /// Whether it runs this program of cargo's.
    fn runs(&self, test: &str) -> bool {
        self.program.ends_with(&format!("/deps/{test}"))
    }

    /// A program with its arguments, and how long it may take in the machine's own time.
    pub fn new(name: &str, seconds: u32, program: &str, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Self { name: name.to_owned(), seconds, program: program.to_owned(), arguments }
    }

    /// Whether it is a test, of which at least one must have run.
    pub fn is_test(&self) -> bool {
        self.name != DOCTOR
    }

    fn line(&self) -> String {
        let words = [self.name.clone(), self.seconds.to_string(), self.program.clone()];
        words.into_iter().chain(self.arguments.iter().cloned()).collect::<Vec<_>>().join("\t") + "\n"
    }
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
        Step::new(&title, 480, &format!("/{INSIDE}/deps/{name}"), &arguments)
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

/// The archive that the kernel unpacks.
pub fn initial_files(programs: &Programs, steps: &[Step]) -> Result<Vec<u8>> {
    let mut archive = Archive::new();
    for directory in ["proc", "sys", "tmp", "run", "acgs-perf", INSIDE, "acgs-perf/release/deps"] {
        archive.directory(directory);
    }
    for (name, path) in &programs.binaries {
        let place = if name == INIT { "init".to_owned() } else { format!("{INSIDE}/{name}") };
        archive.file(&place, &read(path)?);
    }
    for (name, path) in programs.tests.iter().filter(|(name, _)| steps.iter().any(|step| step.runs(name))) {
        archive.file(&format!("{INSIDE}/deps/{name}"), &read(path)?);
    }
    archive.file("plan", steps.iter().map(Step::line).collect::<String>().as_bytes());
    Ok(archive.finish())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::kernels::KERNELS;
    use super::*;

    #[test]
    fn every_kernel_runs_a_test_and_asks_the_doctor_last() {
        for (kernel, length) in KERNELS.iter().flat_map(|kernel| [(kernel, Length::Whole), (kernel, Length::Short)]) {
            let steps = steps(kernel, &length);
            assert!(steps.iter().any(Step::is_test), "{}", kernel.name);
            assert_eq!(steps.last().map(|step| step.name.as_str()), Some(DOCTOR));
            assert!(
                steps
                    .iter()
                    .filter(|step| step.is_test())
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

    #[test]
    fn a_line_of_the_plan_is_what_the_init_reads() {
        let step = Step::new("scale", 30, "/x/scale", &["--skip", "a"]);
        assert_eq!(step.line(), "scale\t30\t/x/scale\t--skip\ta\n");
    }
}
