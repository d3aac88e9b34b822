//! Signals: sending them to a process that we started, and ending on them with work still to do.
//!
//! In: a child, or what is to be done at the end. Out: the signal sent; the process ended with the given code.

use std::io;
use std::process::{Child, exit};
use std::{mem, thread};

/// Sends a signal to a child that has not been waited for, so that its pid is still its own.
pub fn send(child: &Child, signal: i32) -> io::Result<()> {
    // SAFETY: kill takes two integers.
    match unsafe { libc::kill(child.id() as i32, signal) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Runs `finish` on SIGTERM or SIGINT and ends the process with its result. To be called before other threads start:
/// they inherit that these signals are blocked, and a thread of its own waits for them.
pub fn on_sigterm(finish: impl FnOnce() -> i32 + Send + 'static) -> io::Result<()> {
    // SAFETY: an all-zero sigset_t is overwritten by sigemptyset before use.
    let mut set: libc::sigset_t = unsafe { mem::zeroed() };
    // SAFETY: `set` is valid; the old mask is not asked for.
    let status = unsafe {
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGTERM);
        libc::sigaddset(&mut set, libc::SIGINT);
        libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut())
    };
    if status != 0 {
        return Err(io::Error::from_raw_os_error(status));
    }
    thread::spawn(move || {
        let mut got = 0;
        // SAFETY: `set` and `got` are valid.
        while unsafe { libc::sigwait(&set, &mut got) } != 0 {}
        exit(finish());
    });
    Ok(())
}
