//! The Python environment of the service tests.
//!
//! In: `tests/requirements.txt`, every version pinned. Out: `target/venv`, and in it a copy of the file it was made from.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::Found;
use crate::process::{announce, root, target, which};

/// Makes the environment when it is missing or was made from other requirements.
pub fn ensure(found: &mut Vec<Found>) -> Result<()> {
    let requirements = root().join("tests/requirements.txt");
    let wanted = fs::read_to_string(&requirements).with_context(|| format!("read {}", requirements.display()))?;
    let venv = target().join("venv");
    let stamp = venv.join("requirements.txt");
    if fs::read_to_string(&stamp).ok().as_deref() != Some(wanted.as_str()) {
        create(&venv, &requirements)?;
        fs::write(&stamp, &wanted).with_context(|| format!("write {}", stamp.display()))?;
    }
    for line in wanted.lines().filter(|line| line.contains("==")) {
        let (name, version) = line.split_once("==").unwrap_or((line, "?"));
        found.push(Found::new(name, version, venv.display().to_string()));
    }
    Ok(())
}

fn create(venv: &Path, requirements: &Path) -> Result<()> {
    let python = which("python3").context("python3 is missing: `apt-get install python3-venv`")?;
    if venv.exists() {
        fs::remove_dir_all(venv).with_context(|| format!("remove {}", venv.display()))?;
    }
    let mut create = Command::new(python);
    announce(create.args(["-m", "venv"]).arg(venv)).context("python3 -m venv: `apt-get install python3-venv`")?;
    let mut install = Command::new(venv.join("bin/python"));
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]).arg(requirements);
    announce(&mut install).context("no network? the packages of tests/requirements.txt come from PyPI")
}
