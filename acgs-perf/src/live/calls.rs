//! System calls and errors by number: their names, and what blocking in a call means to the thread clock.

use acgs_perf_common::maps::OTHER_CALLS;
use acgs_perf_common::state::{CallClass, LimitIn, SYSCALLS, call_entry};
use syscalls::{Errno, Sysno};

/// Name of system call `nr`; `others` for those that share a record.
#[must_use]
pub fn name(nr: u32) -> String {
    if nr == OTHER_CALLS {
        return "others".to_owned();
    }
    Sysno::new(nr as usize).map_or_else(|| format!("syscall_{nr}"), |call| call.name().to_owned())
}

/// Name of an error, such as `EAGAIN`.
#[must_use]
pub fn errno_name(errno: u32) -> String {
    Errno::new(errno as i32).name().map_or_else(|| format!("errno_{errno}"), str::to_owned)
}

/// The table that the kernel side looks up when a thread blocks: system call number → [`CallClass`] and [`LimitIn`].
#[must_use]
pub fn classes() -> [u64; SYSCALLS] {
    let entry = |call: Sysno| call_entry(class(call.name()), limit(call.name()));
    std::array::from_fn(|nr| Sysno::new(nr).map_or(CallClass::Other as u64, entry))
}

/// Where the call has the time limit of its wait.
fn limit(name: &str) -> LimitIn {
    match name {
        "futex" => LimitIn::Futex,
        "futex_waitv" => LimitIn::FourthMoment,
        "futex_wait" => LimitIn::FifthMoment,
        "poll" => LimitIn::ThirdMs,
        "epoll_wait" | "epoll_pwait" => LimitIn::FourthMs,
        "ppoll" => LimitIn::ThirdSpan,
        "epoll_pwait2" | "semtimedop" => LimitIn::FourthSpan,
        "pselect6" => LimitIn::FifthSpan,
        "select" => LimitIn::FifthTimeval,
        "io_uring_enter" => LimitIn::Ring,
        _ => LimitIn::Nothing,
    }
}

/// What it means that a thread blocks in the call.
fn class(name: &str) -> CallClass {
    match name {
        "futex" | "futex_waitv" | "futex_wait" | "flock" | "semop" | "semtimedop" | "fcntl" => CallClass::Lock,
        "fsync" | "fdatasync" | "sync" | "syncfs" | "sync_file_range" | "msync" | "io_getevents" | "io_pgetevents"
        | "fallocate" | "ftruncate" | "truncate" | "rename" | "renameat" | "renameat2" | "unlink" | "unlinkat"
        | "readahead" | "fadvise64" | "open" | "openat" | "openat2" | "creat" | "stat" | "fstat" | "newfstatat"
        | "statx" | "getdents" | "getdents64" | "mkdir" | "mkdirat" | "rmdir" => CallClass::Disk,
        "accept" | "accept4" | "connect" | "recvfrom" | "recvmsg" | "recvmmsg" | "sendto" | "sendmsg" | "sendmmsg"
        | "shutdown" => CallClass::Socket,
        "epoll_wait" | "epoll_pwait" | "epoll_pwait2" | "epoll_wait_old" | "poll" | "ppoll" | "select" | "pselect6"
        | "io_uring_enter" => CallClass::Poll,
        "nanosleep" | "clock_nanosleep" | "pause" | "rt_sigsuspend" | "rt_sigtimedwait" => CallClass::Sleep,
        "read" | "readv" | "pread64" | "preadv" | "preadv2" | "write" | "writev" | "pwrite64" | "pwritev"
        | "pwritev2" | "sendfile" | "splice" | "close" => CallClass::ByDescriptor,
        _ => CallClass::Other,
    }
}

#[cfg(test)]
mod tests {
    use acgs_perf_common::state::{class_of_entry, limit_of_entry};

    use super::*;

    #[test]
    fn a_limit_is_where_the_call_has_it() {
        let table = classes();
        for (call, class, limit) in [
            (Sysno::futex, CallClass::Lock, LimitIn::Futex),
            (Sysno::poll, CallClass::Poll, LimitIn::ThirdMs),
            (Sysno::epoll_pwait, CallClass::Poll, LimitIn::FourthMs),
            (Sysno::ppoll, CallClass::Poll, LimitIn::ThirdSpan),
            (Sysno::pselect6, CallClass::Poll, LimitIn::FifthSpan),
            (Sysno::select, CallClass::Poll, LimitIn::FifthTimeval),
            (Sysno::read, CallClass::ByDescriptor, LimitIn::Nothing),
        ] {
            let entry = table[call as usize];
            assert_eq!((class_of_entry(entry), limit_of_entry(entry)), (class as u32, limit as u32), "{call}");
        }
    }

    #[test]
    fn every_call_that_is_classified_exists() {
        let table = classes();
        for (call, class) in [
            (Sysno::futex, CallClass::Lock),
            (Sysno::fsync, CallClass::Disk),
            (Sysno::epoll_wait, CallClass::Poll),
            (Sysno::recvfrom, CallClass::Socket),
            (Sysno::clock_nanosleep, CallClass::Sleep),
            (Sysno::read, CallClass::ByDescriptor),
            (Sysno::wait4, CallClass::Other),
        ] {
            assert_eq!(class_of_entry(table[call as usize]), class as u32, "{call}");
        }
    }

    #[test]
    fn numbers_without_a_name_are_shown_as_numbers() {
        assert_eq!(name(0), "read");
        assert_eq!(name(511), "syscall_511");
        assert_eq!(errno_name(11), "EAGAIN");
        assert_eq!(errno_name(4000), "errno_4000");
    }
}
