//! Time and CPU placement.
//!
//! In: nothing. Out: CLOCK_MONOTONIC in ns (the clock of the kernel side), a thread's CPU time, waits until a moment, spinning, pinning.

use std::io;
use std::mem;

/// CLOCK_MONOTONIC in ns.
pub fn now() -> u64 {
    read(libc::CLOCK_MONOTONIC)
}

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

/// A duration in ns as the kernel takes it.
pub fn timespec(ns: u64) -> libc::timespec {
    libc::timespec { tv_sec: (ns / 1_000_000_000) as i64, tv_nsec: (ns % 1_000_000_000) as i64 }
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

/// Lets timers of this thread expire at once instead of up to 50 µs late.
pub fn no_timer_slack() {
    // SAFETY: PR_SET_TIMERSLACK takes one integer.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
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

/// Ties this thread, and those it starts, to one CPU.
pub fn pin(cpu: usize) -> io::Result<()> {
    // SAFETY: an all-zero cpu_set_t is the empty set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: CPU_SET writes within `set` and ignores numbers beyond it.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: `set` is valid and its size is given.
    match unsafe { libc::sched_setaffinity(0, size_of_val(&set), &set) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
