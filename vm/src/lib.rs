//! Virtual machines: a kernel of Debian's archive, booted in QEMU with a few programs of the workspace and nothing else.
//!
//! In: a kernel's name, the programs, the steps to run. Out: the console, read: what each step came to, and whether the kernel
//! complained of itself. What is fetched and built is kept in `target/vm` and `target/vm-build`.

mod apt;
pub mod console;
mod cpio;
pub mod image;
pub mod initial;
pub mod kernels;
pub mod programs;
pub mod qemu;

use std::fs;
use std::path::PathBuf;

use acgs_perf_setup::process::target;
use anyhow::{Context, Result};

/// Where images, initial file systems and logs are.
pub fn directory() -> Result<PathBuf> {
    let directory = target().join("vm");
    fs::create_dir_all(&directory).with_context(|| format!("create {}", directory.display()))?;
    Ok(directory)
}
