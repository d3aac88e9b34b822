//! What an arm attaches: programs that do next to nothing, the agent, or another tool.
//!
//! In: the arm. Out: a running process with its CPU time; the agent's report at its end.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::recording::says_attached;
use crate::report::Report;
use crate::signal;

use super::{SHAPES, Shape};

const SAID: &str = "/tmp/attached-said";
const REPORT: &str = "/tmp/attached-report.json";
/// In guest time, in which the verifier is quick.
const START_LIMIT: Duration = Duration::from_secs(60);
/// What starting has stirred up is over.
const SETTLE: Duration = Duration::from_millis(500);

/// What is attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Nothing.
    Nobody,
    /// An empty program on each of these tracepoints.
    Floor(Vec<String>),
    /// One that reads the clock and its storage.
    Informed(Vec<String>),
    /// The agent, with these probes.
    Agent(String),
    /// Another tool.
    Tool(Tool),
}

/// Another tool, which is told of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tool {
    /// Program and arguments, in which [`ANY_PID`] stands for the process.
    pub words: Vec<String>,
    /// It is attached when it has said this; without, when it has had some seconds.
    pub ready: Option<String>,
    /// What it says at its end has this in it if it has measured something.
    pub proof: String,
}

/// A number that no process has, because the machine's begin at 1 and are few.
pub const ANY_PID: u32 = 4_194_303;
/// A tool that says nothing is attached by then.
const SILENT: Duration = Duration::from_secs(5);

/// A service that the agent is told to record: its name and its port.
pub type Wanted = (String, u16);

/// A running one.
pub struct Attached {
    child: Child,
    kind: Kind,
}

enum Kind {
    Floor,
    Agent,
    Tool { proof: String },
}

impl Attached {
    /// Starts it from the directory of the programs, and waits until it is attached; `None` where that is nobody, or a tool, which is
    /// started for each service.
    pub fn start(what: &What, programs: &Path) -> Result<Option<Self>> {
        let mut command = match what {
            What::Nobody | What::Tool(_) => return Ok(None),
            What::Floor(hooks) | What::Informed(hooks) => {
                let mut command = Command::new(programs.join("cost-floor"));
                command.args(matches!(what, What::Informed(_)).then_some("--informed"));
                command.args(hooks).stdin(Stdio::piped());
                command
            }
            What::Agent(probes) => {
                let recorded = SHAPES.into_iter().filter(|shape| shape.is_recorded());
                let wanted = recorded.filter_map(|shape| Some((shape.name().to_owned(), shape.port()?)));
                return Self::agent(probes, &wanted.collect::<Vec<_>>(), programs).map(Some);
            }
        };
        Self::spawn(&mut command, Kind::Floor, |said, _| said.lines().any(|line| line.starts_with("ready "))).map(Some)
    }

    /// Starts the agent on these services.
    pub fn agent(probes: &str, services: &[Wanted], programs: &Path) -> Result<Self> {
        // The report of the arm before, which an agent may refuse to overwrite.
        let _ = fs::remove_file(REPORT);
        let mut command = Command::new(programs.join("acgs-perf"));
        command.args(["record", "--duration", "3600s", "--output", REPORT, "--probes", probes]);
        for (name, port) in services {
            command.args(["--service", &format!("{name}=port:{port}")]);
        }
        command.stdin(Stdio::null());
        Self::spawn(&mut command, Kind::Agent, |said, _| said.lines().any(says_attached))
    }

    /// Starts another tool on a process.
    pub fn start_tool(tool: &Tool, pid: u32) -> Result<Self> {
        let Tool { words, ready, proof } = tool;
        let mut words = words.iter().map(|word| word.replace(&ANY_PID.to_string(), &pid.to_string()));
        let mut command = Command::new(words.next().context("no program")?);
        command.args(words).stdin(Stdio::null());
        Self::spawn(&mut command, Kind::Tool { proof: proof.clone() }, |said, time| match ready {
            Some(text) => said.contains(text),
            None => time >= SILENT,
        })
    }

    fn spawn(command: &mut Command, kind: Kind, is_ready: impl Fn(&str, Duration) -> bool) -> Result<Self> {
        let file = File::create(SAID)?;
        command.stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().with_context(|| format!("start {:?}", command.get_program()))?;
        let mut attached = Self { child, kind };
        attached.wait_until(is_ready)?;
        Ok(attached)
    }

    fn wait_until(&mut self, is_ready: impl Fn(&str, Duration) -> bool) -> Result<()> {
        let start = Instant::now();
        while !is_ready(&said(), start.elapsed()) {
            if let Some(status) = self.child.try_wait()? {
                bail!("ended before it was attached ({status}): {}", said());
            }
            ensure!(start.elapsed() < START_LIMIT, "not attached after {START_LIMIT:?}: {}", said());
            sleep(Duration::from_millis(20));
        }
        sleep(SETTLE);
        Ok(())
    }

    /// CPU time of all its threads, in ns.
    pub fn cpu(&self) -> io::Result<u64> {
        let mut clock = 0;
        // SAFETY: `clock` is valid for writing.
        let error = unsafe { libc::clock_getcpuclockid(self.child.id() as libc::pid_t, &mut clock) };
        if error != 0 {
            return Err(io::Error::from_raw_os_error(error));
        }
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` is valid for writing.
        match unsafe { libc::clock_gettime(clock, &mut time) } {
            0 => Ok(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Whether it is the agent.
    pub fn is_agent(&self) -> bool {
        matches!(self.kind, Kind::Agent)
    }

    /// Ends it; gives the agent's report.
    pub fn stop(mut self) -> Result<Option<Report>> {
        match self.kind {
            Kind::Floor => drop(self.child.stdin.take()),
            Kind::Agent | Kind::Tool { .. } => {
                if let Some(status) = self.child.try_wait()? {
                    bail!("ended by itself ({status}): {}", said());
                }
                signal::send(&self.child, libc::SIGINT)?;
            }
        }
        let status = self.child.wait()?;
        match &self.kind {
            Kind::Tool { proof } if said().contains(proof.as_str()) => Ok(None),
            Kind::Tool { proof } => bail!("{status}, and nothing like {proof:?} was said: {}", said()),
            _ if !status.success() => bail!("{status}: {}", said()),
            Kind::Floor => Ok(None),
            Kind::Agent => Report::read(Path::new(REPORT)).map(Some),
        }
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // It may have ended by itself meanwhile, which is as good.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// What it has printed so far.
fn said() -> String {
    fs::read(SAID).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// Starts the service of a shape: this program again. It lives as long as the machine.
pub fn service(shape: Shape) -> Result<Child> {
    let mut command = Command::new("/proc/self/exe");
    command.args(["serve", shape.name()]).stdin(Stdio::null());
    command.spawn().with_context(|| format!("start the service {}", shape.name()))
}
