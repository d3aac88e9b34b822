//! Many different system calls that fail and change nothing: each is given a descriptor that nobody has.
//!
//! In: nothing. Out: how many there were.

/// Calls whose first argument is a descriptor, or a directory's descriptor before a path that is not mapped.
const CALLS: &[libc::c_long] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_fstat,
    libc::SYS_lseek,
    libc::SYS_ioctl,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_dup,
    libc::SYS_dup2,
    libc::SYS_dup3,
    libc::SYS_connect,
    libc::SYS_accept,
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_shutdown,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_setsockopt,
    libc::SYS_getsockopt,
    libc::SYS_sendmmsg,
    libc::SYS_recvmmsg,
    libc::SYS_fcntl,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_ftruncate,
    libc::SYS_getdents,
    libc::SYS_getdents64,
    libc::SYS_fchdir,
    libc::SYS_fchmod,
    libc::SYS_fchown,
    libc::SYS_fstatfs,
    libc::SYS_readahead,
    libc::SYS_fsetxattr,
    libc::SYS_fgetxattr,
    libc::SYS_flistxattr,
    libc::SYS_fremovexattr,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_wait,
    libc::SYS_timerfd_settime,
    libc::SYS_timerfd_gettime,
    libc::SYS_fallocate,
    libc::SYS_fadvise64,
    libc::SYS_inotify_add_watch,
    libc::SYS_inotify_rm_watch,
    libc::SYS_preadv,
    libc::SYS_pwritev,
    libc::SYS_syncfs,
    libc::SYS_splice,
    libc::SYS_tee,
    libc::SYS_vmsplice,
    libc::SYS_sync_file_range,
    libc::SYS_openat,
    libc::SYS_mkdirat,
    libc::SYS_mknodat,
    libc::SYS_unlinkat,
    libc::SYS_renameat,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_readlinkat,
    libc::SYS_fchmodat,
    libc::SYS_fchownat,
    libc::SYS_faccessat,
    libc::SYS_newfstatat,
    libc::SYS_utimensat,
    libc::SYS_statx,
];

/// Makes each call once; gives how many there are, or the number of one that did not fail.
pub fn fail_all() -> Result<usize, libc::c_long> {
    for call in CALLS {
        // SAFETY: no descriptor has the number -1, and no memory is mapped at the other arguments: the kernel refuses each.
        let result = unsafe { libc::syscall(*call, -1i64, -1i64, -1i64, -1i64, -1i64, -1i64) };
        if result >= 0 {
            return Err(*call);
        }
    }
    Ok(CALLS.len())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn they_are_more_than_there_are_slots_and_all_fail() {
        assert_eq!(CALLS.iter().collect::<BTreeSet<_>>().len(), CALLS.len());
        assert_eq!(fail_all(), Ok(CALLS.len()));
        assert!(CALLS.len() > acgs_perf_common::maps::SYSCALL_SLOTS as usize);
    }
}
