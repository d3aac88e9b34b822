//! The captures that machines print, as fixtures of the agent's host tests.
//!
//! In: the lines of the step `capture`. Out: `acgs-perf/fixtures/captures/KERNEL.capture`, a recording of a known load on each kernel,
//! which every later version must be able to read.

use std::fs;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use acgs_perf_setup::process::root;

/// The step, and what stands before each part of the file in its lines.
pub const STEP: &str = "capture";
const MARK: &str = "@@ capture ";

/// Writes the capture among these lines, if there is one.
pub fn keep(kernel: &str, lines: &[String]) -> Result<()> {
    // The first follows the name of the test, in its line.
    let text: String = lines.iter().filter_map(|line| Some(line.trim_end().split_once(MARK)?.1)).collect();
    if text.is_empty() {
        return Ok(());
    }
    let bytes = STANDARD.decode(&text).context("the capture on the console is damaged")?;
    let directory = root().join("acgs-perf/fixtures/captures");
    fs::create_dir_all(&directory).with_context(|| format!("make {}", directory.display()))?;
    let path = directory.join(format!("{kernel}.capture"));
    fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))
}
