//! Takes from the network-facing process all that it does not need, before it reads a byte of a stranger's.
//!
//! In: a process that has just been forked, and its descriptors. Out: one that belongs to nobody, holds these descriptors and standard
//! error, and may use sockets that it has, memory and clocks; all else fails with EPERM. It happens in two steps, because the event
//! loop is made between them.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::RawFd;

use landlock::{ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _, Scope};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

use crate::live::rights;

/// User and group that own nothing: `nobody` everywhere.
const NOBODY: u32 = 65_534;
/// Connections, the pipe, the event loop, and a few.
const MAX_DESCRIPTORS: u64 = 256;

/// System calls that an event loop with connections and memory makes.
const ALLOWED: &[i64] = &[
    libc::SYS_accept4,
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_close,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_getsockopt,
    libc::SYS_gettid,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_yield,
    libc::SYS_sendto,
    libc::SYS_shutdown,
    libc::SYS_sigaltstack,
    libc::SYS_tgkill,
    libc::SYS_write,
    libc::SYS_writev,
];
/// Those that a process needs beside them to which the agent hands connections: to take one, and to see that it does not block.
const ALLOWED_TO_BE_HANDED: &[i64] = &[libc::SYS_recvmsg];
/// Those that are allowed for memory that holds no code.
const ALLOWED_WITHOUT_CODE: &[i64] = &[libc::SYS_mmap, libc::SYS_mprotect];
/// Where these have the protection.
const PROTECTION: u8 = 2;
/// Where `fcntl` has what is to be done.
const COMMAND: u8 = 1;

/// How a process comes to connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It accepts them on a socket that it has.
    Serves,
    /// The agent makes them and hands them over; none is accepted.
    IsHanded,
}

/// The first step: descriptors, limits, user, privileges.
///
/// # Errors
/// When something cannot be given up; then the process must not go on.
pub fn drop_privileges(kept: &[RawFd]) -> io::Result<()> {
    close_others(kept)?;
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGXFSZ] {
        // A terminal, or a service manager, means the agent too, and this process ends when that does. Standard error may be a file, which is
        // not to be written here: that is an error and no end.
        // SAFETY: nothing is run on the signal.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    limit(libc::RLIMIT_NOFILE, MAX_DESCRIPTORS)?;
    limit(libc::RLIMIT_CORE, 0)?;
    limit(libc::RLIMIT_FSIZE, 0)?;
    limit(libc::RLIMIT_MEMLOCK, 0)?;
    become_nobody()
}

/// Gives up user, groups and capabilities, for ever; the process ends when its parent does.
///
/// # Errors
/// When something cannot be given up; then the process must not go on.
pub(super) fn become_nobody() -> io::Result<()> {
    // SAFETY: these calls take numbers, and the first an empty list.
    unsafe {
        // An agent that is not root has a user that owns nothing but the ring, which cannot be opened here.
        if libc::geteuid() == 0 {
            check(libc::setgroups(0, std::ptr::null()))?;
            check(libc::setresgid(NOBODY, NOBODY, NOBODY))?;
            check(libc::setresuid(NOBODY, NOBODY, NOBODY))?;
        }
        rights::keep(rights::NONE)?;
        rights::hide_memory()?;
        // Only now: a change of the user takes it back.
        check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0))?;
    }
    match rights::held()?.is_nothing() {
        true => Ok(()),
        false => Err(io::Error::other("capabilities are left")),
    }
}

/// The second step: no file, no new socket, no other process, nothing of the kernel's but what is on the list.
///
/// # Errors
/// When the kernel cannot do it.
pub fn confine(way: Way) -> io::Result<()> {
    // Where the kernel has no Landlock, the list of system calls has no call that opens a file either.
    landlock().map_err(io::Error::other)?;
    let filter: BpfProgram = filter(way).map_err(io::Error::other)?;
    seccompiler::apply_filter(&filter).map_err(io::Error::other)
}

fn landlock() -> Result<(), landlock::RulesetError> {
    let abi = ABI::V6;
    let rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .scope(Scope::from_all(abi))?;
    rules.create()?.restrict_self().map(drop)
}

fn filter(way: Way) -> Result<BpfProgram, seccompiler::BackendError> {
    let is_no_code =
        SeccompCondition::new(PROTECTION, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(libc::PROT_EXEC as u64), 0)?;
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = ALLOWED.iter().map(|call| (*call, Vec::new())).collect();
    for call in ALLOWED_WITHOUT_CODE {
        rules.insert(*call, vec![SeccompRule::new(vec![is_no_code.clone()])?]);
    }
    if way == Way::IsHanded {
        rules.remove(&libc::SYS_accept4);
        rules.extend(ALLOWED_TO_BE_HANDED.iter().map(|call| (*call, Vec::new())));
        let asks = SeccompCondition::new(COMMAND, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, libc::F_GETFL as u64)?;
        rules.insert(libc::SYS_fcntl, vec![SeccompRule::new(vec![asks])?]);
    }
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let refused = SeccompAction::Errno(libc::EPERM as u32);
    SeccompFilter::new(rules, refused, SeccompAction::Allow, arch)?.try_into()
}

/// Closes all descriptors but these and standard error; input and output lead nowhere.
pub(super) fn close_others(kept: &[RawFd]) -> io::Result<()> {
    let null = c"/dev/null";
    // SAFETY: the path ends in a zero; the descriptors are numbers.
    unsafe {
        let nowhere = check(libc::open(null.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC))?;
        check(libc::dup2(nowhere, 0))?;
        check(libc::dup2(nowhere, 1))?;
    }
    let mut kept: Vec<u32> = kept.iter().filter_map(|fd| u32::try_from(*fd).ok()).filter(|fd| *fd > 2).collect();
    kept.sort_unstable();
    let mut first = 3;
    for fd in kept.into_iter().chain([u32::MAX]) {
        if first < fd {
            // SAFETY: nobody in this process uses what is closed: it has just been forked, and has been given what it keeps.
            unsafe { check_long(libc::syscall(libc::SYS_close_range, first, fd - 1, 0))? };
        }
        first = fd.saturating_add(1);
    }
    Ok(())
}

pub(super) fn limit(what: libc::__rlimit_resource_t, most: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: `limit` outlives the call, which reads it.
    check(unsafe { libc::setrlimit(what, &raw const limit) }).map(drop)
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn check_long(result: i64) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::fd::AsRawFd as _;
    use std::process::Command;

    use super::*;

    /// Says to the process below that it is the one that is confined.
    const INSIDE: &str = "ACGS_PERF_TEST_CONFINED";
    /// And, if it is there, that it is one to which connections are handed.
    const HANDED: &str = "ACGS_PERF_TEST_HANDED";
    /// The descriptor on which somebody listens whom it must not reach.
    const OPEN: i32 = 77;

    fn is_root() -> bool {
        // SAFETY: geteuid has no preconditions.
        unsafe { libc::geteuid() == 0 }
    }

    /// What the process must not be able to do, each with what came of it.
    fn tries(port: u16) -> Vec<(&'static str, bool)> {
        let bpf = || {
            let attr = [0u8; 120];
            // SAFETY: the attributes are long enough, and of no map.
            unsafe { libc::syscall(libc::SYS_bpf, 0, attr.as_ptr(), attr.len()) >= 0 }
        };
        let code = || {
            // SAFETY: a new mapping, which nobody uses.
            let page = unsafe {
                libc::mmap(
                    std::ptr::null_mut(),
                    4096,
                    libc::PROT_EXEC | libc::PROT_READ,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                    -1,
                    0,
                )
            };
            page != libc::MAP_FAILED
        };
        // SAFETY: calls that are refused, on numbers; none has preconditions.
        let (kill, fork, ptrace, old) = unsafe {
            (
                libc::kill(libc::getppid(), 0) == 0,
                libc::fork() >= 0,
                libc::ptrace(libc::PTRACE_TRACEME) >= 0,
                libc::fcntl(OPEN, libc::F_GETFD) >= 0,
            )
        };
        vec![
            ("open a file", std::fs::File::open("/dev/null").is_ok()),
            ("list a directory", std::fs::read_dir("/").is_ok()),
            ("write a file", std::fs::write("/tmp/acgs-perf-confined", b"x").is_ok()),
            ("connect elsewhere", TcpStream::connect(("127.0.0.1", port)).is_ok()),
            ("listen", TcpListener::bind("127.0.0.1:0").is_ok()),
            ("send", UdpSocket::bind("127.0.0.1:0").is_ok()),
            ("make a map", bpf()),
            ("make code", code()),
            ("run a program", Command::new("/bin/true").status().is_ok()),
            ("signal", kill),
            ("fork", fork),
            ("trace", ptrace),
            ("keep a descriptor", old),
        ]
    }

    #[test]
    fn a_confined_process_can_do_nothing_of_this() {
        if !is_root() {
            // Without root there is nothing to give up.
            return;
        }
        if let Ok(port) = std::env::var(INSIDE) {
            // Which threads the test's runner has does not matter: nothing but this one goes on.
            let way = if std::env::var_os(HANDED).is_some() { Way::IsHanded } else { Way::Serves };
            drop_privileges(&[]).unwrap();
            confine(way).unwrap();
            let done: Vec<&str> =
                tries(port.parse().unwrap()).iter().filter(|(_, done)| *done).map(|(what, _)| *what).collect();
            let code = if done.is_empty() { 42 } else { 43 };
            let said = format!("{done:?}\n");
            // SAFETY: ends this process at once, without destructors that need what is gone; the text is as long as it says.
            unsafe {
                libc::write(2, said.as_ptr().cast(), said.len());
                libc::_exit(code);
            }
        }
        let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = elsewhere.local_addr().unwrap().port();
        // SAFETY: a copy of a descriptor, for the process below; it closes with this one.
        unsafe { libc::dup2(elsewhere.as_raw_fd(), OPEN) };
        assert!(tries_work(port), "outside, some of it works");
        let name = "serve::confine::tests::a_confined_process_can_do_nothing_of_this";
        for way in [Way::Serves, Way::IsHanded] {
            let mut inside = Command::new(std::env::current_exe().unwrap());
            inside.args([name, "--exact", "--nocapture", "--test-threads=1"]).env(INSIDE, port.to_string());
            if way == Way::IsHanded {
                inside.env(HANDED, "1");
            }
            let output = inside.output().unwrap();
            assert_eq!(output.status.code(), Some(42), "{way:?}: {}", String::from_utf8_lossy(&output.stderr));
            // What it says to a file is lost, and it lives.
            let status = inside.stderr(tempfile::tempfile().unwrap()).status().unwrap();
            assert_eq!(status.code(), Some(42), "{way:?}: {status}");
        }
    }

    fn tries_work(port: u16) -> bool {
        std::fs::File::open("/dev/null").is_ok() && TcpStream::connect(("127.0.0.1", port)).is_ok()
    }
}
