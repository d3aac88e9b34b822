//! A thread as the kernel knows it, for the rules that ask in which system call who wakes whom is.
//!
//! In: nothing. Out: the trait, which the kernel side has for its tasks.

/// The call on a futex.
pub const FUTEX: i64 = 202;

/// A thread as the kernel knows it: who it is, and the system call that it is in.
pub trait Caller {
    /// Number of the thread.
    fn pid(&self) -> u32;
    /// Number of its process.
    fn tgid(&self) -> u32;
    /// Service + 1 of the process, 0 for a stranger.
    fn service_byte(&self) -> u32;
    /// Number of the system call, negative outside of one.
    fn syscall(&self) -> i64;
    /// Third argument of the system call.
    fn third_argument(&self) -> u64;
    /// Whether the futex wait that it is in is for a mutex.
    fn awaits_mutex(&self) -> bool;
    /// The `CallClass` of a system call; 0 if it has none.
    fn class_of(&self, syscall: i64) -> u64;

    /// Whether it is in a call on a futex.
    #[inline(always)]
    fn is_in_futex(&self) -> bool {
        self.syscall() == FUTEX
    }
}
