//! The signals that an agent which serves understands.
//!
//! In: SIGINT, SIGTERM, SIGHUP. Out: whether it should end, or read its configuration again.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::snapshot::Ending;

/// What a signal asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// End.
    End(Ending),
    /// Read the configuration again.
    Reload,
}

/// The signals, caught from [`Signals::catch`] on.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    /// Catches them.
    pub fn catch() -> io::Result<Self> {
        let [interrupt, terminate, hangup] =
            [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
        Ok(Self { interrupt: interrupt?, terminate: terminate?, hangup: hangup? })
    }

    /// Waits for one of them.
    pub async fn received(&mut self) -> Received {
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => Received::End(Ending::Interrupted),
            _ = self.terminate.recv() => Received::End(Ending::Terminated),
            _ = self.hangup.recv() => Received::Reload,
        }
    }
}
