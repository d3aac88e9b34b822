//! `lint`: rustfmt, the house pass, clippy on user space and on the kernel side, and `cargo deny`.
//!
//! In: the sources. Out: success, or the tools' complaints.

mod deny;
mod rings;

use acgs_perf_setup as setup;
use acgs_perf_setup::process::{announce, cargo, output, root, run as pass};
use anyhow::Result;

/// The whole task, or the house pass alone.
pub fn run(house_only: bool) -> Result<()> {
    if house_only {
        return house();
    }
    let toolchain = setup::ensure(false)?;
    announce(cargo().args(["fmt", "--all", "--check"]))?;
    house()?;

    let mut user = cargo();
    user.args(["clippy", "--workspace", "--exclude", "acgs-perf-ebpf", "--all-targets", "--", "-D", "warnings"]);
    announce(toolchain.apply(&mut user))?;
    kernel_side(&toolchain)?;
    deny::check()
}

/// The rules of `house/`, which reads the sources, and the rule on tests and rings, both even when the first is broken.
fn house() -> Result<()> {
    let sources = pass(cargo().args(["run", "--quiet", "--package", "acgs-perf-house"]));
    rings::run(&root())?;
    sources
}

fn kernel_side(toolchain: &setup::Toolchain) -> Result<()> {
    let mut version = cargo();
    version.env("RUSTUP_TOOLCHAIN", &toolchain.name).args(["clippy", "--version"]);
    if output(&mut version).is_none() {
        eprintln!("lint: toolchain {} has no clippy, so the kernel side was not checked", toolchain.name);
        return Ok(());
    }
    let mut kernel = cargo();
    toolchain.apply(&mut kernel).env("RUSTUP_TOOLCHAIN", &toolchain.name);
    kernel.args(["clippy", "--package", "acgs-perf-ebpf", "--target", "bpfel-unknown-none", "-Zbuild-std=core"]);
    kernel.env("CARGO_ENCODED_RUSTFLAGS", format!("--cfg=bpf_target_arch=\"{}\"", std::env::consts::ARCH));
    announce(kernel.args(["--", "-D", "warnings"]))
}
