//! What an arm attaches: empty programs, or the agent.
//!
//! In: the arm. Out: a running process with its CPU time; the agent's report at its end.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

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
    /// The agent, with these probes.
    Agent(String),
}

/// A running one.
pub struct Attached {
    child: Child,
    is_agent: bool,
}

impl Attached {
    /// Starts it from the directory of the programs, and waits until it is attached; `None` where that is nobody.
    pub fn start(what: &What, programs: &Path) -> Result<Option<Self>> {
        let (mut command, is_agent) = match what {
            What::Nobody => return Ok(None),
            What::Floor(hooks) => {
                let mut command = Command::new(programs.join("cost-floor"));
                command.args(hooks).stdin(Stdio::piped());
                (command, false)
            }
            What::Agent(probes) => {
                // The report of the arm before, which an agent may refuse to overwrite.
                let _ = fs::remove_file(REPORT);
                let mut command = Command::new(programs.join("acgs-perf"));
                command.args(["record", "--duration", "3600s", "--output", REPORT, "--probes", probes]);
                for shape in SHAPES.into_iter().filter(|shape| shape.is_recorded()) {
                    let port = shape.port().unwrap_or_default();
                    command.args(["--service", &format!("{}=port:{port}", shape.name())]);
                }
                command.stdin(Stdio::null());
                (command, true)
            }
        };
        let file = File::create(SAID)?;
        command.stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().with_context(|| format!("start {:?}", command.get_program()))?;
        let mut attached = Self { child, is_agent };
        attached.wait_until_ready()?;
        Ok(Some(attached))
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let start = Instant::now();
        let is_ready = |line: &str| line.starts_with("ready ") || crate::recording::says_attached(line);
        while !said().lines().any(is_ready) {
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
        self.is_agent
    }

    /// Ends it; gives the agent's report.
    pub fn stop(mut self) -> Result<Option<Report>> {
        if !self.is_agent {
            drop(self.child.stdin.take());
            let status = self.child.wait()?;
            ensure!(status.success(), "{status}: {}", said());
            return Ok(None);
        }
        signal::send(&self.child, libc::SIGINT)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "the agent: {status}: {}", said());
        Report::read(Path::new(REPORT)).map(Some)
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
