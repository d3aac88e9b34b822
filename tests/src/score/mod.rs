//! How near the agent's report is to the truth.
//!
//! In: a truth server's log, the load generator's log of the same requests, the report. Out: tables in Markdown, and which
//! targets were missed.
//!
//! A request arrives when its bytes are ready in the socket. No log knows that moment to the µs. It lies after the kernel's
//! own receive time stamp of the packet, and at most 10 µs later; and before the client's send returned, for on loopback the
//! send itself delivers the bytes. So latency and queue time are true within an interval, and the error is the distance
//! from it. Without a stamp the interval begins when the client sent.

pub mod quantiles;
pub mod scenario;
pub mod shares;
pub mod truth;

pub use quantiles::{Quantile, Times};
pub use shares::{Attribution, Shares};
pub use truth::Truth;

/// Tables, and what was missed.
#[derive(Clone, Debug, Default)]
pub struct Score {
    /// Markdown.
    pub text: String,
    /// One line per missed target.
    pub missed: Vec<String>,
}

impl Score {
    /// Adds a line of text.
    pub fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// Adds another score.
    pub fn add(&mut self, other: Self) {
        self.text.push_str(&other.text);
        self.missed.extend(other.missed);
    }
}
