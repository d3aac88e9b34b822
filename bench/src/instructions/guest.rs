//! Booting the machine and reading what it counted.
//!
//! In: a kernel's image, the programs. Out: the figures; the console is kept in `target/vm/instructions.log`.

use std::fs;
use std::time::Instant;

use acgs_perf_vm::console::Console;
use acgs_perf_vm::directory;
use acgs_perf_vm::image::Image;
use acgs_perf_vm::initial;
use acgs_perf_vm::programs::Programs;
use acgs_perf_vm::qemu::Acceleration;
use anyhow::{Context, Result, bail, ensure};

use super::figures::Figures;
use super::plan;

/// Lines of the console that a failure shows.
const LAST: usize = 30;

/// Runs the machine.
pub fn run(image: &Image, programs: &Programs) -> Result<Figures> {
    let directory = directory()?;
    let (initrd, file) = (directory.join("instructions.cpio"), directory.join("instructions.log"));
    let inside = Programs { binaries: programs.only(plan::PROGRAMS), ..Programs::default() };
    fs::write(&initrd, initial::files(&inside, &[plan::step()])?)
        .with_context(|| format!("write {}", initrd.display()))?;
    let start = Instant::now();
    let (mut console, mut log) = (Console::default(), String::new());
    let ended = Acceleration::Counting.run(&image.vmlinuz, &initrd, 1, |line| {
        console.note(line);
        log.push_str(line);
        log.push('\n');
        console.release.is_some()
    })?;
    fs::write(&file, &log).with_context(|| format!("write {}", file.display()))?;
    fs::remove_file(&initrd).with_context(|| format!("remove {}", initrd.display()))?;
    eprintln!("instructions: {} ran {} s", image.package, start.elapsed().as_secs());
    let said = || {
        let lines: Vec<&str> = log.lines().collect();
        format!("console in {}, which ends:\n{}", file.display(), lines[lines.len().saturating_sub(LAST)..].join("\n"))
    };
    ensure!(console.done, "the machine never said that it was done ({ended:?}); {}", said());
    if let [first, ..] = console.faults().as_slice() {
        bail!("the kernel reports {first} of its own; {}", said());
    }
    let step = console.steps.get(plan::STEP).with_context(|| format!("nothing ran; {}", said()))?;
    ensure!(step.status.as_deref() == Some("0"), "counting failed; {}", said());
    Figures::among(&step.lines)
}
