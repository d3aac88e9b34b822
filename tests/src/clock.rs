//! Time and CPU placement: the load generator's clock, and what only servers and tests need beside it.
//!
//! In: nothing. Out: CLOCK_MONOTONIC in ns (the clock of the kernel side), a thread's CPU time, waits, spinning, priorities.

use std::io;

pub use acgs_perf_load::clock::{no_timer_slack, now, pin, timespec};

/// CLOCK_REALTIME in ns.
pub fn realtime_now() -> u64 {
    read(libc::CLOCK_REALTIME)
}

/// CPU time of this thread in ns, as the scheduler accounts it.
pub fn thread_cpu() -> u64 {
    read(libc::CLOCK_THREAD_CPUTIME_ID)
}

fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writing.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Sleeps for `ns` in one system call, unless a signal ends it.
pub fn sleep(ns: u64) {
    let time = timespec(ns);
    // SAFETY: `time` is valid, and no remainder is asked for.
    unsafe { libc::clock_nanosleep(libc::CLOCK_MONOTONIC, 0, &time, std::ptr::null_mut()) };
}

/// Keeps the CPU busy for `ns`.
pub fn spin(ns: u64) {
    let end = now() + ns;
    while now() < end {
        std::hint::spin_loop();
    }
}

/// Runs this thread, and those it starts, before all ordinary ones: what else goes on does not come between two stamps.
pub fn realtime() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 10 };
    // SAFETY: `parameters` is valid.
    match unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &parameters) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Runs this thread, and the processes it starts, with more weight than ordinary ones: what else goes on on this machine
/// takes little from them. The agent and the services still share the CPUs fairly among each other.
pub fn favoured() -> io::Result<()> {
    // SAFETY: setpriority takes three integers; 0 is the calling thread.
    match unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -15) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
