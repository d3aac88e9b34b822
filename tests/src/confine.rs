//! Worlds in which a program is told no: a terminal that can close.
//!
//! In: a command that is about to be started. Out: the same command, confined from between fork and exec on; nothing of it
//! reaches anything but that process and its children, and it ends with them.

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

fn check(result: i32) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Ignores SIGHUP, as nohup(1) does.
pub fn nohup(command: &mut Command) -> &mut Command {
    let ignore = || {
        // SAFETY: signal(2) takes two integers.
        match unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) } {
            libc::SIG_ERR => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    };
    // SAFETY: between fork and exec one system call is made.
    unsafe { command.pre_exec(ignore) }
}

/// A terminal: the end that a window would hold, and the end that programs write to.
pub fn terminal() -> io::Result<(OwnedFd, OwnedFd)> {
    let (mut outside, mut inside) = (-1, -1);
    let (name, settings, size) = (std::ptr::null_mut(), std::ptr::null(), std::ptr::null());
    // SAFETY: both descriptors outlive the call; what is null is not asked for.
    check(unsafe { libc::openpty(&raw mut outside, &raw mut inside, name, settings, size) })?;
    for fd in [outside, inside] {
        // Not for programs that are started later: the terminal closes with its last outer end.
        // SAFETY: the descriptor has just been made.
        check(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    }
    // SAFETY: openpty has made both for us.
    Ok(unsafe { (OwnedFd::from_raw_fd(outside), OwnedFd::from_raw_fd(inside)) })
}

/// Makes the terminal on standard input the one whose end the program is told of.
pub fn controlled_by_stdin(command: &mut Command) -> &mut Command {
    let take = || {
        // SAFETY: between fork and exec two system calls are made, with integers.
        unsafe {
            if libc::setsid() < 0 {
                return Err(io::Error::last_os_error());
            }
            check(libc::ioctl(0, libc::TIOCSCTTY, 0))
        }
    };
    // SAFETY: as said above.
    unsafe { command.pre_exec(take) }
}
