//! A terminal that a test can type on and read: tmux, with a server of its own.
//!
//! In: a size, keys, a command. Out: what is on the screen. The server ends with the value, and whatever runs in it is hung up on.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

/// How long something may take to be seen.
const LIMIT: Duration = Duration::from_secs(60);
/// What the shell says when it waits.
const PROMPT: &str = "ready>";

/// A terminal with a shell in it.
pub struct Tmux {
    socket: String,
}

impl Tmux {
    /// Starts a shell in a directory, on a terminal of this size.
    pub fn start((columns, lines): (u16, u16), directory: &Path) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let socket = format!("acgs-perf-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let terminal = Self { socket };
        let (columns, lines) = (columns.to_string(), lines.to_string());
        let mut command =
            terminal.command(&["-f", "/dev/null", "new-session", "-d", "-x", &columns, "-y", &lines, "-c"]);
        command.arg(directory).arg(format!("env PS1='{PROMPT} ' sh"));
        // Letters beyond ASCII, and colours as people have them.
        command.env("LC_ALL", "C.UTF-8").env("TERM", "xterm-256color").env_remove("NO_COLOR");
        let output = command.output().context("tmux is missing; run `cargo xtask setup --tests`")?;
        ensure!(output.status.success(), "tmux: {output:?}");
        terminal.wait_for(PROMPT)?;
        Ok(terminal)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("tmux");
        command.args(["-u", "-L", &self.socket]).args(arguments);
        command
    }

    fn tell(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command(arguments).output().context("tmux")?;
        ensure!(output.status.success(), "tmux {arguments:?}: {output:?}");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Types keys by tmux' names, such as `Enter`, or texts.
    pub fn keys(&self, keys: &[&str]) -> Result<()> {
        let mut arguments = vec!["send-keys"];
        arguments.extend(keys);
        self.tell(&arguments).map(drop)
    }

    /// Types a line and Enter.
    pub fn line(&self, line: &str) -> Result<()> {
        self.tell(&["send-keys", "-l", line])?;
        self.keys(&["Enter"])
    }

    /// Gives the terminal another size.
    pub fn resize(&self, (columns, lines): (u16, u16)) -> Result<()> {
        let (columns, lines) = (columns.to_string(), lines.to_string());
        self.tell(&["resize-window", "-x", &columns, "-y", &lines]).map(drop)
    }

    /// What is on the screen.
    pub fn screen(&self) -> Result<String> {
        self.tell(&["capture-pane", "-p"])
    }

    /// The same with colours, as escape sequences.
    pub fn coloured(&self) -> Result<String> {
        self.tell(&["capture-pane", "-p", "-e"])
    }

    /// Whether the cursor is seen, and the screen is the one on which the shell writes.
    pub fn is_usual(&self) -> Result<bool> {
        Ok(self.tell(&["display-message", "-p", "#{cursor_flag} #{alternate_on}"])?.trim() == "1 0")
    }

    /// Waits until this is on the screen; the screen.
    pub fn wait_for(&self, words: &str) -> Result<String> {
        self.wait_until(words, |screen| screen.contains(words))
    }

    /// Waits until the screen is as it should be; the screen. `what` says what that is.
    pub fn wait_until(&self, what: &str, is_there: impl Fn(&str) -> bool) -> Result<String> {
        let limit = Instant::now() + LIMIT;
        loop {
            let screen = self.screen()?;
            if is_there(&screen) {
                return Ok(screen);
            }
            if Instant::now() > limit {
                bail!("not seen within {LIMIT:?}: {what}\n{screen}");
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Closes the terminal as somebody does who closes its window.
    pub fn close(&self) -> Result<()> {
        self.tell(&["kill-server"]).map(drop)
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        // It may be closed already.
        let _ = self.command(&["kill-server"]).output();
    }
}
