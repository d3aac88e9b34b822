//! Why a request has no reply.
//!
//! In: what the kernel or a reader said. Out: one of a few kinds, each with a name that outputs use.

use std::fmt;
use std::io::{Error, ErrorKind};

/// Why a request has no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// Nobody listens there, or does not accept.
    ConnectRefused,
    /// The connection was not made for another reason.
    ConnectFailed,
    /// The server did not take what is said before the first request.
    NotWelcome,
    /// The connection was reset.
    Reset,
    /// The server closed the connection before the reply was whole.
    Closed,
    /// The reply could not be understood.
    Malformed,
    /// It took longer than it may.
    Timeout,
}

impl Failure {
    /// Of an error in making a connection.
    #[must_use]
    pub fn connecting(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::ConnectionRefused => Self::ConnectRefused,
            ErrorKind::ConnectionReset => Self::Reset,
            _ => Self::ConnectFailed,
        }
    }

    /// Of an error on a connection that was made.
    #[must_use]
    pub fn connected(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => Self::Reset,
            _ => Self::Closed,
        }
    }

    /// Its name in outputs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ConnectRefused => "connect_refused",
            Self::ConnectFailed => "connect_failed",
            Self::NotWelcome => "not_welcome",
            Self::Reset => "reset",
            Self::Closed => "closed",
            Self::Malformed => "malformed",
            Self::Timeout => "timeout",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name().replace('_', " "))
    }
}
