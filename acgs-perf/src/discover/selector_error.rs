//! What can be wrong with a selector.
//!
//! In: nothing. Out: [`SelectorError`], whose text is one line that says what is wrong and what to write.

use thiserror::Error;

/// The kinds of term, in the order in which errors list them.
pub const KINDS: [&str; 8] = ["port", "pid", "comm", "exe", "cmdline", "cgroup", "unit", "unix"];

/// Why a selector could not be read. One line each: what is wrong and what to write; the caller adds where.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SelectorError {
    /// Nothing there.
    #[error("the selector is empty; write for example port:8016")]
    Empty,
    /// A term without `kind:`.
    #[error("\"{0}\" has no kind; write KIND:VALUE, for example port:8016 or comm:redis-server")]
    NoKind(String),
    /// A kind that does not exist.
    #[error("unknown selector kind \"{0}\"; use one of {kinds}", kinds = KINDS.join(", "))]
    UnknownKind(String),
    /// `kind:` without a value.
    #[error("\"{0}:\" has no value; write it after the colon")]
    NoValue(String),
    /// Not a TCP port.
    #[error("\"{0}\" is not a TCP port; use a number from 1 to 65535")]
    Port(String),
    /// Not a process id.
    #[error("\"{0}\" is not a process id; use a number from 1 to 2147483647")]
    Pid(String),
    /// A path that is not absolute.
    #[error("\"{kind}:{value}\" needs an absolute path; begin it with '/'{}", if kind == "unix" { " (or '@' for an abstract name)" } else { "" })]
    NotAbsolute {
        /// Kind of the term.
        kind: String,
        /// What was written.
        value: String,
    },
    /// Not a regular expression.
    #[error("\"{pattern}\" is not a regular expression: {reason}; see https://docs.rs/regex/latest/regex/#syntax")]
    Regex {
        /// What was written.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl SelectorError {
    /// The regex crate draws a picture over several lines, the reason being the last of them.
    pub(super) fn regex(pattern: &str, error: &regex::Error) -> Self {
        let text = error.to_string();
        let last = text.lines().last().unwrap_or_default();
        let reason = last.strip_prefix("error: ").unwrap_or(last).trim_end_matches('.').to_owned();
        Self::Regex { pattern: pattern.to_owned(), reason }
    }
}
