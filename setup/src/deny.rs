//! `cargo deny`, which checks what is linked.
//!
//! In: what is installed, crates.io. Out: the pinned version on the search path, or the reason why it is not. Nothing but `lint`
//! needs it, so nothing else waits for it to be built.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::Found;
use crate::process::{announce, cargo, output};

const VERSION: &str = "0.20.2";

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deny {
    /// It is there.
    Ready,
    /// It is not, and crates.io cannot be reached.
    Unreachable,
}

/// Finds or builds it. An error when it can be fetched and still does not run.
pub fn ensure(found: &mut Vec<Found>) -> Result<Deny> {
    let state = decide(is_ready, is_reachable, install)?;
    if state == Deny::Ready {
        found.push(Found::new("cargo-deny", VERSION, "cargo install"));
    }
    Ok(state)
}

fn decide(ready: impl Fn() -> bool, reachable: impl Fn() -> bool, install: impl Fn() -> Result<()>) -> Result<Deny> {
    if ready() {
        return Ok(Deny::Ready);
    }
    if !reachable() {
        return Ok(Deny::Unreachable);
    }
    install().context("build cargo-deny; lint needs it for licences, bans and sources")?;
    ensure!(ready(), "cargo-deny {VERSION} was installed, but `cargo deny` is another one or none");
    Ok(Deny::Ready)
}

fn is_ready() -> bool {
    output(cargo().args(["deny", "--version"])).is_some_and(|text| text == format!("cargo-deny {VERSION}"))
}

/// Asks crates.io for the crate, once.
fn is_reachable() -> bool {
    let mut ask = cargo();
    ask.env("CARGO_NET_RETRY", "0").current_dir("/");
    output(ask.args(["info", "--quiet", &format!("cargo-deny@{VERSION}")])).is_some()
}

/// Without optimisation: 72 s of CPU time instead of 125 s with a little of it; a check takes
/// 2.6 s instead of 1.2 s.
fn install() -> Result<()> {
    let mut install = Command::new("cargo");
    install.env("CARGO_PROFILE_DEV_DEBUG", "0").env_remove("CARGO_TARGET_DIR").current_dir("/");
    install.args(["install", "cargo-deny", "--version", VERSION, "--locked", "--debug", "--force"]);
    announce(&mut install)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use anyhow::bail;

    use super::*;

    #[test]
    fn what_can_be_fetched_must_run() {
        let never = || -> Result<()> { panic!("there is nothing to install") };
        assert_eq!(decide(|| true, || panic!("nobody asks"), never).unwrap(), Deny::Ready);
        assert_eq!(decide(|| false, || false, never).unwrap(), Deny::Unreachable);
        let installed = Cell::new(false);
        let install = || {
            installed.set(true);
            Ok(())
        };
        assert_eq!(decide(|| installed.get(), || true, install).unwrap(), Deny::Ready);
        assert!(decide(|| false, || true, || bail!("no compiler")).is_err());
        assert!(decide(|| false, || true, || Ok(())).unwrap_err().to_string().contains("another one"));
    }
}
