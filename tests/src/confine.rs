//! Worlds in which a program is told no: tiny file systems, refused system calls, a terminal that can close.
//!
//! In: a command that is about to be started. Out: the same command, confined from between fork and exec on; nothing of it
//! reaches anything but that process and its children, and it ends with them.

use std::ffi::CString;
use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command};

/// Commands of bpf(2), include/uapi/linux/bpf.h.
pub const BPF_MAP_GET_NEXT_KEY: u32 = 4;
/// `BPF_MAP_LOOKUP_BATCH`.
pub const BPF_MAP_LOOKUP_BATCH: u32 = 24;
/// Turns statistics on.
pub const BPF_ENABLE_STATS: u32 = 32;

/// What is answered with EPERM.
#[derive(Clone, Copy, Debug)]
pub enum Refuse {
    /// A system call by its number.
    Call(libc::c_long),
    /// A command of bpf(2).
    Bpf(u32),
}

fn check(result: i32) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Mounts a file system of 16 KiB over each of these directories, in a mount namespace of its own.
pub fn small_disks<'a>(command: &'a mut Command, directories: &[&Path]) -> &'a mut Command {
    let paths: Vec<CString> =
        directories.iter().map(|path| CString::new(path.as_os_str().as_bytes()).unwrap_or_default()).collect();
    let mount = move || {
        let (root, none, kind, size) = (c"/".as_ptr(), c"none".as_ptr(), c"tmpfs".as_ptr(), c"size=16k".as_ptr());
        // SAFETY: between fork and exec only system calls are made, with strings that were made before.
        unsafe {
            check(libc::unshare(libc::CLONE_NEWNS))?;
            let private = libc::MS_REC | libc::MS_PRIVATE;
            check(libc::mount(none, root, std::ptr::null(), private, std::ptr::null()))?;
            paths.iter().try_for_each(|path| check(libc::mount(none, path.as_ptr(), kind, 0, size.cast())))
        }
    };
    // SAFETY: as said above.
    unsafe { command.pre_exec(mount) }
}

/// Leaves a process these capabilities and no others, by their numbers; it stays root by name.
pub fn with_only<'a>(command: &'a mut Command, kept: &[u32]) -> &'a mut Command {
    let kept = kept.iter().fold(0u64, |kept, number| kept | 1 << number);
    let drop = move || {
        // SAFETY: between fork and exec only system calls are made, with numbers. What is in neither of the two sets nobody gains by exec.
        unsafe {
            check(libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))?;
            for number in (0..64u32).filter(|number| kept & 1 << number == 0) {
                if libc::prctl(libc::PR_CAPBSET_READ, number, 0, 0, 0) == 1 {
                    check(libc::prctl(libc::PR_CAPBSET_DROP, number, 0, 0, 0))?;
                }
            }
        }
        Ok(())
    };
    // SAFETY: as said above.
    unsafe { command.pre_exec(drop) }
}

/// Answers some system calls with EPERM, in the process and in all that it starts.
pub fn refuse<'a>(command: &'a mut Command, what: &[Refuse]) -> &'a mut Command {
    let mut filter = program(what);
    let install = move || {
        let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
        // SAFETY: between fork and exec one system call is made, with a program that outlives it.
        check(unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) })
    };
    // SAFETY: as said above.
    unsafe { command.pre_exec(install) }
}

/// The filter. Offsets are those of `struct seccomp_data`: number 0, first argument 16.
fn program(what: &[Refuse]) -> Vec<libc::sock_filter> {
    let load = |offset: u32| libc::sock_filter { code: 0x20, jt: 0, jf: 0, k: offset };
    let unless = |value: u32, skip: u8| libc::sock_filter { code: 0x15, jt: 0, jf: skip, k: value };
    let answer = |value: u32| libc::sock_filter { code: 0x06, jt: 0, jf: 0, k: value };
    let no = answer(libc::SECCOMP_RET_ERRNO | libc::EPERM as u32);
    let mut filter = Vec::new();
    for refuse in what {
        filter.push(load(0));
        match *refuse {
            Refuse::Call(number) => filter.extend([unless(number as u32, 1), no]),
            Refuse::Bpf(command) => {
                filter.extend([unless(libc::SYS_bpf as u32, 3), load(16), unless(command, 1), no]);
            }
        }
    }
    filter.push(answer(libc::SECCOMP_RET_ALLOW));
    filter
}

/// From now on, a running child can open no file: what it has open stays.
pub fn no_more_files(child: &Child) -> io::Result<()> {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the child has not been waited for, so that its id is its own; the new limit outlives the call, the old one is not
    // asked for.
    check(unsafe { libc::prlimit(child.id() as i32, libc::RLIMIT_NOFILE, &raw const none, std::ptr::null_mut()) })
}

/// Ignores SIGHUP, as nohup(1) does.
pub fn nohup(command: &mut Command) -> &mut Command {
    on_hangup(command, libc::SIG_IGN)
}

/// Does not ignore SIGHUP, although the tests may have been started so.
pub fn hears_hangup(command: &mut Command) -> &mut Command {
    on_hangup(command, libc::SIG_DFL)
}

fn on_hangup(command: &mut Command, what: libc::sighandler_t) -> &mut Command {
    let set = move || {
        // SAFETY: signal(2) takes two integers.
        match unsafe { libc::signal(libc::SIGHUP, what) } {
            libc::SIG_ERR => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    };
    // SAFETY: between fork and exec one system call is made.
    unsafe { command.pre_exec(set) }
}

/// A terminal: the end that a window would hold, and the end that programs write to.
pub fn terminal() -> io::Result<(OwnedFd, OwnedFd)> {
    let (mut outside, mut inside) = (-1, -1);
    let (name, settings, size) = (std::ptr::null_mut(), std::ptr::null(), std::ptr::null());
    // SAFETY: both descriptors outlive the call; what is null is not asked for.
    check(unsafe { libc::openpty(&raw mut outside, &raw mut inside, name, settings, size) })?;
    for fd in [outside, inside] {
        // Not for programs that are started later: the terminal closes with its last outer end.
        // SAFETY: the descriptor has just been made.
        check(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    }
    // SAFETY: openpty has made both for us.
    Ok(unsafe { (OwnedFd::from_raw_fd(outside), OwnedFd::from_raw_fd(inside)) })
}

/// Makes the terminal on standard input the one whose end the program is told of.
pub fn controlled_by_stdin(command: &mut Command) -> &mut Command {
    let take = || {
        // SAFETY: between fork and exec two system calls are made, with integers.
        unsafe {
            if libc::setsid() < 0 {
                return Err(io::Error::last_os_error());
            }
            check(libc::ioctl(0, libc::TIOCSCTTY, 0))
        }
    };
    // SAFETY: as said above.
    unsafe { command.pre_exec(take) }
}
