//! Resolves the kernel fields that the programs read.
//!
//! In: the kernel's BTF. Out: [`Fields`], byte offsets, and those of a probe's own fields. A field that cannot be found is an error
//! that names it: a wrong offset would load, attach, count, and track nobody.

use acgs_perf_common::fields::{FIELD_PATHS, FieldName, Fields, NO_FIELD};
use acgs_perf_common::sockets::SocketFields;

use super::LiveError;
use super::btf::Btf;

/// Names that fields had in other kernels: (type, path, older path).
const OLDER_NAMES: &[(&str, &str, &str)] = &[("task_struct", "__state", "state")];

/// Offsets of all fields in the running kernel.
///
/// # Errors
/// [`LiveError::NoField`] names the first field that the kernel does not have.
pub fn resolve(btf: &Btf) -> Result<Fields, LiveError> {
    let mut offsets = [0u32; FIELD_PATHS.len()];
    let mut in_iowait_mask = 0;
    for (offset, (kind, path)) in offsets.iter_mut().zip(FIELD_PATHS) {
        let older = OLDER_NAMES.iter().find(|(k, p, _)| k == kind && p == path);
        let field = btf
            .field(kind, path)
            .or_else(|| older.and_then(|(k, _, old)| btf.field(k, old)))
            .ok_or_else(|| LiveError::NoField(format!("{kind}.{path}")))?;
        *offset = field.bit_offset / 8;
        if *path == "in_iowait" {
            in_iowait_mask = 1 << (field.bit_offset % 8);
        }
    }
    let exit_arguments = btf.tracepoint_arguments("sched_process_exit").unwrap_or(1);
    let switch_arguments = btf.tracepoint_arguments("sched_switch").unwrap_or(3);
    let (group_dead, state) = (u32::from(exit_arguments > 1), u32::from(switch_arguments > 3));
    Ok(Fields::from_offsets(&offsets, in_iowait_mask, group_dead, state))
}

/// The fields that are read whatever probes are on.
pub struct Resolved {
    /// Those of all kernels.
    pub fields: Fields,
    /// `acgs_perf_common::sockets::SocketFields`, in their order.
    pub sockets: Vec<u32>,
}

/// Resolves these.
///
/// # Errors
/// As [`resolve`].
pub fn of_kernel(btf: &Btf) -> Result<Resolved, LiveError> {
    let sockets = of_probe(btf, SocketFields::NAMES).map_err(LiveError::NoProbe)?;
    Ok(Resolved { fields: resolve(btf)?, sockets })
}

/// What stands for a probe's own fields on this kernel, in their order: offsets, and values of enumerators.
///
/// # Errors
/// Names the first field that the probe needs and the kernel does not have.
pub fn of_probe(btf: &Btf, names: &[FieldName]) -> Result<Vec<u32>, String> {
    let resolve = |name: &FieldName| {
        let (path, unit) = name.path.strip_suffix(":bit").map_or((name.path, 8), |path| (path, 1));
        let offset = btf.field(name.kind, path).map(|field| field.bit_offset / unit);
        let found = offset.or_else(|| btf.enumerator(name.kind, name.path));
        match found {
            None if name.is_needed => Err(format!("this kernel has no field {}.{}", name.kind, name.path)),
            _ => Ok(found.unwrap_or(NO_FIELD)),
        }
    };
    names.iter().map(resolve).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The types that we read, cut out of a 6.18.44 kernel's BTF; members of no interest have no type.
    const SLICE: &[u8] = include_bytes!("../../fixtures/kernel-6.18.44.btf");

    #[test]
    fn offsets_are_those_that_bpftool_prints_for_the_same_kernel() {
        let fields = resolve(&Btf::parse(SLICE.to_vec()).expect("valid")).expect("all fields");
        assert_eq!((fields.task_pid, fields.task_tgid, fields.task_comm, fields.task_state), (1264, 1268, 1752, 24));
        // Bit 9544 of the struct: byte 1193, first bit.
        assert_eq!((fields.task_in_iowait, fields.task_in_iowait_mask), (1193, 1));
        assert_eq!((fields.sock_daddr, fields.sock_dport, fields.sock_num), (0, 12, 14));
        assert_eq!((fields.sock_family, fields.sock_state, fields.sock_type), (16, 18, 534));
        assert_eq!((fields.sock_peer_pid, fields.unix_peer, fields.tcp_srtt_us), (624, 872, 1680));
        assert_eq!((fields.regs_orig_ax, fields.pid_numbers, fields.file_private_data), (120, 144, 24));
        // 1344 + 128 bits.
        assert_eq!((fields.sock_unread, fields.sock_shutdown, fields.sock_storage), (184, 575, 736));
        assert_eq!((fields.regs_r10, fields.sock_socket, fields.unix_address_name), (56, 288, 8));
        assert_eq!((fields.sock_net, fields.net_inum, fields.task_cred), (48, 176, 1736));
        // 1728 + 192 bits.
        assert_eq!((fields.cred_user_ns, fields.user_ns_inum), (144, 240));
        assert_eq!((fields.exit_has_group_dead, fields.switch_has_state), (1, 1));
    }

    #[test]
    fn a_probe_does_without_the_fields_that_may_be_absent() {
        let btf = Btf::parse(SLICE.to_vec()).expect("valid");
        let name = |path, is_needed| FieldName { kind: "task_struct", path, is_needed };
        let names = [name("pid", true), name("nonesuch", false)];
        assert_eq!(of_probe(&btf, &names), Ok(vec![1264, NO_FIELD]));
        let error = of_probe(&btf, &[name("nonesuch", true)]).expect_err("missing");
        assert!(error.contains("task_struct.nonesuch"), "{error}");
    }

    #[test]
    fn a_kernel_without_a_field_is_refused_by_name() {
        let mut slice = SLICE.to_vec();
        let at = slice.windows(8).position(|w| w == b"srtt_us\0").expect("in the strings");
        slice[at] = b'x';
        let error = resolve(&Btf::parse(slice).expect("valid")).expect_err("missing").to_string();
        assert!(error.contains("tcp_sock.srtt_us"), "{error}");
    }
}
