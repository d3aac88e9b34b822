//! How near the agent's report is to the truth.
//!
//! In: a truth server's log, the load generator's log of the same requests, the report. Out: tables in Markdown, and which
//! targets were missed.
//!
//! The moment in which a request's bytes were ready in the server's kernel is not known to either log: it lies between the
//! client's stamps before and after its send, which on loopback delivers the bytes itself. So a latency and a queue time
//! are true within an interval, and the error is the distance from it.

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
