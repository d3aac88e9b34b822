//! `lint`: rustfmt, clippy on user space and on the kernel side, and `cargo deny` where it is installed.
//!
//! In: the sources. Out: success, or the tools' complaints.

use anyhow::Result;

use crate::process::{announce, cargo, output};
use crate::setup;

/// The whole task.
pub fn run() -> Result<()> {
    let toolchain = setup::ensure(false)?;
    announce(cargo().args(["fmt", "--all", "--check"]))?;

    let mut user = cargo();
    user.args(["clippy", "--workspace", "--exclude", "acgs-perf-ebpf", "--all-targets", "--", "-D", "warnings"]);
    announce(toolchain.apply(&mut user))?;
    kernel_side(&toolchain)?;

    if output(cargo().args(["deny", "--version"])).is_some() {
        announce(cargo().args(["deny", "check"]))?;
    } else {
        eprintln!("lint: cargo-deny is not installed, so licences and advisories were not checked");
    }
    Ok(())
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
