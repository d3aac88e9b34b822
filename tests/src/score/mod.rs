//! How near the agent's report is to the truth.
//!
//! In: a truth server's log, the load generator's log of the same requests, the report. Out: tables in Markdown, and which
//! targets were missed.
//!
//! A request arrives when its bytes are ready in the socket. No log knows that moment to the µs. It lies after the kernel's
//! own receive time stamp of the packet, and at most 10 µs later; and before the client's send returned, for on loopback the
//! send itself delivers the bytes. So latency and queue time are true within an interval, and the error is the distance
//! from it. Without a stamp the interval begins when the client sent.

pub mod modes;
pub mod quantiles;
pub mod scenario;
pub mod seen;
pub mod shares;
pub mod truth;

pub use quantiles::{Quantile, Times};
pub use shares::{Attribution, Shares};
pub use truth::Truth;

use crate::tries::near;

/// Tables, and what was missed.
#[derive(Clone, Debug, Default)]
pub struct Score {
    /// Markdown.
    pub text: String,
    /// One line per target of nearness that was missed. Others on the machine can do that.
    pub missed: Vec<String>,
    /// One line per count that is not exact, loss, or sum that does not add up. Nothing excuses these.
    pub inexact: Vec<String>,
}

impl Score {
    /// Adds a line of text.
    pub fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// For a test that tries again: panics where something is inexact, and gives what was missed as an error.
    #[track_caller]
    pub fn nearness(&self) -> Result<(), String> {
        println!("{}", self.text);
        assert!(self.inexact.is_empty(), "{:#?}", self.inexact);
        near(self.missed.is_empty(), || self.missed.join("; "))
    }

    /// Whether no target was missed.
    pub fn is_met(&self) -> bool {
        self.inexact.is_empty() && self.missed.is_empty()
    }

    /// Which targets were missed, in Markdown.
    pub fn conclusion(&self) -> String {
        if self.is_met() {
            return "All targets met.\n".to_owned();
        }
        let missed: Vec<String> = self.inexact.iter().chain(&self.missed).map(|line| format!("- {line}\n")).collect();
        format!("{} targets missed:\n\n{}", missed.len(), missed.concat())
    }

    /// Adds another score.
    pub fn add(&mut self, other: Self) {
        self.text.push_str(&other.text);
        self.missed.extend(other.missed);
        self.inexact.extend(other.inexact);
    }
}
