//! What ended a recording.
//!
//! In: the engine, a signal, the COMMAND. Out: a value that captures and reports carry as its text. A text that this version does not
//! know stays what it is.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What ended a recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub enum Ending {
    /// It was as long as it should be.
    Duration,
    /// SIGINT.
    Interrupted,
    /// SIGTERM.
    Terminated,
    /// SIGHUP.
    HungUp,
    /// The COMMAND exited with 0.
    CommandFinished,
    /// The COMMAND exited with another code.
    CommandExited(i32),
    /// A signal ended the COMMAND.
    CommandKilled(i32),
    /// Nobody knows how the COMMAND ended.
    CommandLost,
    /// The COMMAND did not start.
    CommandNotStarted,
    /// It cost more than was allowed, with no probe left to stop.
    Overhead,
    /// What it cost was no longer known.
    OverheadNotKnown,
    /// The engine ended by itself.
    EngineLost,
    /// What was asked of it was decided before its time.
    Decided,
    /// It is a time out of a longer recording.
    Range,
    /// Something that this version does not know.
    Other(String),
}

/// Those without a number, by their text.
const TEXTS: [(Ending, &str); 12] = [
    (Ending::Duration, "duration"),
    (Ending::Interrupted, "interrupted"),
    (Ending::Terminated, "terminated"),
    (Ending::HungUp, "hung up"),
    (Ending::CommandFinished, "command finished"),
    (Ending::CommandLost, "command lost"),
    (Ending::CommandNotStarted, "command not started"),
    (Ending::Overhead, "overhead"),
    (Ending::OverheadNotKnown, "overhead not known"),
    (Ending::EngineLost, "the engine ended"),
    (Ending::Decided, "decided against the baseline"),
    (Ending::Range, "end of the time asked for"),
];
const EXITED: &str = "command exited with ";
const KILLED: &str = "command was ended by signal ";

impl Ending {
    /// With which code the agent exits, if all else went well.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Duration | Self::Interrupted | Self::CommandFinished | Self::Range | Self::Decided => 0,
            // As shells show a process that these have ended.
            Self::Terminated => 143,
            Self::HungUp => 129,
            Self::CommandExited(code) => *code as u8,
            Self::CommandKilled(signal) => 128u8.wrapping_add(*signal as u8),
            Self::Overhead => 1,
            Self::CommandLost
            | Self::CommandNotStarted
            | Self::OverheadNotKnown
            | Self::EngineLost
            | Self::Other(_) => 2,
        }
    }
}

impl Default for Ending {
    /// Nobody has said yet how.
    fn default() -> Self {
        Self::Other(String::new())
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandExited(code) => write!(f, "{EXITED}{code}"),
            Self::CommandKilled(signal) => write!(f, "{KILLED}{signal}"),
            Self::Other(text) => f.write_str(text),
            known => f.write_str(TEXTS.iter().find(|(ending, _)| ending == known).map_or("", |(_, text)| text)),
        }
    }
}

impl From<Ending> for String {
    fn from(ending: Ending) -> Self {
        ending.to_string()
    }
}

impl From<String> for Ending {
    fn from(text: String) -> Self {
        let number = |before: &str| text.strip_prefix(before).and_then(|number| number.parse().ok());
        if let Some((ending, _)) = TEXTS.iter().find(|(_, known)| *known == text) {
            return ending.clone();
        }
        number(EXITED).map(Self::CommandExited).or(number(KILLED).map(Self::CommandKilled)).unwrap_or(Self::Other(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_comes_back_from_its_text() {
        let with_numbers = [Ending::CommandExited(3), Ending::CommandKilled(9), Ending::Other("by magic".into())];
        for ending in TEXTS.iter().map(|(ending, _)| ending.clone()).chain(with_numbers) {
            assert!(!ending.to_string().is_empty(), "{ending:?}");
            assert_eq!(Ending::from(ending.to_string()), ending);
        }
        assert_eq!(Ending::CommandExited(3).to_string(), "command exited with 3");
    }

    #[test]
    fn the_command_decides_the_exit_code() {
        let codes = [Ending::CommandExited(3), Ending::CommandKilled(9), Ending::CommandFinished, Ending::Overhead];
        assert_eq!(codes.map(|ending| ending.exit_code()), [3, 137, 0, 1]);
    }
}
