//! A process without privileges, forked before the agent has a thread or has attached anything.
//!
//! In: what it is to do, given a socket to the agent. Out: the agent's end of that socket, once the process says that it stands.

use std::io;
use std::os::unix::net::UnixStream;

use crate::output;

/// What the process says when it is confined.
pub const READY: u8 = b'r';

/// Forks a process that runs `run` and ends with it. It is ready when this returns. What goes wrong there is said behind `flag`.
///
/// # Errors
/// When it cannot be started, or not be confined.
pub fn fork(flag: &str, run: impl FnOnce(UnixStream) -> io::Result<()>) -> io::Result<UnixStream> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("threads have been started before this process"));
    }
    let (ours, theirs) = UnixStream::pair()?;
    // SAFETY: this process has no other thread, so that the child holds no lock of one that it does not have.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            drop(ours);
            let code = match run(theirs) {
                Ok(()) => 0,
                // The agent has gone, as it should.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 1,
                Err(error) => {
                    output::say(&format!("{flag}: {error}"));
                    1
                }
            };
            // SAFETY: ends the process at once: what the agent has in memory is not the child's to clean up.
            unsafe { libc::_exit(code) }
        }
        _ => {
            drop(theirs);
            let mut ready = [0];
            io::Read::read_exact(&mut &ours, &mut ready)
                .map_err(|_| io::Error::other("the process for it could not be confined"))?;
            Ok(ours)
        }
    }
}
