//! The load tool of the service tests that comes from npm.
//!
//! In: `tests/fixtures/autocannon`, every version pinned. Out: `target/node` with its programs, and a copy of the files it was made from.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::{Found, debian};
use crate::process::{announce, root, target, which};

const TOOL: &str = "autocannon";
const LOCK: &str = "package-lock.json";

/// Installs it when it is missing or was installed by another lock file.
pub fn ensure(found: &mut Vec<Found>) -> Result<()> {
    let (from, to) = (root().join("tests/fixtures").join(TOOL), target().join("node"));
    let read = |path: &Path| fs::read_to_string(path).with_context(|| format!("read {}", path.display()));
    let wanted = read(&from.join(LOCK))?;
    // npm writes what it has installed at its end.
    let is_whole = to.join("node_modules/.package-lock.json").exists();
    if !is_whole || read(&to.join(LOCK)).ok().as_deref() != Some(wanted.as_str()) {
        if which("npm").is_none() {
            debian::install(&["npm"])?;
        }
        fs::create_dir_all(&to).with_context(|| format!("create {}", to.display()))?;
        for name in ["package.json", LOCK] {
            fs::copy(from.join(name), to.join(name)).with_context(|| format!("copy {name} to {}", to.display()))?;
        }
        let mut install = Command::new("npm");
        install.current_dir(&to).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
        announce(&mut install).with_context(|| format!("no network? {TOOL} comes from registry.npmjs.org"))?;
    }
    let package = read(&to.join("node_modules").join(TOOL).join("package.json"))?;
    let version = package.split("\"version\": \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or("?");
    found.push(Found::new(TOOL, version, to.display().to_string()));
    Ok(())
}
