//! The programs that run inside: agent, tests and what they start, linked statically, since there is no C library inside.
//!
//! In: the sources. Out: `target/vm-build`, and the paths of what was built. The flag is given for the host's target alone, so
//! that it reaches neither the kernel side, which a build script compiles for another target, nor build scripts.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;

use acgs_perf_setup::Toolchain;
use acgs_perf_setup::process::{cargo, describe, target};
use anyhow::{Context, Result, bail};
use serde_json::Value;

const TARGET: &str = "x86_64-unknown-linux-gnu";
/// The agent's name, of package and program.
pub const AGENT: &str = "acgs-perf";
/// The program that is the first process inside.
pub const INIT: &str = "vm-init";

/// What was built, by name.
#[derive(Debug, Default)]
pub struct Programs {
    /// The agent, and what the tests start.
    pub binaries: BTreeMap<String, PathBuf>,
    /// The tests.
    pub tests: BTreeMap<String, PathBuf>,
}

/// Builds them all.
pub fn build(toolchain: &Toolchain, tests: &[&str]) -> Result<Programs> {
    let mut command = cargo();
    command.args(["build", "--release", "--target", TARGET, "--target-dir"]).arg(target().join("vm-build"));
    command.args(["--package", AGENT, "--package", "acgs-perf-tests", "--bins"]);
    for test in tests {
        command.args(["--test", test]);
    }
    command.args(["--message-format", "json-render-diagnostics"]);
    // These would take precedence.
    command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    command.env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS", "-C target-feature=+crt-static");
    toolchain.apply(&mut command);
    let line = describe(&command);
    eprintln!("+ {line}");
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("start `{line}`"))?;
    let mut programs = Programs::default();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).lines().map_while(Result::ok).for_each(|message| programs.note(&message));
    }
    let status = child.wait().with_context(|| format!("wait for `{line}`"))?;
    if !status.success() {
        bail!("`{line}` failed: {status}");
    }
    for name in [AGENT, INIT] {
        programs.binaries.get(name).with_context(|| format!("the build left no program {name}"))?;
    }
    for name in tests {
        programs.tests.get(*name).with_context(|| format!("the build left no test {name}"))?;
    }
    Ok(programs)
}

impl Programs {
    /// The first process, and nothing else.
    pub fn only_init(&self) -> BTreeMap<String, PathBuf> {
        self.only(&[INIT])
    }

    /// These programs, and nothing else.
    pub fn only(&self, names: &[&str]) -> BTreeMap<String, PathBuf> {
        let chosen = self.binaries.iter().filter(|(name, _)| names.contains(&name.as_str()));
        chosen.map(|(name, path)| (name.clone(), path.clone())).collect()
    }

    /// Takes a program from one of cargo's messages.
    fn note(&mut self, message: &str) {
        let Ok(message) = serde_json::from_str::<Value>(message) else { return };
        let Some(path) = message["executable"].as_str().map(PathBuf::from) else { return };
        let (name, kind) = (&message["target"]["name"], &message["target"]["kind"][0]);
        let Some(name) = name.as_str().map(str::to_owned) else { return };
        match kind.as_str() {
            Some("bin") => self.binaries.insert(name, path),
            Some("test") => self.tests.insert(name, path),
            _ => None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_and_tests_are_told_apart() {
        let mut programs = Programs::default();
        programs.note(r#"{"reason":"compiler-artifact","target":{"name":"scale","kind":["test"]},"executable":"/t/deps/scale-1"}"#);
        programs.note(
            r#"{"reason":"compiler-artifact","target":{"name":"vm-init","kind":["bin"]},"executable":"/t/vm-init"}"#,
        );
        programs.note(r#"{"reason":"compiler-artifact","target":{"name":"libc","kind":["lib"]},"executable":null}"#);
        programs.note("not a message");
        assert_eq!(programs.tests["scale"], PathBuf::from("/t/deps/scale-1"));
        assert_eq!(programs.binaries.keys().collect::<Vec<_>>(), ["vm-init"]);
        assert_eq!(programs.tests.len(), 1);
    }
}
