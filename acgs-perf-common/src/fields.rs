//! Offsets of kernel fields, resolved from the running kernel's BTF by the agent and read by the programs as constants.
//!
//! rustc emits no CO-RE relocations, so the agent writes this struct into the programs' read-only data before it loads
//! them; the verifier then knows each offset as a constant and checks every direct load against BTF. What one probe alone reads
//! it declares itself, by [`crate::kernel_fields!`], as a type of its own for a global of its own.

macro_rules! fields {
    ($($name:ident = $type:literal . $path:literal;)*) => {
        /// Byte offsets of the fields that the programs read.
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Fields {
            $(#[doc = concat!("Offset of `", $type, ".", $path, "`.")] pub $name: u32,)*
            /// Mask of the bit field `task_struct.in_iowait` within the byte at its offset.
            pub task_in_iowait_mask: u32,
            /// 1 if `sched_process_exit` passes `group_dead` as its second argument.
            pub exit_has_group_dead: u32,
            /// 1 if `sched_switch` passes the previous thread's state as its fourth argument.
            pub switch_has_state: u32,
        }

        impl Fields {
            /// All zero, before the agent fills it.
            pub const ZERO: Self = Self {
                $($name: 0,)*
                task_in_iowait_mask: 0,
                exit_has_group_dead: 0,
                switch_has_state: 0,
            };

            /// From offsets in the order of [`FIELD_PATHS`].
            #[must_use]
            pub fn from_offsets(
                offsets: &[u32; FIELD_PATHS.len()],
                task_in_iowait_mask: u32,
                exit_has_group_dead: u32,
                switch_has_state: u32,
            ) -> Self {
                let [$($name),*] = *offsets;
                Self { $($name,)* task_in_iowait_mask, exit_has_group_dead, switch_has_state }
            }
        }

        /// (kernel type, field path) in the order of [`Fields`]; the three words at its end are not offsets.
        pub const FIELD_PATHS: &[(&str, &str)] = &[$(($type, $path),)*];
    };
}

fields! {
    task_pid = "task_struct"."pid";
    task_tgid = "task_struct"."tgid";
    task_comm = "task_struct"."comm";
    task_in_iowait = "task_struct"."in_iowait";
    task_state = "task_struct"."__state";
    task_on_cpu = "task_struct"."on_cpu";
    task_cred = "task_struct"."cred";
    cred_user_ns = "cred"."user_ns";
    user_ns_inum = "user_namespace"."ns.inum";
    task_files = "task_struct"."files";
    files_fdt = "files_struct"."fdt";
    fdtable_fd = "fdtable"."fd";
    fdtable_max_fds = "fdtable"."max_fds";
    file_inode = "file"."f_inode";
    file_private_data = "file"."private_data";
    inode_mode = "inode"."i_mode";
    socket_sk = "socket"."sk";
    regs_orig_ax = "pt_regs"."orig_ax";
    regs_di = "pt_regs"."di";
    regs_dx = "pt_regs"."dx";
    regs_sp = "pt_regs"."sp";
    regs_r10 = "pt_regs"."r10";
    regs_si = "pt_regs"."si";
    regs_r8 = "pt_regs"."r8";
    regs_r9 = "pt_regs"."r9";
    sock_family = "sock"."__sk_common.skc_family";
    sock_state = "sock"."__sk_common.skc_state";
    sock_num = "sock"."__sk_common.skc_num";
    sock_dport = "sock"."__sk_common.skc_dport";
    sock_daddr = "sock"."__sk_common.skc_daddr";
    sock_v6_daddr = "sock"."__sk_common.skc_v6_daddr";
    sock_type = "sock"."sk_type";
    sock_net = "sock"."__sk_common.skc_net.net";
    net_inum = "net"."ns.inum";
    sock_socket = "sock"."sk_socket";
    sock_unread = "sock"."sk_receive_queue.qlen";
    sock_shutdown = "sock"."sk_shutdown";
    sock_storage = "sock"."sk_bpf_storage";
    sock_peer_pid = "sock"."sk_peer_pid";
    unix_peer = "unix_sock"."peer";
    unix_addr = "unix_sock"."addr";
    pid_numbers = "pid"."numbers";
    unix_address_name = "unix_address"."name";
    upid_nr = "upid"."nr";
    tcp_srtt_us = "tcp_sock"."srtt_us";
}

/// A field that a probe reads, by name, or an enumerator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldName {
    /// Struct or enum.
    pub kind: &'static str,
    /// The field's path in the struct, or the enumerator.
    pub path: &'static str,
    /// Whether the probe cannot run without it.
    pub is_needed: bool,
}

/// In place of the offset of a field that this kernel does not have.
pub const NO_FIELD: u32 = u32::MAX;

/// The fields that one probe reads: a struct of their offsets, and their names in the same order. `or absent` marks those that a
/// kernel may lack; their offset is [`NO_FIELD`] then. An enumerator, as `"enum"."name"`, stands for its value. Of a path that ends in
/// `:bit` the offset is in bits.
#[macro_export]
macro_rules! kernel_fields {
    ($(#[$doc:meta])* $name:ident { $($field:ident = $type:literal . $path:literal $(or $absent:ident)?;)* }) => {
        $(#[$doc])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name {
            $(#[doc = concat!("Offset of `", $type, ".", $path, "`.")] pub $field: u32,)*
        }

        impl $name {
            /// All zero, before the agent fills it.
            pub const ZERO: Self = Self { $($field: 0,)* };

            /// The names, in the order of the offsets.
            pub const NAMES: &[$crate::fields::FieldName] = &[$($crate::fields::FieldName {
                kind: $type,
                path: $path,
                is_needed: concat!("", $(stringify!($absent))?).is_empty(),
            },)*];
        }

        const _: () = assert!(size_of::<$name>() == $name::NAMES.len() * 4);
    };
}

#[cfg(feature = "user")]
// SAFETY: `Fields` is `repr(C)`, consists of `u32` only, has no padding and is valid for every bit pattern.
unsafe impl aya::Pod for Fields {}

const _: () = assert!(size_of::<Fields>() == (FIELD_PATHS.len() + 3) * 4);
