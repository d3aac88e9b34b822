//! Resolves the kernel fields that the programs read.
//!
//! In: the kernel's BTF. Out: [`Fields`], byte offsets. A field that cannot be found is an error that names it: a wrong
//! offset would load, attach, count, and track nobody.

use acgs_perf_common::fields::{FIELD_PATHS, Fields};

use super::ProbeError;
use super::btf::Btf;

/// Names that fields had in other kernels: (type, path, older path).
const OLDER_NAMES: &[(&str, &str, &str)] = &[("task_struct", "__state", "state")];

/// Offsets of all fields in the running kernel.
///
/// # Errors
/// [`ProbeError::NoField`] names the first field that the kernel does not have.
pub fn resolve(btf: &Btf) -> Result<Fields, ProbeError> {
    let mut offsets = [0u32; FIELD_PATHS.len()];
    let mut in_iowait_mask = 0;
    for (offset, (kind, path)) in offsets.iter_mut().zip(FIELD_PATHS) {
        let older = OLDER_NAMES.iter().find(|(k, p, _)| k == kind && p == path);
        let field = btf
            .field(kind, path)
            .or_else(|| older.and_then(|(k, _, old)| btf.field(k, old)))
            .ok_or_else(|| ProbeError::NoField(format!("{kind}.{path}")))?;
        *offset = field.bit_offset / 8;
        if *path == "in_iowait" {
            in_iowait_mask = 1 << (field.bit_offset % 8);
        }
    }
    let exit_arguments = btf.tracepoint_arguments("sched_process_exit").unwrap_or(1);
    Ok(Fields::from_offsets(&offsets, in_iowait_mask, u32::from(exit_arguments > 1)))
}
