//! Finds or installs what the build and the tests need, with a table of what it found; and builds the agent with it.
//!
//! In: what is installed. Out: the installed tools, `target/acgs-perf-toolchain`, and the table. Idempotent; what is
//! there already costs well under a second.

pub mod agent;
mod debian;
mod deny;
mod npm;
pub mod process;
mod python;
mod toolchain;

use std::fmt;
use std::fs::File;
use std::thread;

use anyhow::{Result, anyhow};

pub use deny::Deny;
pub use toolchain::Toolchain;

/// Something that must be there and that setup could not install.
#[derive(Debug)]
pub struct Missing(pub Vec<String>);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "set-up is incomplete:")?;
        self.0.iter().try_for_each(|line| write!(f, "\n  - {line}"))
    }
}

impl std::error::Error for Missing {}

/// One line of the table.
struct Found {
    tool: String,
    version: String,
    from: String,
}

impl Found {
    fn new(tool: &str, version: impl Into<String>, from: impl Into<String>) -> Self {
        Self { tool: tool.to_owned(), version: version.into(), from: from.into() }
    }
}

/// The whole task.
pub fn run(tests: bool, vm: bool, lint: bool) -> Result<()> {
    all(tests, vm)?;
    if lint && ensure_deny()? == Deny::Unreachable {
        return Err(Missing(vec!["cargo-deny, and crates.io cannot be reached".into()]).into());
    }
    Ok(())
}

/// Finds or builds what only `lint` needs.
pub fn ensure_deny() -> Result<Deny> {
    let mut found = Vec::new();
    let deny = deny::ensure(&mut found)?;
    print(&found);
    Ok(deny)
}

/// Finds or installs what only the long tests of services need.
pub fn ensure_long() -> Result<()> {
    let mut found = Vec::new();
    debian::ensure_long(&mut found)?;
    print(&found);
    Ok(())
}

/// Sets up, prints the table, and gives the toolchain for the kernel side.
pub fn ensure(tests: bool) -> Result<Toolchain> {
    all(tests, false)
}

/// Finds the toolchain for the kernel side, and says nothing.
pub fn toolchain() -> Result<Toolchain> {
    toolchain::ensure(&mut Vec::new()).map_err(|error| Missing(vec![format!("{error:#}")]).into())
}

/// Finds the toolchain, does `work` with it, and sets up the rest meanwhile; `lock` is released when that is over.
pub fn ensure_beside(lock: File, work: impl FnOnce(&Toolchain) -> Result<()> + Send) -> Result<()> {
    let mut found = vec![user_space()];
    let toolchain = toolchain::ensure(&mut found).map_err(|error| Missing(vec![format!("{error:#}")]))?;
    let (linker, worked) = thread::scope(|scope| {
        let work = scope.spawn(|| work(&toolchain));
        let linker = toolchain::ensure_linker(&mut found);
        print(&found);
        drop(lock);
        (linker, work.join())
    });
    linker.map_err(|error| Missing(vec![format!("{error:#}")]))?;
    worked.map_err(|_| anyhow!("the work beside set-up panicked"))?
}

/// The same with what virtual machines need.
pub fn ensure_for_vm() -> Result<Toolchain> {
    all(false, true)
}

fn all(tests: bool, vm: bool) -> Result<Toolchain> {
    let mut found = vec![user_space()];
    let mut missing = Vec::new();

    let toolchain = keep(toolchain::ensure(&mut found), &mut missing);
    keep(toolchain::ensure_linker(&mut found), &mut missing);
    if tests {
        keep(debian::ensure_services(&mut found), &mut missing);
        keep(python::ensure(&mut found), &mut missing);
        keep(npm::ensure(&mut found), &mut missing);
    }
    if vm {
        keep(debian::ensure_qemu(&mut found), &mut missing);
    }
    print(&found);
    match toolchain {
        Some(toolchain) if missing.is_empty() => Ok(toolchain),
        _ => Err(Missing(missing).into()),
    }
}

/// Installs the tools that `bench cost` compares with, and says which are missing: the bench reports those as missing too.
pub fn ensure_rivals() {
    match debian::ensure_rivals() {
        Ok(found) => print(&found),
        Err(error) => eprintln!("setup: {error:#}"),
    }
}

/// Installs a package of Debian's that can be done without, if it can be had.
pub fn try_install(package: &str) {
    if let Err(error) = debian::install(&[package]) {
        eprintln!("setup: {package}: {error:#}");
    }
}

fn keep<T>(result: Result<T>, missing: &mut Vec<String>) -> Option<T> {
    result.map_err(|error| missing.push(format!("{error:#}"))).ok()
}

fn user_space() -> Found {
    let version = process::output(process::cargo().arg("--version")).unwrap_or_else(|| "not found".into());
    Found::new("cargo", version.trim_start_matches("cargo "), "rust-toolchain.toml")
}

fn print(found: &[Found]) {
    let tool = found.iter().map(|line| line.tool.len()).max().unwrap_or(0);
    let version = found.iter().map(|line| line.version.len()).max().unwrap_or(0);
    if found.is_empty() {
        return;
    }
    println!("{:tool$}  {:version$}  from", "tool", "version");
    for line in found {
        println!("{:tool$}  {:version$}  {}", line.tool, line.version, line.from);
    }
}
