//! Facts about the host, and what the recording costs: CPU time and memory of the agent, memory of the maps.

use std::collections::BTreeMap;
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

/// CPU time of this process so far.
pub fn cpu() -> Duration {
    // SAFETY: rusage consists of integers, for which zero is a value; getrusage fills it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    };
    let time = |t: libc::timeval| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1000);
    time(usage.ru_utime) + time(usage.ru_stime)
}

/// The largest resident set of this process in bytes. What `getrusage` calls so may be that of who started it: it outlives `exec`.
pub fn max_rss_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    value_with_unit(&status, "VmHWM:", " kB").map_or(0, |kib| kib * 1024)
}

/// Bytes of this process's maps, as the kernel says.
pub fn map_bytes() -> u64 {
    let files = fs::read_dir("/proc/self/fdinfo").into_iter().flatten().flatten();
    let texts = files.filter_map(|entry| fs::read_to_string(entry.path()).ok());
    let maps = texts.filter(|text| text.contains("map_type:"));
    // A map may have two descriptors.
    let sizes = maps.filter_map(|text| Some((value(&text, "map_id:")?, value(&text, "memlock:")?)));
    sizes.collect::<BTreeMap<u64, u64>>().into_values().sum()
}

/// How often a program, by its descriptor, could not run because it was already running on that CPU; `None` where the kernel
/// does not tell.
pub fn recursion_misses(program: RawFd) -> Option<u64> {
    value(&fs::read_to_string(format!("/proc/self/fdinfo/{program}")).ok()?, "recursion_misses:")
}

fn value(text: &str, key: &str) -> Option<u64> {
    value_with_unit(text, key, "")
}

fn value_with_unit(text: &str, key: &str, unit: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.trim().strip_suffix(unit)?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_resident_set_is_of_this_process_alone_and_grows_with_it() {
        const BYTES: usize = 32 << 20;
        let before = max_rss_bytes();
        assert!(before > 1 << 20, "{before}");
        let touched = vec![1u8; BYTES];
        let after = max_rss_bytes();
        assert!(after >= before.max(BYTES as u64), "{before} to {after} with {}", touched.len());
        // A process that was started by this one begins anew.
        let status = std::process::Command::new("cat").arg("/proc/self/status").output().unwrap();
        let child = value_with_unit(&String::from_utf8_lossy(&status.stdout), "VmHWM:", " kB").unwrap() * 1024;
        assert!(child < BYTES as u64, "{child}");
    }
}
