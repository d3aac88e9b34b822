//! What the kernel programs need and cannot do without, whichever probes are chosen.
//!
//! In: the kernel's BTF. Out: nothing, or an error that names what is missing and the first release that has it. The functions
//! are looked for, and not the release: distributions carry new BPF features back to old releases.

use super::LiveError;
use super::btf::Btf;

/// (the kernel function behind a helper, what it is, the first release with it).
const HELPERS: [(&str, &str, &str); 2] = [
    ("bpf_task_storage_get", "BPF storage on threads", "5.11"),
    ("bpf_task_pt_regs", "a thread's saved registers for BPF", "5.15"),
];
/// The first release with all of them.
pub const FIRST_RELEASE: &str = "5.15";

/// Checks them all.
///
/// # Errors
/// When the kernel has not all of them.
pub fn check(btf: &Btf, release: &str) -> Result<(), LiveError> {
    let missing: Vec<String> = HELPERS
        .iter()
        .filter(|(function, ..)| !btf.has_function(function))
        .map(|(_, what, since)| format!("{what} (since {since})"))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(LiveError::TooOld { release: release.to_owned(), missing: missing.join(" and ") })
}
