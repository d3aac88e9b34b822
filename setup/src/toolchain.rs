//! The compiler and the linker for the kernel side.
//!
//! In: rustup's toolchains, Debian's packages. Out: the name of a toolchain that builds `core` for `bpfel-unknown-none`,
//! also written to `target/acgs-perf-toolchain`, and bpf-linker linked with an LLVM at least as new as rustc's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};

use super::{Found, debian};
use crate::process::{announce, cargo_bin, output, target, which};

/// The nightly that is installed when there is none: its LLVM is 22, as is the linker's.
const NIGHTLY: &str = "nightly-2026-05-20";
/// Name under which Debian's compiler is known to rustup.
const LINKED: &str = "acgs-bpf";
/// Debian's compiler with its sources and its LLVM.
const DEBIAN: &[&str] = &["rustc-web", "cargo-web", "rust-web-src", "rust-web-llvm"];
const LLVM: u32 = 22;
const LINKER: &str = "0.13.0";

/// A toolchain that can build the kernel side.
pub struct Toolchain {
    /// Its name for rustup.
    pub name: String,
    /// Whether it is a stable compiler that needs `RUSTC_BOOTSTRAP=1`.
    pub bootstrap: bool,
}

impl Toolchain {
    /// Hands it to a cargo build.
    pub fn apply<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.env("ACGS_PERF_BPF_TOOLCHAIN", &self.name);
        if self.bootstrap {
            command.env("RUSTC_BOOTSTRAP", "1");
        }
        command
    }

    /// The compiler and the linker of the kernel side, with their versions.
    pub fn versions(&self) -> String {
        let version = output(rustc(self).arg("--version")).unwrap_or_else(|| "rustc ?".to_owned());
        let llvm = llvm_version(self).map_or("?".to_owned(), |version| version.to_string());
        format!("{version}, LLVM {llvm}, bpf-linker {LINKER}")
    }
}

/// Finds or installs the compiler.
pub fn ensure(found: &mut Vec<Found>) -> Result<Toolchain> {
    if which("rustup").is_none() {
        bail!("rustup is not on the search path; the kernel side needs it to choose a compiler");
    }
    let (toolchain, from) = choose()?;
    let version = output(rustc(&toolchain).arg("--version")).unwrap_or_default();
    found.push(Found::new("rustc (kernel side)", version.trim_start_matches("rustc "), from));
    let file = target().join("acgs-perf-toolchain");
    if fs::read_to_string(&file).ok().as_deref().map(str::trim) != Some(toolchain.name.as_str()) {
        fs::create_dir_all(target()).with_context(|| format!("create {}", target().display()))?;
        fs::write(&file, format!("{}\n", toolchain.name)).with_context(|| format!("write {}", file.display()))?;
    }
    Ok(toolchain)
}

fn choose() -> Result<(Toolchain, String)> {
    if let Some(name) = std::env::var("ACGS_PERF_BPF_TOOLCHAIN").ok().filter(|name| !name.is_empty()) {
        let toolchain = Toolchain { bootstrap: !name.starts_with("nightly"), name };
        return Ok((toolchain, "ACGS_PERF_BPF_TOOLCHAIN".into()));
    }
    for name in ["nightly", NIGHTLY] {
        let toolchain = Toolchain { name: name.to_owned(), bootstrap: false };
        if !installed(name) {
            continue;
        }
        let llvm = llvm_version(&toolchain);
        if llvm.is_none_or(|version| version > LLVM) {
            eprintln!("setup: {name} has LLVM {llvm:?}, newer than bpf-linker's {LLVM}; looking further");
        } else if has_sources(&toolchain) || add_sources(name) {
            return Ok((toolchain, format!("rustup, {name} with rust-src")));
        }
    }
    let linked = Toolchain { name: LINKED.to_owned(), bootstrap: true };
    if installed(LINKED) && has_sources(&linked) {
        return Ok((linked, format!("Debian's {}, linked as {LINKED}", DEBIAN[0])));
    }
    let pinned = Toolchain { name: NIGHTLY.to_owned(), bootstrap: false };
    let mut install = Command::new("rustup");
    install.args([
        "toolchain",
        "install",
        NIGHTLY,
        "--profile",
        "minimal",
        "--component",
        "rust-src",
        "--component",
        "clippy",
    ]);
    if announce(&mut install).is_ok() && has_sources(&pinned) {
        return Ok((pinned, format!("rustup, {NIGHTLY} with rust-src")));
    }
    eprintln!("setup: rustup cannot fetch a nightly with its sources; trying Debian's packages");
    debian::install(DEBIAN).context("a compiler for the kernel side: `rustup component add rust-src --toolchain nightly` failed, and so did Debian's packages")?;
    announce(Command::new("rustup").args(["toolchain", "link", LINKED, "/usr"]))?;
    if !has_sources(&linked) {
        bail!("{} came without the sources of `core`", DEBIAN.join(" "));
    }
    Ok((linked, format!("Debian's {}, linked as {LINKED}", DEBIAN[0])))
}

fn rustc(toolchain: &Toolchain) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", &toolchain.name, "rustc"]);
    command
}

fn installed(name: &str) -> bool {
    let list = output(Command::new("rustup").args(["toolchain", "list"])).unwrap_or_default();
    list.lines().filter_map(|line| line.split_whitespace().next()).any(|line| {
        line == name
            || line.strip_prefix(name).is_some_and(|rest| rest.starts_with("-x86_64") || rest.starts_with("-aarch64"))
    })
}

fn llvm_version(toolchain: &Toolchain) -> Option<u32> {
    let text = output(rustc(toolchain).arg("-vV"))?;
    let version = text.lines().find_map(|line| line.strip_prefix("LLVM version: "))?;
    version.split('.').next()?.parse().ok()
}

fn has_sources(toolchain: &Toolchain) -> bool {
    output(rustc(toolchain).args(["--print", "sysroot"]))
        .is_some_and(|sysroot| Path::new(&sysroot).join("lib/rustlib/src/rust/library/core/src/lib.rs").is_file())
}

fn add_sources(name: &str) -> bool {
    announce(Command::new("rustup").args(["component", "add", "rust-src", "--toolchain", name])).is_ok()
}

/// Finds or builds bpf-linker.
pub fn ensure_linker(found: &mut Vec<Found>) -> Result<()> {
    let wanted = format!("bpf-linker {LINKER}");
    let present = |path: &PathBuf| output(Command::new(path).arg("--version")).is_some_and(|text| text == wanted);
    if !linker().is_some_and(|path| present(&path)) {
        let prefix = format!("/usr/lib/llvm-{LLVM}");
        if !Path::new(&prefix).join("include/llvm-c/Core.h").exists() {
            debian::install(&[&format!("llvm-{LLVM}-dev"), "gcc", "g++", "pkg-config", "zlib1g-dev"])?;
        }
        let mut install = Command::new("cargo");
        install.env("LLVM_PREFIX", &prefix).env_remove("CARGO_TARGET_DIR").current_dir("/");
        install.args(["install", "bpf-linker", "--version", LINKER, "--no-default-features", "--force"]);
        install.args(["--locked", "--features", &format!("llvm-{LLVM}")]);
        // What takes time in it is LLVM, which comes compiled: optimising the rest costs 89 s of CPU time instead of 35 s, links no
        // faster, and gives the same object to the byte.
        install.arg("--debug");
        announce(&mut install).context("build bpf-linker; it needs crates.io and LLVM's headers")?;
    }
    let path = linker().filter(present).ok_or_else(|| anyhow!("{wanted} is not on the search path"))?;
    found.push(Found::new("bpf-linker", LINKER, path.display().to_string()));
    Ok(())
}

fn linker() -> Option<PathBuf> {
    // The one that the build uses: `process::cargo` looks in cargo's own directory first.
    let own = cargo_bin().map(|bin| bin.join("bpf-linker")).filter(|file| file.is_file());
    own.or_else(|| which("bpf-linker"))
}
