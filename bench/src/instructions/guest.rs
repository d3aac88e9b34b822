//! Booting the machine and reading what it counted.
//!
//! In: a kernel's image, the programs, the step. Out: what it printed; the console is kept in `target/vm`, by the step's name.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use acgs_perf_vm::console::Console;
use acgs_perf_vm::directory;
use acgs_perf_vm::image::Image;
use acgs_perf_vm::initial::{self, Step};
use acgs_perf_vm::programs::Programs;
use acgs_perf_vm::qemu::Acceleration;
use anyhow::{Context, Result, bail, ensure};

use super::plan;

/// Lines of the console that a failure shows.
const LAST: usize = 30;

/// What runs, and where.
pub struct Machine<'m> {
    /// The kernel.
    pub image: &'m Image,
    /// The programs.
    pub programs: &'m Programs,
    /// The only step.
    pub step: Step,
    /// Files of this machine that it has too.
    pub more: Vec<PathBuf>,
    /// CPUs that there might be.
    pub possible: u32,
}

/// Runs the machine; what the step printed.
pub fn run(machine: &Machine<'_>) -> Result<Vec<String>> {
    let Machine { image, programs, step, more, possible } = machine;
    let directory = directory()?;
    let (initrd, file) = (directory.join(format!("{}.cpio", step.name)), directory.join(format!("{}.log", step.name)));
    let inside = Programs { binaries: programs.only(plan::PROGRAMS), ..Programs::default() };
    fs::write(&initrd, initial::files_with(&inside, std::slice::from_ref(step), more)?)
        .with_context(|| format!("write {}", initrd.display()))?;
    let start = Instant::now();
    let (mut console, mut log) = (Console::default(), String::new());
    let ended = Acceleration::Counting { possible: *possible }.run(&image.vmlinuz, &initrd, 1, |line| {
        console.note(line);
        log.push_str(line);
        log.push('\n');
        console.release.is_some()
    })?;
    fs::write(&file, &log).with_context(|| format!("write {}", file.display()))?;
    fs::remove_file(&initrd).with_context(|| format!("remove {}", initrd.display()))?;
    eprintln!("{}: {} ran {} s", step.name, image.package, start.elapsed().as_secs());
    let said = || {
        let lines: Vec<&str> = log.lines().collect();
        format!("console in {}, which ends:\n{}", file.display(), lines[lines.len().saturating_sub(LAST)..].join("\n"))
    };
    ensure!(console.done, "the machine never said that it was done ({ended:?}); {}", said());
    if let [first, ..] = console.faults().as_slice() {
        bail!("the kernel reports {first} of its own; {}", said());
    }
    let outcome = console.steps.get(&step.name).with_context(|| format!("nothing ran; {}", said()))?;
    ensure!(outcome.status.as_deref() == Some("0"), "counting failed; {}", said());
    Ok(outcome.lines.clone())
}
