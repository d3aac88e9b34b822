//! The kinds of server.

use clap::ValueEnum;

/// What a server does with a request; the number in the request says how much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Answers; one thread per connection.
    Echo,
    /// Sends a greeting on each new connection, then answers.
    Greeter,
    /// Answers when it has read half of the request, and reads the other half afterwards.
    Hurried,
    /// Connects to its peer, is greeted, calls before it has read the greeting.
    Hasty,
    /// Connects to each of its peers in turn.
    Fickle,
    /// Calls its peer, and reads no bytes when the answer is there before it reads it.
    Wary,
    /// Two threads connect to each of its peers in turn, both at once.
    Rush,
    /// Sends the call of a second request on the connection on which the answer to a first one is outstanding.
    Mixed,
    /// Reads a request on each of `--count` connections before it answers the first one.
    Backlog,
    /// Makes many different system calls, all of which fail.
    Calls,
    /// Starts threads, all alive at a time.
    Threads,
    /// Forks, and waits for each child.
    Forks,
    /// Starts programs, and waits for each.
    Programs,
    /// Two threads read the bytes of one request in turn with those of their own.
    Torn,
    /// Sends half of each reply, and passes its socket to who listens on `--unix`.
    Passes,
    /// Listens on `--unix`, and sends the other half.
    Takes,
    /// Two threads send the pieces of each reply on `--unix`, both at once.
    Duet,
    /// Reads a request on each connection to `--unix`, answers none; closes at once, or after the client if the number is not 0.
    Silent,
    /// Ends at once.
    Nothing,
}

impl Kind {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Greeter => "greeter",
            Self::Hurried => "hurried",
            Self::Hasty => "hasty",
            Self::Fickle => "fickle",
            Self::Wary => "wary",
            Self::Rush => "rush",
            Self::Mixed => "mixed",
            Self::Backlog => "backlog",
            Self::Calls => "calls",
            Self::Threads => "threads",
            Self::Forks => "forks",
            Self::Programs => "programs",
            Self::Torn => "torn",
            Self::Passes => "passes",
            Self::Takes => "takes",
            Self::Duet => "duet",
            Self::Silent => "silent",
            Self::Nothing => "nothing",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_command_line() {
        for kind in Kind::value_variants() {
            assert_eq!(Kind::from_str(kind.name(), false).as_ref(), Ok(kind));
        }
    }
}
