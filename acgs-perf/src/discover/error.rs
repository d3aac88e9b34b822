//! What can go wrong while finding out which processes to profile.
//!
//! In: nothing. Out: [`DiscoverError`], whose text is one line that says what, where and what to do.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::selector_error::SelectorError;

/// Why the services could not be determined.
#[derive(Debug, Error)]
pub enum DiscoverError {
    /// A `--service` argument without a name.
    #[error("{place}: no service name; write NAME=SELECTOR, for example redis=port:6379")]
    NoServiceName {
        /// Argument or file and key.
        place: String,
    },
    /// A name that cannot be used.
    #[error("{place}: {reason}; use up to 64 letters, digits, '-', '_' and '.', for example policy-governance")]
    ServiceName {
        /// Argument or file and key.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The same name for two services.
    #[error("{place}: the service \"{name}\" is named twice; give each service its own name")]
    DuplicateService {
        /// Argument or file and key.
        place: String,
        /// The name.
        name: String,
    },
    /// A selector that cannot be read.
    #[error("{place}: {reason}")]
    Selector {
        /// Argument or file and key.
        place: String,
        /// What is wrong with it.
        reason: SelectorError,
    },
    /// A file that cannot be read.
    #[error("{path}: cannot read {what}: {cause}; check the path and its permissions")]
    Read {
        /// The file.
        path: PathBuf,
        /// What it should have been.
        what: &'static str,
        /// Answer of the operating system.
        cause: io::Error,
    },
    /// A file that is larger than anyone writes.
    #[error("{path}: larger than {} MiB, too large for {what}; name another file", max >> 20)]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What it should have been.
        what: &'static str,
        /// The most that is read, in bytes.
        max: u64,
    },
    /// A configuration that does not mean anything.
    #[error("{place}: {reason}")]
    Config {
        /// File and line, or file and key.
        place: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The configuration was written for another constitution.
    #[error(
        "{place}: constitutional_hash is \"{found}\", this build carries \"{expected}\"; use the configuration that belongs to it"
    )]
    Hash {
        /// The file.
        place: String,
        /// What it says.
        found: String,
        /// What it should say.
        expected: &'static str,
    },
    /// The constitution is another document.
    #[error(
        "{path}: the SHA-256 of the document is {digest}, which does not begin with the constitutional hash {expected}; restore the document or correct [constitution] document in {config}"
    )]
    Constitution {
        /// The document.
        path: PathBuf,
        /// Its digest, in hexadecimal.
        digest: String,
        /// What it should begin with.
        expected: &'static str,
        /// The file that names the document.
        config: String,
    },
    /// The agent sees other process ids than the kernel uses.
    #[error(
        "acgs-perf runs in a PID namespace of its own, where process ids are not the kernel's; run it in the host's (docker run --pid=host, hostPID: true, nsenter --target 1 --pid --mount)"
    )]
    PidNamespace,
    /// A `pid:` that names no process.
    #[error("service {service}: pid:{pid}: no such process; `acgs-perf services` lists what listens")]
    NoSuchProcess {
        /// Name of the service.
        service: String,
        /// The process id.
        pid: u32,
    },
    /// A `pid:` that names a thread.
    #[error("service {service}: pid:{pid}: this is a thread of process {process}; use pid:{process}")]
    Thread {
        /// Name of the service.
        service: String,
        /// What was written.
        pid: u32,
        /// The process to which it belongs.
        process: u32,
    },
}
