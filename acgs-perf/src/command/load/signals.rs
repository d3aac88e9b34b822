//! The signals that end a load early, with its result.
//!
//! In: SIGINT, SIGTERM. Out: a flag for the generator, and which signal it was. One that comes later ends the process; one that follows at
//! once is the same wish, for a terminal and whoever started us may both send it.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};

use acgs_perf_load::clock;

/// A signal that comes so soon after the first one means nothing more.
const SAME_WISH_NS: u64 = 500_000_000;

static STOP: AtomicBool = AtomicBool::new(false);
static SIGNAL: AtomicI32 = AtomicI32::new(0);
static FIRST_NS: AtomicU64 = AtomicU64::new(0);

extern "C" fn stop(signal: libc::c_int) {
    let now = clock::now();
    match FIRST_NS.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => {
            SIGNAL.store(signal, Ordering::Relaxed);
            STOP.store(true, Ordering::Relaxed);
        }
        // SAFETY: _exit may be called in a handler, and nothing that must be written is open.
        Err(first) if now - first > SAME_WISH_NS => unsafe { libc::_exit(128 + signal) },
        Err(_) => {}
    }
}

/// Catches them once; the flag that they set.
///
/// # Errors
/// Never in practice: the kernel knows these signals.
pub fn catch() -> io::Result<&'static AtomicBool> {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: all zeroes are a value of sigaction; `stop` reads a clock, sets flags and ends the process, which a handler may do.
        let result = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = stop as *const () as libc::sighandler_t;
            // No flags, so without SA_RESTART: a wait for events ends.
            libc::sigaction(signal, &raw const action, std::ptr::null_mut())
        };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(&STOP)
}

/// The signal that came.
#[must_use]
pub fn ended_by() -> Option<i32> {
    Some(SIGNAL.load(Ordering::Relaxed)).filter(|signal| *signal != 0)
}
