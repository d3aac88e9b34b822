//! How many files this process may have open.
//!
//! In: nothing. Out: a limit high enough for 10,000 connections, where that is allowed.

use std::io;

/// More than any run here needs.
const WANTED: libc::rlim_t = 65_536;

/// Raises the limit of open files as far as it may be, and gives it.
pub fn raise_open_files() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for writing.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // Only root may raise the hard limit, so the second attempt keeps it.
    for hard in [limit.rlim_max.max(WANTED), limit.rlim_max] {
        let raised = libc::rlimit { rlim_cur: hard, rlim_max: hard };
        // SAFETY: `raised` is valid.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raised) } == 0 {
            return Ok(hard);
        }
    }
    Err(io::Error::last_os_error())
}
