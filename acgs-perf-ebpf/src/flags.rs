//! Flags of maps and of the helpers that use them, as numbers of the kernel's user interface.

/// `BPF_F_MMAPABLE`: the agent reads and writes the array as memory.
pub const MMAPABLE: usize = 1 << 10;
/// `BPF_F_NO_PREALLOC`: memory for an entry is taken when it is made. Local storage demands it.
pub const NO_PREALLOC: usize = 1;
/// `BPF_NOEXIST`: an insert fails if the key is there.
pub const NO_EXIST: u64 = 1;
/// `BPF_LOCAL_STORAGE_GET_F_CREATE`: a value is made where there is none.
pub const CREATE: u64 = 1;
/// `BPF_RB_NO_WAKEUP`: nobody is woken for a record in a ring.
pub const NO_WAKEUP: u64 = 1;
