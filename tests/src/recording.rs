//! Running the agent: `acgs-perf record` in the background of a test, or around a command.
//!
//! In: services and selectors. Out: the JSON report, or what the agent said when it failed.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::harness::{end, target, wait};
use crate::report::Report;
use crate::signal;
use crate::vm;

/// How long the agent may take to attach: most of it is the kernel's verifier, which in software emulation is some thirty
/// times slower.
const ATTACH_LIMIT: Duration = Duration::from_secs(120);

/// The agent that is tested: `ACGS_PERF_BIN`, or the release build.
pub fn agent() -> PathBuf {
    std::env::var_os("ACGS_PERF_BIN").map_or_else(|| target().join("release/acgs-perf"), PathBuf::from)
}

/// Whether this line of stderr says that the agent is attached: `acgs-perf: recording NAME … for 5s` or `… until …`.
pub fn says_attached(line: &str) -> bool {
    line.starts_with("acgs-perf: recording ") && (line.contains(" for ") || line.contains(" until "))
}

/// A recording that is being put together.
pub struct Recorder {
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    duration: Option<String>,
    group: Option<PathBuf>,
}

impl Recorder {
    /// Records one service.
    pub fn new(name: &str, selector: &str) -> Self {
        let arguments = vec!["--service".into(), format!("{name}={selector}")];
        Self { arguments, environment: Vec::new(), duration: None, group: None }
    }

    /// One more argument.
    pub fn arg(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// A variable of the agent's environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Ends by itself after this time, for example `2s`.
    pub fn duration(mut self, duration: &str) -> Self {
        self.duration = Some(duration.to_owned());
        self
    }

    /// Runs the agent in a control group, by the file that its members are written to.
    pub fn in_group(mut self, procs: PathBuf) -> Self {
        self.group = Some(procs);
        self
    }

    fn command(&self, directory: &Path, duration: Option<&str>) -> Command {
        let mut command = Command::new(agent());
        command.args(["record", "--details"]).args(&self.arguments).envs(self.environment.iter().cloned());
        if vm::inside() && !self.arguments.iter().any(|argument| argument == "--probes") {
            // Two thirds of what the verifier has to do, and no test in there asks for names; `doctor` has all programs loaded.
            command.arg("--no-endpoints");
        }
        if let Some(group) = self.group.clone() {
            // SAFETY: between fork and exec only a file is written; 0 stands for the process that writes.
            unsafe { command.pre_exec(move || fs::write(&group, "0")) };
        }
        if let Some(duration) = duration {
            command.args(["--duration", duration]);
        }
        command.arg("--output").arg(directory.join("report.json")).stdin(Stdio::null());
        command
    }

    /// Starts, and returns when the agent is attached. Without a duration it is ended by [`Recording::stop`].
    pub fn start(self) -> Result<Recording> {
        let directory = tempfile::tempdir()?;
        let mut command = self.command(directory.path(), Some(self.duration.as_deref().unwrap_or("120s")));
        command.stdout(File::create(directory.path().join("stdout"))?).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("start {}", agent().display()))?;
        let lines = follow(&mut child)?;
        let mut recording = Recording { child, lines, said: Vec::new(), directory };
        recording.wait_until_attached()?;
        Ok(recording)
    }

    /// Records for as long as a command runs; gives the report and what was printed to standard output.
    pub fn around(self, program: &str, arguments: &[String]) -> Result<(Report, String)> {
        let directory = tempfile::tempdir()?;
        let mut command = self.command(directory.path(), None);
        let output = command.arg("--").arg(program).args(arguments).output().context("start the agent")?;
        let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "{command:?}: {}\n{text}\n{errors}", output.status);
        Ok((Report::read(&directory.path().join("report.json"))?, format!("{text}{errors}")))
    }
}

fn follow(child: &mut Child) -> Result<Receiver<String>> {
    let stderr = BufReader::new(child.stderr.take().context("no stderr")?);
    let (sender, receiver) = channel();
    thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    Ok(receiver)
}

/// A running recording; ended when dropped.
pub struct Recording {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
    directory: TempDir,
}

impl Recording {
    fn wait_until_attached(&mut self) -> Result<()> {
        let limit = Instant::now() + ATTACH_LIMIT;
        loop {
            match self.lines.recv_timeout(limit.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let attached = says_attached(&line);
                    self.said.push(line);
                    if attached {
                        return Ok(());
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    bail!("not attached after {ATTACH_LIMIT:?}\n{}", self.said.join("\n"))
                }
                Err(RecvTimeoutError::Disconnected) => bail!("the agent ended\n{}", self.said.join("\n")),
            }
        }
    }

    /// Waits until the agent says a line with these words.
    pub fn wait_for(&mut self, words: &str, limit: Duration) -> Result<()> {
        let limit = Instant::now() + limit;
        while !self.said(words) {
            if Instant::now() > limit {
                bail!("the agent does not say {words:?}\n{}", self.said.join("\n"));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Whether the agent has said a line with these words.
    pub fn said(&mut self, words: &str) -> bool {
        self.said.extend(self.lines.try_iter());
        self.said.iter().any(|line| line.contains(words))
    }

    /// Process id of the agent.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends the agent at once, and waits until it is gone.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Sends a signal to the agent.
    pub fn signal(&self, signal: i32) -> Result<()> {
        Ok(signal::send(&self.child, signal)?)
    }

    /// Waits for the end; gives the exit status, what the agent said on stderr, and the report if there is one.
    pub fn finish(mut self) -> Result<(ExitStatus, String, Option<Report>)> {
        let status = wait(&mut self.child, Duration::from_secs(60))?.context("the agent does not end")?;
        self.said.extend(self.lines.iter());
        let path = self.directory.path().join("report.json");
        let report = if path.exists() { Some(Report::read(&path)?) } else { None };
        let text = fs::read_to_string(self.directory.path().join("stdout"))?;
        Ok((status, format!("{}\n{text}", self.said.join("\n")), report))
    }

    /// Ends the recording as [`Recording::stop`] does; gives the report, and its text as it was written.
    pub fn stop_with_text(mut self) -> Result<(Report, String)> {
        thread::sleep(settles());
        self.signal(libc::SIGINT)?;
        let status = wait(&mut self.child, Duration::from_secs(60))?.context("the agent does not end")?;
        ensure!(status.success(), "the agent: {status}");
        let path = self.directory.path().join("report.json");
        Ok((Report::read(&path)?, fs::read_to_string(path)?))
    }

    /// Ends the recording with SIGINT and gives the report. What was just sent is given time to arrive.
    pub fn stop(self) -> Result<Report> {
        thread::sleep(settles());
        self.signal(libc::SIGINT)?;
        let (status, said, report) = self.finish()?;
        ensure!(status.success(), "the agent: {status}\n{said}");
        report.with_context(|| format!("no report\n{said}"))
    }
}

/// Time in which a send whose bytes have arrived returns. In emulation one CPU runs after the other, for 100 ms at least.
fn settles() -> Duration {
    Duration::from_millis(vm::amount(100, 2_000))
}

impl Drop for Recording {
    fn drop(&mut self) {
        end(&mut self.child, libc::SIGTERM);
    }
}
