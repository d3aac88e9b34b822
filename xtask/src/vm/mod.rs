//! `test --vm`: the live-kernel ring on other kernels, each in a virtual machine of its own.
//!
//! In: names of kernels (none: all). Out: each machine's output, a line per kernel with what passed and how long it took,
//! `docs/kernels.md` and `docs/verifier.tsv`. Fails when a machine did not say that it was done, when a test failed or none ran,
//! when the kernel found a fault in itself, or when a program costs the verifier more than its budget.

mod budget;
mod captures;
mod doctor;
pub mod live;
mod plan;
mod table;

use std::collections::VecDeque;
use std::fs;
use std::num::NonZero;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use acgs_perf_setup as setup;
use acgs_perf_setup::process::root;
use acgs_perf_vm::console::Console;
use acgs_perf_vm::directory;
use acgs_perf_vm::image::{self, Image};
use acgs_perf_vm::initial::{self, Step};
use acgs_perf_vm::kernels::{self, Expected, Kernel};
use acgs_perf_vm::programs::{self, Programs};
use acgs_perf_vm::qemu::{Acceleration, Ended};
use anyhow::{Context, Result, bail};

use crate::test_output::summary;
use budget::Budget;
use doctor::Diagnosis;
pub use plan::own_tests;
use plan::{DOCTOR, Length, is_test};
use table::Row;

/// What a machine came to.
struct Run {
    row: Row,
    programs: Vec<doctor::Program>,
    seconds: u64,
    /// What the step printed that records a capture.
    capture: Vec<String>,
    faults: Vec<String>,
}

/// The kernel of the short run: the oldest that can be profiled, whose hooks are the other ones.
const SHORT: &str = "6.1";

/// Every test file that runs inside a machine.
pub fn tests() -> Vec<&'static str> {
    plan::tests(&Length::Whole)
}

/// The whole task; `only` tests with this in their name, so many `times`.
pub fn run(names: &[String], only: Option<String>, times: u32, accept: bool) -> Result<()> {
    if names.iter().any(|name| name == "list") {
        return list();
    }
    matrix(&kernels::chosen(names)?, &Length::of(only, times), accept).map(|_| ())
}

/// What every change has to pass; gives the number of tests that did.
pub fn short() -> Result<u64> {
    matrix(&kernels::chosen(&[SHORT.to_owned()])?, &Length::Short, false)
}

/// Fetches and builds what that needs.
pub fn build_short() -> Result<()> {
    let toolchain = setup::ensure_for_vm()?;
    let directory = directory()?;
    for kernel in kernels::chosen(&[SHORT.to_owned()])? {
        image::ensure(kernel, &directory)?;
    }
    programs::build(&toolchain, &plan::tests(&Length::Short)).map(drop)
}

fn matrix(chosen: &[&'static Kernel], length: &Length, accept: bool) -> Result<u64> {
    let toolchain = setup::ensure_for_vm()?;
    let directory = directory()?;
    let images: Vec<(&Kernel, Result<Image>)> =
        chosen.iter().map(|kernel| (*kernel, image::ensure(kernel, &directory))).collect();
    let programs = programs::build(&toolchain, &plan::tests(length))?;
    let first = images.iter().find_map(|(_, image)| image.as_ref().ok());
    let acceleration = first.map_or(Ok(Acceleration::Emulation), |image| {
        Acceleration::of_this_machine(&image.vmlinuz, &programs, &directory)
    })?;
    let results = machines(images, &programs, acceleration, length);
    let mut lines = Vec::new();
    let mut failed = Vec::new();
    let mut sum = 0;
    for (kernel, ran) in results {
        let mut ran = match ran {
            Ok(ran) => ran,
            Err(error) => {
                lines.push(format!("{:5} FAILED: {error:#}", kernel.name));
                failed.push(kernel.name);
                continue;
            }
        };
        ran.faults.extend(judge(&ran, length, accept)?);
        let (passed, tests) = ran.row.tests;
        sum += passed;
        let what =
            format!("{:5} {:45} {:4} s  {passed} of {tests} tests passed", kernel.name, ran.row.version, ran.seconds);
        if ran.faults.is_empty() {
            lines.push(what);
        } else {
            lines.push(format!("{what}  FAILED: {}", ran.faults.join("; ")));
            failed.push(kernel.name);
        }
    }
    println!("\n=== kernels, {} ===", acceleration.name());
    lines.iter().for_each(|line| println!("{line}"));
    if failed.is_empty() { Ok(sum) } else { bail!("failed kernels: {}", failed.join(", ")) }
}

/// Runs the machines, as many at a time as there are CPUs for them, and gives what each came to in the order of the matrix.
/// Alone, a machine's output is shown as it comes; together, each one's when it is done.
fn machines<'k>(
    images: Vec<(&'k Kernel, Result<Image>)>,
    programs: &Programs,
    acceleration: Acceleration,
    length: &Length,
) -> Vec<(&'k Kernel, Result<Run>)> {
    let cpus = thread::available_parallelism().map_or(1, NonZero::get);
    let jobs = (cpus / acceleration.cpus()).clamp(1, images.len().max(1));
    let waiting: Mutex<VecDeque<_>> = Mutex::new(images.into_iter().enumerate().collect());
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    // In a statement of its own, which the lock does not outlive.
                    let next = lock(&waiting).pop_front();
                    let Some((place, (kernel, image))) = next else { break };
                    let mut output = Output { held: (jobs > 1).then(String::new) };
                    output.line(&format!("\n=== kernel {} ===", kernel.name));
                    let ran =
                        image.and_then(|image| machine(kernel, &image, programs, acceleration, length, &mut output));
                    // Under the lock, so that the outputs of two machines do not mix.
                    let mut done = lock(&done);
                    output.show();
                    done.push((place, (kernel, ran)));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}

/// A lock that another thread's panic, which ends the task anyway, does not close.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lines for the terminal, shown at once or held back.
struct Output {
    held: Option<String>,
}

impl Output {
    fn line(&mut self, line: &str) {
        match &mut self.held {
            Some(held) => {
                held.push_str(line);
                held.push('\n');
            }
            None => println!("{line}"),
        }
    }

    fn show(&mut self) {
        print!("{}", self.held.take().unwrap_or_default());
    }
}

fn list() -> Result<()> {
    let directory = directory()?;
    for kernel in kernels::KERNELS {
        let cached = image::cached(kernel, &directory).map_or("not fetched yet".to_owned(), |image| image.package);
        println!("{:5} {:35} {:26} {cached}", kernel.name, kernel.pattern(), kernel.suites.join(", "));
    }
    println!(
        "A kernel that was fetched is kept in {}; remove its directory there for the newest.",
        directory.display()
    );
    Ok(())
}

/// Boots one kernel, passes its output through, and judges what it printed.
fn machine(
    kernel: &Kernel,
    image: &Image,
    programs: &Programs,
    acceleration: Acceleration,
    length: &Length,
    output: &mut Output,
) -> Result<Run> {
    let steps = plan::steps(kernel, length);
    output.line(&format!("{} by {}", image.package, acceleration.name()));
    for test in plan::left_out(kernel) {
        output.line(&format!("left out: {test}"));
    }
    let directory = directory()?;
    let initrd = directory.join(format!("{}.cpio", kernel.name));
    fs::write(&initrd, initial::files(programs, &steps)?).with_context(|| format!("write {}", initrd.display()))?;
    let start = Instant::now();
    let (mut console, mut log) = (Console::default(), String::new());
    let ended = acceleration.run(&image.vmlinuz, &initrd, length.times(), |line| {
        console.note(line);
        log.push_str(line);
        log.push('\n');
        // The doctor's JSON is for the table.
        if !Console::is_marker(line) && console.running() != Some(DOCTOR) {
            output.line(line);
        }
        console.release.is_some()
    })?;
    let seconds = start.elapsed().as_secs();
    let file = directory.join(format!("{}.log", kernel.name));
    fs::write(&file, log).with_context(|| format!("write {}", file.display()))?;
    fs::remove_file(&initrd).with_context(|| format!("remove {}", initrd.display()))?;

    let mut faults = faults(kernel, &steps, &console, ended, matches!(length, Length::Part(..)));
    let diagnosis = console.steps.get(DOCTOR).map(|step| Diagnosis::among(&step.lines));
    let diagnosis = diagnosis.unwrap_or(Ok(Diagnosis::default())).unwrap_or_else(|error| {
        faults.push(format!("{error:#}"));
        Diagnosis::default()
    });
    if !faults.is_empty() {
        faults.push(format!("console in {}", file.display()));
    }
    let package = image.package.split_once(' ').map_or("?", |(_, version)| version);
    let release = console.release.as_deref().unwrap_or("not booted");
    let row = Row {
        kernel: kernel.name.to_owned(),
        version: format!("{release} ({package})"),
        acceleration: acceleration.name().to_owned(),
        tests: tests_of(&console),
        probes: diagnosis.probes,
    };
    let capture = console.steps.get(captures::STEP).map(|step| step.lines.clone()).unwrap_or_default();
    Ok(Run { row, programs: diagnosis.programs, seconds, capture, faults })
}

/// Tests that passed and that failed, by these lines.
fn counts(lines: &[String]) -> (u64, u64) {
    let each = lines.iter().map(|line| summary(line));
    each.fold((0, 0), |(passed, failed), (more, wrong)| (passed + more, failed + wrong))
}

/// Tests of all steps that passed, and that ran.
fn tests_of(console: &Console) -> (u64, u64) {
    let steps = console.steps.values().map(|step| counts(&step.lines));
    steps.fold((0, 0), |(sum, ran), (passed, failed)| (sum + passed, ran + passed + failed))
}

/// What is wrong with a run; in a run of a `part`, not every program has a test of the name.
fn faults(kernel: &Kernel, steps: &[Step], console: &Console, ended: Ended, part: bool) -> Vec<String> {
    let mut faults = Vec::new();
    if !console.done {
        let place = match (console.running(), &console.release) {
            (Some(step), _) => format!("during {step}"),
            (None, Some(_)) => "between two steps".to_owned(),
            (None, None) => "before the first process ran".to_owned(),
        };
        faults.push(format!("the machine never said that it was done ({ended:?}, {place}): a panic or a hang"));
    }
    for step in steps {
        let Some(outcome) = console.steps.get(&step.name) else {
            faults.push(format!("{} did not run", step.name));
            continue;
        };
        let status = outcome.status.as_deref().unwrap_or("none");
        // The doctor's code 1 says that nothing can be recorded, which on an old kernel is the right answer.
        let right = match (is_test(step), kernel.expected) {
            (false, Expected::Refusal) => "1",
            _ => "0",
        };
        if status != right {
            faults.push(format!("{}: exit code {status}", step.name));
        } else if is_test(step) && counts(&outcome.lines).0 == 0 && !part {
            faults.push(format!("{} ran no test", step.name));
        }
    }
    if tests_of(console).0 == 0 {
        faults.push("no test passed".to_owned());
    }
    faults.extend(console.faults().into_iter().map(|fault| format!("the kernel reports {fault} of its own")));
    faults
}

/// Compares with the budget, and keeps what was found when the whole ring ran and was right; gives what is over budget.
fn judge(run: &Run, length: &Length, accept: bool) -> Result<Vec<String>> {
    let grown = read_budget()?.grown(&run.row.kernel, &run.programs);
    let over: Vec<String> = if accept { Vec::new() } else { grown.iter().map(accepting).collect() };
    if *length == Length::Whole && run.faults.is_empty() && over.is_empty() {
        keep(&run.row.kernel, Some(&run.row), &run.programs, accept)?;
        if accept {
            captures::keep(&run.row.kernel, &run.capture)?;
        }
    }
    Ok(over)
}

/// Writes what was found into the two pages.
fn keep(kernel: &str, row: Option<&Row>, programs: &[doctor::Program], accept: bool) -> Result<()> {
    if !programs.is_empty() {
        let path = root().join("docs/verifier.tsv");
        let mut budget = read_budget()?;
        budget.take(kernel, programs, accept);
        fs::write(&path, budget.text()).with_context(|| format!("write {}", path.display()))?;
    }
    if let Some(row) = row {
        let path = root().join("docs/kernels.md");
        let before = fs::read_to_string(&path).unwrap_or_default();
        let after = table::page(&before, std::slice::from_ref(row));
        fs::write(&path, after).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

fn accepting(growth: &budget::Growth) -> String {
    format!("{growth}; make it smaller, or run the same command with --accept and commit docs/verifier.tsv")
}

fn read_budget() -> Result<Budget> {
    let path = root().join("docs/verifier.tsv");
    let text = fs::read_to_string(&path).unwrap_or_default();
    Budget::parse(&text).with_context(|| format!("read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_of_all_steps_are_counted() {
        let mut console = Console::default();
        let result =
            "test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        for line in ["@@ begin scale", result, "@@ end scale 101 1", "@@ begin more", result, "@@ end more 101 1"] {
            console.note(line);
        }
        assert_eq!(tests_of(&console), (2, 4));
    }
}
