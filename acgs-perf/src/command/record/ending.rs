//! How a recording ended.

/// How a recording ended, and with which exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// For the report.
    pub text: String,
    /// For the caller of the agent.
    pub code: u8,
}
