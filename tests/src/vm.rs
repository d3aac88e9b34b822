//! The VM mode of the tests: what a test may expect of a machine in software emulation.
//!
//! In: `ACGS_PERF_VM`, which the VM's init sets to 1 and nothing else does. Out: longer limits and smaller loads. Two virtual
//! CPUs take turns on one real one there, so that durations mean little; counts, states, classes, names, process ids and bytes
//! are checked as strictly as everywhere.

use std::time::Duration;

/// How many times as long a thing may take in software emulation.
const SLOWER: u32 = 12;

/// Whether this is a virtual machine of `cargo xtask test --vm`.
pub fn inside() -> bool {
    std::env::var_os("ACGS_PERF_VM").is_some_and(|value| value == "1")
}

/// A time limit of a real machine, stretched in the VM.
pub fn patient(limit: Duration) -> Duration {
    if inside() { limit * SLOWER } else { limit }
}

/// An amount of work: `real` on a real machine, `emulated` in the VM.
pub fn amount<T>(real: T, emulated: T) -> T {
    if inside() { emulated } else { real }
}
