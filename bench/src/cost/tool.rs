//! Attaching what an arm attaches, and ending it.
//!
//! In: an arm and what is recorded. Out: a running tool; the agent's report at its end; or why it did not start, in its
//! own words.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use acgs_perf_tests::harness::wait;
use acgs_perf_tests::signal;
use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::arms::{Arm, Kind};
use super::rivals::{Ready, Target, Tool};
use super::{Context, floor};

/// A loaded machine compiles bpftrace's programs in one to two seconds.
const START_LIMIT: Duration = Duration::from_secs(20);
const END_LIMIT: Duration = Duration::from_secs(30);

/// What is attached; ended when dropped.
pub struct Running {
    child: Child,
    name: String,
    proof: &'static str,
    output: PathBuf,
    report: Option<PathBuf>,
}

impl Running {
    /// Starts what the arm attaches, and waits until it is; `None` where that is nobody.
    pub fn start(arm: &Arm, target: &Target, context: &Context, measure: bool) -> Result<Option<Self>> {
        let report = context.directory.join("report.json");
        let (tool, is_agent) = match arm.kind {
            Kind::Bare => return Ok(None),
            Kind::Floor => {
                let program = context.floor.display().to_string();
                let words =
                    std::iter::once(program).chain(floor::HOOKS.iter().map(|hook| (*hook).to_owned())).collect();
                (Tool { words, ready: Ready::Says("ready"), proof: "ready" }, false)
            }
            Kind::Agent(probes) => {
                let _ = fs::remove_file(&report);
                let (agent, file) = (context.agent.display().to_string(), report.display().to_string());
                let service = format!("victim={}", target.selector);
                let words = [&agent, "record", "--service", &service, "--probes", probes, "--output", &file];
                let mut words = words.map(str::to_owned).to_vec();
                words.extend(["--duration", "600s"].map(str::to_owned));
                if measure {
                    words.push("--measure-cost".into());
                }
                (Tool { words, ready: Ready::Says("Ctrl-C ends it early"), proof: "" }, true)
            }
            Kind::Rival(tool) => (tool(target), false),
        };
        let output = context.directory.join("tool-output");
        let file = File::create(&output)?;
        let mut command = Command::new(&tool.words[0]);
        // The floor ends with its standard input.
        let stdin = if matches!(arm.kind, Kind::Floor) { Stdio::piped() } else { Stdio::null() };
        command.args(&tool.words[1..]).stdin(stdin).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().with_context(|| format!("start {}", tool.words[0]))?;
        let report = is_agent.then_some(report);
        let mut running = Self { child, name: tool.words[0].clone(), proof: tool.proof, output, report };
        running.wait_until(&tool.ready)?;
        Ok(Some(running))
    }

    fn wait_until(&mut self, ready: &Ready) -> Result<()> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("ended before it was attached ({status}): {}", complaint(&self.said()));
            }
            match ready {
                Ready::Says(text) if self.said().contains(text) => break,
                Ready::After(ms) if start.elapsed() >= Duration::from_millis(*ms) => break,
                _ if start.elapsed() > START_LIMIT => {
                    bail!("not attached after {START_LIMIT:?}: {}", complaint(&self.said()))
                }
                _ => sleep(Duration::from_millis(10)),
            }
        }
        // What starting has stirred up settles.
        sleep(Duration::from_millis(150));
        Ok(())
    }

    fn said(&self) -> String {
        fs::read(&self.output).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Ends it; fails when it died before, or shows no result. Gives the agent's report.
    pub fn stop(mut self) -> Result<Option<Value>> {
        if let Some(status) = self.child.try_wait()? {
            bail!("ended by itself ({status}): {}", complaint(&self.said()));
        }
        signal::send(&self.child, libc::SIGINT)?;
        let Some(status) = wait(&mut self.child, END_LIMIT)? else {
            bail!("{} does not end within {END_LIMIT:?}", self.name);
        };
        let said = self.said();
        match &self.report {
            Some(report) if status.success() => {
                let bytes = fs::read(report).with_context(|| format!("read {}", report.display()))?;
                Ok(Some(serde_json::from_slice(&bytes)?))
            }
            Some(_) => bail!("the agent: {status}: {}", complaint(&said)),
            None if said.contains(self.proof) => Ok(None),
            None => bail!("it ran, and showed no result: {}", complaint(&said)),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // It may have ended by itself meanwhile, which is as good.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// What a tool complains of: its first line that speaks of an error, else its last.
fn complaint(text: &str) -> String {
    // bpftrace says so where the limit cannot be raised, and goes on.
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.contains("RLIMIT_MEMLOCK"));
    let speaks = |line: &&str| {
        let line = line.to_lowercase();
        ["error", "fail", "cannot", "can't", "not permitted", "no such"].iter().any(|word| line.contains(word))
    };
    let line = lines.clone().find(speaks).or_else(|| lines.next_back()).unwrap_or("it said nothing");
    line.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::complaint;

    #[test]
    fn a_tool_complains_in_its_own_words() {
        let text =
            "ERROR: couldn't set RLIMIT_MEMLOCK\nAttaching 2 probes...\nERROR: tracepoint not found: a:b\nx\n~~~\n";
        assert_eq!(complaint(text), "ERROR: tracepoint not found: a:b");
        assert_eq!(complaint("one\ntwo\n\n"), "two");
        assert_eq!(complaint("\n"), "it said nothing");
    }
}
