//! `cargo deny`: licences, bans and sources, and the advisories where their database can be fetched.
//!
//! In: `deny.toml`, `Cargo.lock`. Out: success, or the tool's complaints; a line on standard error for what was not checked.

use std::process::Stdio;

use acgs_perf_setup::process::{announce, cargo};
use acgs_perf_setup::{self as setup, Deny};
use anyhow::Result;

/// The whole check.
pub fn check() -> Result<()> {
    if setup::ensure_deny()? == Deny::Unreachable {
        eprintln!(
            "lint: NOT CHECKED: licences, bans, sources and advisories: cargo-deny is not installed, and crates.io cannot \
             be reached"
        );
        return Ok(());
    }
    announce(cargo().args(["deny", "check", "licenses", "bans", "sources"]))?;
    let fetched = cargo().args(["deny", "fetch", "db"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if fetched.is_ok_and(|status| status.success()) {
        announce(cargo().args(["deny", "check", "advisories"]))?;
    } else {
        eprintln!(
            "lint: NOT CHECKED: advisories: their database, https://github.com/RustSec/advisory-db, cannot be fetched"
        );
    }
    Ok(())
}
