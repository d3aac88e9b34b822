//! The bytes that the running thread sends or has read: where its system call has them.
//!
//! In: the arguments of the system call. Out: the bytes, piece by piece. What another thread or the kernel itself moves (`io_uring`,
//! `sendfile`, `splice`) is not to be seen here.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_probe_read_user;

use super::memory::probe_user;
use super::task::Task;

const READ: i64 = 0;
const WRITE: i64 = 1;
const READV: i64 = 19;
const WRITEV: i64 = 20;
const SENDTO: i64 = 44;
const RECVFROM: i64 = 45;
const SENDMSG: i64 = 46;
const RECVMSG: i64 = 47;
/// In `struct user_msghdr`.
const MSG_IOV: u64 = 16;
const MSG_IOVLEN: u64 = 24;
/// Size of `struct iovec`.
const IOVEC: u64 = 16;

/// What is left of a transfer.
#[repr(C)]
pub struct Source {
    /// Where the next byte is.
    at: u64,
    /// Bytes left there.
    here: u64,
    /// Where the vector's next part is described.
    next: u64,
    /// Parts of the vector that are left.
    parts: u64,
    /// Bytes left in all.
    pub left: u64,
}

impl Source {
    /// Points it to the `bytes` that the running system call has moved. Whether they are to be seen.
    #[inline(always)]
    pub fn begin(&mut self, bytes: u64) -> bool {
        let (call, buffer, length) = Task::current().transfer();
        (self.here, self.parts, self.left) = (0, 0, bytes);
        match call {
            READ | WRITE | SENDTO | RECVFROM => (self.at, self.here) = (buffer, bytes),
            READV | WRITEV => (self.next, self.parts) = (buffer, length),
            SENDMSG | RECVMSG => {
                let (Some(next), Some(parts)) = (probe_user(buffer + MSG_IOV), probe_user(buffer + MSG_IOVLEN)) else {
                    return false;
                };
                (self.next, self.parts) = (next, parts);
            }
            _ => return false,
        }
        true
    }

    /// Goes to the next part of the vector where this one is used up. Whether there are bytes.
    #[inline(always)]
    pub fn has_bytes(&mut self) -> bool {
        if self.here == 0 && self.parts != 0 {
            let [at, here] = probe_user(self.next).unwrap_or([0, 0]);
            (self.at, self.here) = (at, here);
            self.next = self.next.wrapping_add(IOVEC);
            self.parts -= 1;
        }
        self.here != 0
    }

    /// Whether the vector has more parts.
    #[inline(always)]
    pub fn parts_left(&self) -> bool {
        self.parts != 0
    }

    /// Bytes to be had in one piece.
    #[inline(always)]
    pub fn piece(&self) -> u64 {
        if self.here < self.left { self.here } else { self.left }
    }

    /// Copies the next `bytes` to `place`, which has room for them.
    #[inline(always)]
    pub fn copy(&self, place: *mut u8, bytes: u32) -> bool {
        // SAFETY: the verifier checks the room; the helper checks the address, which only names memory of the process.
        let failed = unsafe {
            bpf_probe_read_user(place.cast(), bytes, core::ptr::without_provenance::<c_void>(self.at as usize))
        };
        failed == 0
    }

    /// Passes over bytes.
    #[inline(always)]
    pub fn pass(&mut self, bytes: u64) {
        self.at = self.at.wrapping_add(bytes);
        self.here = self.here.wrapping_sub(bytes);
        self.left = self.left.wrapping_sub(bytes);
    }
}
