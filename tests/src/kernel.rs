//! What the running kernel is, where a test has to know.
//!
//! In: `/proc/sys/kernel/osrelease`. Out: the release, and whether it is older than a version.

use std::fs;

use crate::vm;

/// The release, such as `6.1.0-56-cloud-amd64`; a panic where there is none, since nothing can be tested then.
pub fn release() -> String {
    let path = "/proc/sys/kernel/osrelease";
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}")).trim().to_owned()
}

/// Whether the running kernel is older than this version.
pub fn older_than(major: u32, minor: u32) -> bool {
    version(&release()) < (major, minor)
}

fn version(release: &str) -> (u32, u32) {
    let mut numbers = release.split(['.', '-']).map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// How many losses of this kind the running kernel makes unavoidable among so many requests or waits; the ledger rightly
/// counts them.
///
/// Before 6.2 a program that interrupts another while that looks for a thread's storage is refused the storage. Since then only a
/// new thread is, where its program interrupts the kernel on that CPU while it makes or frees the storage of another (anybody's,
/// for the kernel has one word per CPU for all): the thread's next event makes it. That is as rare as new threads are, however many
/// the requests. In emulation a virtual CPU stands still in any place for a long time: between the queueing of bytes and the word that
/// they are ready, which a reader then outruns, and inside a program, which the next interrupt then finds running, and which may write
/// down an arrival when the request has its reply.
///
/// Where tracepoints can be preempted, `recursion_misses` is no loss but a bound of it (`docs/probes.md`): the kernel counts what
/// a program missed, of strangers too, and not that its standby did it. There only what is counted tells.
pub fn unavoidable(loss: &str, events: u64) -> u64 {
    match loss {
        "thread_storage_refused" if older_than(6, 2) => 5 + events / 50,
        "thread_storage_refused" => 1 + events / 2_000,
        "arrival_unseen" if vm::inside() => 5 + events / 50,
        "recursion_misses" if preemptible() => u64::MAX,
        "recursion_misses" if vm::inside() => 5 + events / 10,
        "negative_difference" if vm::inside() => 1 + events / 500,
        _ => 0,
    }
}

/// Whether tracepoints leave preemption enabled, so that programs have standbys.
pub fn preemptible() -> bool {
    !older_than(6, 19)
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn a_release_has_two_numbers_first() {
        assert_eq!(version("6.1.0-56-cloud-amd64"), (6, 1));
        assert_eq!(version("6.18-rc1"), (6, 18));
        assert!(version("5.10.0-46-cloud-amd64") < version("5.15.0"));
    }
}
