//! Facts about the host, and what the recording costs: CPU time and memory of the agent, memory of the maps.

use std::fs;
use std::os::fd::RawFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::snapshot::Host;

/// The host and its kernel.
pub fn host() -> Host {
    let read = |path: &str| fs::read_to_string(path).map(|text| text.trim_end().to_owned()).unwrap_or_default();
    let memory_kib = read("/proc/meminfo")
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    Host {
        name: read("/proc/sys/kernel/hostname"),
        kernel: read("/proc/sys/kernel/osrelease"),
        arch: std::env::consts::ARCH.to_owned(),
        cpus: aya::util::online_cpus().map_or(0, |cpus| cpus.len() as u32),
        memory_bytes: memory_kib.unwrap_or(0) * 1024,
    }
}

/// The clock of the kernel side.
pub fn monotonic_ns() -> u64 {
    read(libc::CLOCK_MONOTONIC)
}

/// CPU time of this thread so far.
pub fn thread_cpu() -> Duration {
    Duration::from_nanos(read(libc::CLOCK_THREAD_CPUTIME_ID))
}

fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writing; these clocks always exist.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The time of day, ns since 1970.
pub fn unix_ns() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.as_nanos() as u64
}

/// By how much the time of day is ahead of the kernel side's clock.
pub fn wall_ahead_ns() -> u64 {
    unix_ns().wrapping_sub(monotonic_ns())
}

/// The kernel's name of this boot; the monotonic clock is one within it.
pub fn boot_id() -> String {
    let read = fs::read_to_string("/proc/sys/kernel/random/boot_id");
    read.map(|text| text.trim_end().to_owned()).unwrap_or_default()
}

/// CPU time of this process so far, and its largest resident set in bytes.
pub fn usage() -> (Duration, u64) {
    // SAFETY: rusage consists of integers, for which zero is a value; getrusage fills it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    };
    let time = |t: libc::timeval| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1000);
    (time(usage.ru_utime) + time(usage.ru_stime), usage.ru_maxrss as u64 * 1024)
}

/// Bytes of this process's maps, as the kernel says.
pub fn map_bytes() -> u64 {
    let files = fs::read_dir("/proc/self/fdinfo").into_iter().flatten().flatten();
    let texts = files.filter_map(|entry| fs::read_to_string(entry.path()).ok());
    texts.filter(|text| text.contains("map_type:")).filter_map(|text| value(&text, "memlock:")).sum()
}

/// How often a program, by its descriptor, could not run because it was already running on that CPU; `None` where the kernel
/// does not tell.
pub fn recursion_misses(program: RawFd) -> Option<u64> {
    value(&fs::read_to_string(format!("/proc/self/fdinfo/{program}")).ok()?, "recursion_misses:")
}

fn value(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok())
}
