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
    /// Sleeping of its own accord (nanosleep, pause).
    Sleep = 6,
    /// Blocked while a page fault was served.
    Fault = 7,
    /// Blocked in anything else (wait4, pipes, ioctl …).
    Other = 8,
}

/// Number of states.
pub const STATES: usize = 9;
/// The first blocked state; those from here on are the blocked classes.
pub const FIRST_BLOCKED: usize = State::Lock as usize;
/// Number of blocked classes.
pub const BLOCKED_CLASSES: usize = STATES - FIRST_BLOCKED;

/// Names in the report, by state.
pub const STATE_NAMES: [&str; STATES] =
    ["on_cpu", "run_queue", "lock", "disk", "socket", "poll", "sleep", "fault", "other"];

/// Size of the table from system call number to [`CallClass`]; numbers at or above it count as other.
pub const SYSCALLS: usize = 512;

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
