//! The states of a thread's clock, and how the system call in which a thread blocked maps to one.

/// What a thread is doing; exactly one at a time, so that the times in each add up to wall time.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Executing on a CPU.
    OnCpu = 0,
    /// Runnable, waiting for a CPU.
    RunQueue = 1,
    /// Blocked on a futex, a file lock or a semaphore.
    Lock = 2,
    /// Blocked on block I/O or on a file system's journal.
    Disk = 3,
    /// Blocked in a call on a socket.
    Socket = 4,
    /// Blocked in epoll, poll, select or `io_uring_enter`.
    Poll = 5,
    /// Sleeping of its own accord (nanosleep, pause). To a request also a wait for a futex or for events that its own limit ended.
    Sleep = 6,
    /// Blocked while a page fault was served.
    Fault = 7,
    /// Blocked in anything else (wait4, pipes, ioctl …).
    Other = 8,
    /// Runnable, and held back by the CPU quota of its control group. Only when the time is accounted: until it gets a CPU again, a
    /// thread in this state is on the run queue, with a mark.
    CpuQuota = 9,
}

/// Number of states.
pub const STATES: usize = 10;
/// The first blocked state; with those up to [`State::Other`] it makes the blocked classes.
pub const FIRST_BLOCKED: usize = State::Lock as usize;
/// Number of blocked classes.
pub const BLOCKED_CLASSES: usize = State::Other as usize - FIRST_BLOCKED + 1;

/// Names in the report, by state.
pub const STATE_NAMES: [&str; STATES] =
    ["on_cpu", "run_queue", "lock", "disk", "socket", "poll", "sleep", "fault", "other", "cpu_quota"];

/// Size of the table from system call number to [`CallClass`] and [`LimitIn`]; numbers at or above it count as other.
pub const SYSCALLS: usize = 512;

/// An entry of that table.
#[must_use]
pub const fn call_entry(class: CallClass, limit: LimitIn) -> u64 {
    (limit as u64) << CLASS_BITS | class as u64
}

/// The `CallClass` of an entry.
#[inline(always)]
#[must_use]
pub const fn class_of_entry(entry: u64) -> u32 {
    entry as u32 & ((1 << CLASS_BITS) - 1)
}

/// The `LimitIn` of an entry.
#[inline(always)]
#[must_use]
pub const fn limit_of_entry(entry: u64) -> u32 {
    (entry >> CLASS_BITS) as u32
}

const CLASS_BITS: u32 = 8;

/// What a system call's blocking means. The first values equal those of [`State`].
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallClass {
    /// See [`State::Lock`].
    Lock = State::Lock as u8,
    /// See [`State::Disk`].
    Disk = State::Disk as u8,
    /// See [`State::Socket`].
    Socket = State::Socket as u8,
    /// See [`State::Poll`].
    Poll = State::Poll as u8,
    /// See [`State::Sleep`].
    Sleep = State::Sleep as u8,
    /// See [`State::Other`].
    Other = State::Other as u8,
    /// `read`, `write` and relatives: the kind of the file descriptor decides between socket, disk and other.
    ByDescriptor = 32,
}

/// Where a system call has the time limit of its wait.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitIn {
    /// It has none, or none that we read.
    Nothing = 0,
    /// Milliseconds in the third argument; below 0 there is no limit.
    ThirdMs = 1,
    /// The same in the fourth.
    FourthMs = 2,
    /// A `timespec` behind the third argument, from the call on.
    ThirdSpan = 3,
    /// The same behind the fourth.
    FourthSpan = 4,
    /// The same behind the fifth.
    FifthSpan = 5,
    /// A `timeval` behind the fifth argument, from the call on.
    FifthTimeval = 6,
    /// A moment behind the fourth argument, on the clock that the fifth names.
    FourthMoment = 7,
    /// A moment behind the fifth argument, on the clock that the sixth names.
    FifthMoment = 8,
    /// Behind the fourth argument; what kind of limit it is, the operation in the second says.
    Futex = 9,
    /// In a struct behind the fifth argument, if a flag in the fourth says so.
    Ring = 10,
}
