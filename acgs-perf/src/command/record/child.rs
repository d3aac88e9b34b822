//! The COMMAND after `--`: started when everything is attached, waited for, and ended with us.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::command::handover::Desk;
use crate::snapshot::Ending;

/// How long a command may take to end after a signal before the next, stronger one.
const PATIENCE: Duration = Duration::from_secs(2);

/// A running command, or none.
pub struct Task(Option<Child>);

impl Task {
    /// Starts the command, if there is one.
    ///
    /// With `quiet_stdout` the command's output goes to standard error, because the report goes to standard output. To the desk `load`
    /// hands what it saw.
    pub fn start(command: &[OsString], quiet_stdout: bool, desk: Option<&Desk>) -> anyhow::Result<Self> {
        let Some((program, arguments)) = command.split_first() else { return Ok(Self(None)) };
        let stdout =
            if quiet_stdout { Stdio::from(io::stderr().as_fd().try_clone_to_owned()?) } else { Stdio::inherit() };
        let child = Command::new(program)
            .args(arguments)
            .envs(desk.map(Desk::variable))
            .stdout(stdout)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot run {}", program.to_string_lossy()))?;
        Ok(Self(Some(child)))
    }

    /// No command.
    pub fn none() -> Self {
        Self(None)
    }

    /// Waits for the command to end; for ever if there is none.
    pub async fn wait(&mut self) -> anyhow::Result<Ending> {
        match &mut self.0 {
            Some(child) => Ok(ending(child.wait().await.context("waiting for the command")?)),
            None => std::future::pending().await,
        }
    }

    /// Ends the command: it may have had the terminal's Ctrl-C already, so `signal` comes only after a moment.
    pub async fn stop(&mut self, signal: i32) {
        let Some(child) = &mut self.0 else { return };
        for (signal, patience) in [(0, PATIENCE / 10), (signal, PATIENCE), (libc::SIGTERM, PATIENCE)] {
            if let (true, Some(pid)) = (signal != 0, child.id()) {
                // SAFETY: the child has not been waited for, so the id is still its own.
                unsafe { libc::kill(pid as i32, signal) };
            }
            if timeout(patience, child.wait()).await.is_ok() {
                return;
            }
        }
        // What still lives is killed when the child is dropped.
    }
}

/// A command's failure is ours: its exit code, or 128 + the signal that ended it.
fn ending(status: ExitStatus) -> Ending {
    match (status.code(), status.signal()) {
        (Some(0), _) => Ending::CommandFinished,
        (Some(code), _) => Ending::CommandExited(code),
        (None, signal) => Ending::CommandKilled(signal.unwrap_or(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_passed_on() {
        assert_eq!(ending(ExitStatus::from_raw(3 << 8)).exit_code(), 3);
        assert_eq!(ending(ExitStatus::from_raw(9)).exit_code(), 137);
        assert_eq!(ending(ExitStatus::from_raw(0)).exit_code(), 0);
    }
}
