//! What runs inside a machine, and the initial file system that brings it there.
//!
//! In: steps, the programs that were built. Out: the cpio archive with them. Inside, programs lie as cargo lays them out, so
//! that tests find the agent and the servers where they always do.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::cpio::Archive;
use crate::programs::{INIT, Programs};

/// Where programs are inside; `vm-init` has it too.
pub const INSIDE: &str = "acgs-perf/release";

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
    /// A program with its arguments, and how long it may take in the machine's own time.
    pub fn new(name: &str, seconds: u32, program: &str, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Self { name: name.to_owned(), seconds, program: program.to_owned(), arguments }
    }

    /// Whether it runs this test of cargo's.
    pub fn runs(&self, test: &str) -> bool {
        self.program.ends_with(&format!("/deps/{test}"))
    }

    /// As `vm-init` reads it.
    pub fn line(&self) -> String {
        let words = [self.name.clone(), self.seconds.to_string(), self.program.clone()];
        words.into_iter().chain(self.arguments.iter().cloned()).collect::<Vec<_>>().join("\t") + "\n"
    }
}

/// The archive that the kernel unpacks.
pub fn files(programs: &Programs, steps: &[Step]) -> Result<Vec<u8>> {
    files_with(programs, steps, &[])
}

/// The same with files of this machine, each where it is here.
pub fn files_with(programs: &Programs, steps: &[Step], more: &[PathBuf]) -> Result<Vec<u8>> {
    let mut archive = Archive::new();
    let parents: BTreeSet<&Path> = more.iter().flat_map(|path| path.ancestors().skip(1)).collect();
    for path in parents.into_iter().map(inside).filter(|path| !path.is_empty()) {
        archive.directory(&path);
    }
    for path in more {
        archive.file(&inside(path), &read(path)?);
    }
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

/// An absolute path as it is in the archive.
fn inside(path: &Path) -> String {
    path.to_string_lossy().trim_start_matches('/').to_owned()
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_plan_is_what_the_init_reads() {
        let step = Step::new("scale", 30, "/x/scale", &["--skip", "a"]);
        assert_eq!(step.line(), "scale\t30\t/x/scale\t--skip\ta\n");
        assert!(Step::new("scale.2", 30, "/x/deps/scale", &[]).runs("scale"));
    }
}
