//! The signals that end a recording instead of the process.
//!
//! In: SIGINT, SIGTERM, SIGHUP. Out: how the recording ended, and which signal the COMMAND is ended with.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::snapshot::Ending;

/// The signals, caught from [`Signals::catch`] on.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// `None` where it was ignored when we were started: `nohup` does that for those who want to go on without a terminal.
    hangup: Option<Signal>,
}

impl Signals {
    /// Catches them.
    pub fn catch() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: if is_ignored(libc::SIGHUP) { None } else { Some(signal(SignalKind::hangup())?) },
        })
    }

    /// Waits for one of them.
    pub async fn received(&mut self) -> (Ending, i32) {
        let hung_up = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => (Ending::Interrupted, libc::SIGINT),
            _ = self.terminate.recv() => (Ending::Terminated, libc::SIGTERM),
            _ = hung_up => (Ending::HungUp, libc::SIGHUP),
        }
    }
}

fn is_ignored(signal: i32) -> bool {
    // SAFETY: all zeroes are a value of sigaction, which the call overwrites; without a new action it only reads.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &raw mut action) == 0 && action.sa_sigaction == libc::SIG_IGN
    }
}
