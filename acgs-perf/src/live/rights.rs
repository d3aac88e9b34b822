//! Capabilities: what of root's power a thread of the agent keeps.
//!
//! In: the rights that it still needs. Out: a thread that has these and no others, and gains none by whatever it executes. The kernel keeps
//! capabilities by thread, so each gives up its own; those that it starts later have no more than it had. That is no wall between threads,
//! which share their memory: what the process as a whole can do is what any of them can.

use std::fmt;
use std::io;

use serde::Serialize;

/// A capability that the agent uses for something; numbers as in include/uapi/linux/capability.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[repr(u8)]
pub enum Right {
    /// To write where only others may: a report into a user's directory.
    DacOverride = 1,
    /// To read what only others may: the descriptors of their processes.
    DacReadSearch = 2,
    /// To replace a report of somebody else's in a directory such as /tmp.
    Fowner = 3,
    /// To end a COMMAND that has become another user's.
    Kill = 5,
    /// To ask of which file, namespaces and sockets a process is.
    SysPtrace = 19,
    /// To look for requests in other network namespaces, and to have the kernel time its programs.
    SysAdmin = 21,
    /// To load programs that read the kernel's memory.
    Perfmon = 38,
    /// To load programs, and make their maps.
    Bpf = 39,
}

use Right::{Bpf, DacOverride, DacReadSearch, Fowner, Kill, Perfmon, SysAdmin, SysPtrace};

/// For a look at the processes of others.
pub const LOOK: &[Right] = &[DacReadSearch, SysPtrace];
/// For recording: a look, and programs. The last two are needed to load; they stay for SIGHUP, which loads again.
pub const RECORD: &[Right] = &[DacReadSearch, SysPtrace, Perfmon, Bpf];
/// For recording while the kernel times its programs.
pub const RECORD_TIMED: &[Right] = &[DacReadSearch, SysPtrace, SysAdmin, Perfmon, Bpf];
/// For writing a report once it is recorded.
pub const WRITE: &[Right] = &[DacOverride, Fowner];
/// The same while a COMMAND runs that may have to be ended.
pub const WRITE_AND_KILL: &[Right] = &[DacOverride, Fowner, Kill];
/// For a thread that only computes, or uses what it has open.
pub const NONE: &[Right] = &[];

/// `CAP_SETPCAP`, which it takes to make the bounding set smaller.
const SETPCAP: u32 = 8;
/// More capabilities than this the kernel's sets have no room for.
const MOST: u32 = 64;
/// `_LINUX_CAPABILITY_VERSION_3`: two words for each of the sets.
const VERSION: u32 = 0x2008_0522;

impl Right {
    fn bit(self) -> u64 {
        1 << self as u8
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DacOverride => "CAP_DAC_OVERRIDE",
            DacReadSearch => "CAP_DAC_READ_SEARCH",
            Fowner => "CAP_FOWNER",
            Kill => "CAP_KILL",
            SysPtrace => "CAP_SYS_PTRACE",
            SysAdmin => "CAP_SYS_ADMIN",
            Perfmon => "CAP_PERFMON",
            Bpf => "CAP_BPF",
        })
    }
}

/// Names of rights, for people.
#[must_use]
pub fn names(rights: &[Right]) -> String {
    rights.iter().map(Right::to_string).collect::<Vec<_>>().join(" ")
}

/// The capabilities that this thread holds and may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    effective: u64,
    permitted: u64,
}

impl Held {
    /// Whether it has this one.
    #[must_use]
    pub fn has(self, right: Right) -> bool {
        self.effective & right.bit() != 0
    }

    /// Those of `wanted` that it has not.
    #[must_use]
    pub fn lacks(self, wanted: &[Right]) -> Vec<Right> {
        wanted.iter().copied().filter(|right| !self.has(*right)).collect()
    }

    /// Whether it has none at all, also none that it only might use.
    #[must_use]
    pub fn is_nothing(self) -> bool {
        self.effective == 0 && self.permitted == 0
    }
}

#[repr(C)]
struct Head {
    version: u32,
    thread: i32,
}

/// Effective, permitted and inheritable; the lower half of all three first.
type Sets = [[u32; 3]; 2];

/// What this thread holds.
///
/// # Errors
/// When the kernel does not tell.
pub fn held() -> io::Result<Held> {
    let sets = get()?;
    let set = |which: usize| u64::from(sets[0][which]) | u64::from(sets[1][which]) << 32;
    Ok(Held { effective: set(0), permitted: set(1) })
}

/// Gives up, in this thread, all capabilities but these, for ever: neither it nor what it starts or executes gets one back. What it
/// did not have it does not gain.
///
/// # Errors
/// When the kernel refuses.
pub fn keep(rights: &[Right]) -> io::Result<()> {
    let kept = rights.iter().fold(0, |kept, right| kept | right.bit());
    let before = held()?;
    // SAFETY: these calls take numbers.
    unsafe {
        check(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
        check(libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))?;
        // Who may not make it smaller gains nothing by it either, since there are no new privileges.
        if before.effective & 1 << SETPCAP != 0 {
            for number in (0..MOST).filter(|number| kept & 1 << number == 0) {
                // The kernel has fewer than its sets have room for.
                if libc::prctl(libc::PR_CAPBSET_READ, number, 0, 0, 0) == 1 {
                    check(libc::prctl(libc::PR_CAPBSET_DROP, number, 0, 0, 0))?;
                }
            }
        }
    }
    let set = |of: u64| [of & kept, (of & kept) >> 32].map(|half| half as u32);
    let (effective, permitted) = (set(before.effective), set(before.permitted));
    put(&[[effective[0], permitted[0], 0], [effective[1], permitted[1], 0]])?;
    match held()? {
        now if now.permitted & !kept == 0 => Ok(()),
        _ => Err(io::Error::other("capabilities are left")),
    }
}

/// Has the kernel show nothing of this process's memory to others, and write none of it to a disk when it dies.
///
/// # Errors
/// When the kernel refuses.
pub fn hide_memory() -> io::Result<()> {
    // SAFETY: the call takes numbers.
    check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) })
}

fn get() -> io::Result<Sets> {
    let mut head = Head { version: VERSION, thread: 0 };
    let mut sets = Sets::default();
    // SAFETY: both outlive the call, and are as large as that version says.
    let result = unsafe { libc::syscall(libc::SYS_capget, &raw mut head, sets.as_mut_ptr()) };
    if result == 0 { Ok(sets) } else { Err(io::Error::last_os_error()) }
}

fn put(sets: &Sets) -> io::Result<()> {
    let mut head = Head { version: VERSION, thread: 0 };
    // SAFETY: as in `get`; the sets are only read.
    let result = unsafe { libc::syscall(libc::SYS_capset, &raw mut head, sets.as_ptr()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn check(result: i32) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_keeps_no_more_than_it_says() {
        let before = held().unwrap();
        let inside = std::thread::spawn(|| {
            keep(LOOK).unwrap();
            let first = held().unwrap();
            // What was given up does not come back.
            keep(RECORD).unwrap();
            let started = std::thread::spawn(|| held().unwrap()).join().unwrap();
            keep(NONE).unwrap();
            (first, started, held().unwrap())
        });
        let (first, started, last) = inside.join().unwrap();
        for right in RECORD_TIMED.iter().chain(WRITE_AND_KILL) {
            assert_eq!(first.has(*right), before.has(*right) && LOOK.contains(right), "{right}");
        }
        assert_eq!((started, last.is_nothing()), (first, true));
        assert_eq!(held().unwrap(), before, "other threads keep theirs");
    }

    #[test]
    fn what_is_missing_has_a_name() {
        let nothing = Held { effective: 0, permitted: 0 };
        assert_eq!(names(&nothing.lacks(RECORD)), "CAP_DAC_READ_SEARCH CAP_SYS_PTRACE CAP_PERFMON CAP_BPF");
        assert!(Held { effective: 1 << 39, permitted: 1 << 39 }.lacks(&[Bpf]).is_empty());
    }
}
