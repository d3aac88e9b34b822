//! `demo`: a small stack on loopback under steady load, recorded for ten seconds by the real agent.
//!
//! In: nothing. Out: the agent's summary on the terminal, `report.json` and `report.capture` in the repository's root. A front service asks
//! a back service, which sleeps 20 ms in 2 % of its requests: that is the slow path to be found.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use acgs_perf_setup::process::{announce, is_root, root};
use acgs_perf_setup::{Missing, agent};
use anyhow::{Context, Result, bail};

pub mod stack;

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
    /// Starts one part, as a process of this program, and reads the port that it prints first.
    fn start(arguments: &[&str]) -> Result<(Self, String)> {
        let program = std::env::current_exe().context("where this program lies")?;
        let mut command = Command::new(&program);
        command.arg("demo-part").args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("start {}", program.display()))?;
        let stdout = child.stdout.take();
        let part = Self(child);
        let mut line = String::new();
        BufReader::new(stdout.context("no output")?).read_line(&mut line).context("read the port")?;
        if line.trim().is_empty() {
            bail!("demo-part {} ended before it listened", arguments.join(" "));
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
    let agent = agent::build_beside_setup()?;
    let (back, back_port) = Part::start(&["back"])?;
    let (front, front_port) = Part::start(&["front", "--back", &back_port])?;
    let (_load, _) = Part::start(&["load", "--port", &front_port, "--seconds", &(SECONDS * 3).to_string()])?;

    let report = root().join("report.json");
    let mut record = Command::new(agent);
    record.arg("record");
    record.args(["--service", &format!("front={}", front.selector())]);
    record.args(["--service", &format!("back={}", back.selector())]);
    record.args(["--duration", &format!("{SECONDS}s"), "--output"]).arg(&report);
    record.arg("--capture").arg(report.with_extension("capture"));
    announce(&mut record)?;
    println!("\nThe whole report: {}", report.display());
    Ok(())
}
