//! `demo`: a small stack on loopback under steady load, recorded for ten seconds by the real agent.
//!
//! In: nothing. Out: the agent's summary on the terminal, and `report.json` in the repository's root. A front service asks
//! a back service, which sleeps 20 ms in 2 % of its requests: that is the slow path to be found.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::build;
use crate::process::{announce, cargo, is_root, root, target};
use crate::setup::{self, Missing};

const SECONDS: u32 = 10;

/// A process of the stack, ended with this value.
struct Part(Child);

impl Drop for Part {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Part {
    /// Starts one role of the demo program and reads the port that it prints first.
    fn start(program: &Path, arguments: &[&str]) -> Result<(Self, String)> {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("start {}", program.display()))?;
        let stdout = child.stdout.take();
        let part = Self(child);
        let mut line = String::new();
        BufReader::new(stdout.context("no output")?).read_line(&mut line).context("read the port")?;
        if line.trim().is_empty() {
            bail!("{} {} ended before it listened", program.display(), arguments.join(" "));
        }
        Ok((part, line.trim().to_owned()))
    }

    fn selector(&self) -> String {
        format!("pid:{}", self.0.id())
    }
}

/// The whole task.
pub fn run() -> Result<()> {
    if !is_root() {
        return Err(Missing(vec![
            "root: `record` loads programs into the kernel; run `cargo xtask demo` as root".into(),
        ])
        .into());
    }
    let toolchain = setup::ensure(false)?;
    let agent = build::agent(&toolchain, true)?;
    let mut parts = cargo();
    parts.args(["build", "--release", "--package", "acgs-perf-tests", "--bin", "acgs-perf-demo"]);
    announce(toolchain.apply(&mut parts))?;
    let program = target().join("release/acgs-perf-demo");

    let (back, back_port) = Part::start(&program, &["back"])?;
    let (front, front_port) = Part::start(&program, &["front", "--back", &back_port])?;
    let (_load, _) = Part::start(&program, &["load", "--port", &front_port, "--seconds", &(SECONDS * 3).to_string()])?;

    let report = root().join("report.json");
    let mut record = Command::new(agent);
    record.arg("record");
    record.args(["--service", &format!("front={}", front.selector())]);
    record.args(["--service", &format!("back={}", back.selector())]);
    record.args(["--duration", &format!("{SECONDS}s"), "--output"]).arg(&report);
    announce(&mut record)?;
    println!("\nThe whole report: {}", report.display());
    Ok(())
}
