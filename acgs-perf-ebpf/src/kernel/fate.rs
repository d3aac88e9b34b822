//! What the kernel knows of a connection beside what was seen of it: bytes that nobody has read, how it ended, what a listener dropped.
//!
//! In: a socket. Out: its fields, through reads without a type, so that each of these can be asked of any socket.

use acgs_perf_common::fates::FatesFields;
use acgs_perf_common::fields::NO_FIELD;
use aya_ebpf::helpers::generated::{bpf_jiffies64, bpf_skc_to_tcp_sock};

use super::memory::probe;
use super::sock::{AF_UNIX, Sock};
use crate::globals::{field, offset};

/// Offsets of the fields that only this file reads.
#[unsafe(no_mangle)]
pub static FATES_FIELDS: FatesFields = FatesFields::ZERO;

/// See `tick`.
#[unsafe(no_mangle)]
pub static TICK_NS: u32 = 0;

/// `IPPROTO_TCP`.
const TCP: u16 = 6;
/// Bit of `sk_flags`: the other end has sent its last byte, which takes a place in the sequence of bytes by itself.
const DONE: u64 = 1 << 1;
/// `SOCK_NOSPACE`, a bit of `struct socket`'s flags.
const NO_SPACE: u64 = 1 << 2;
/// `sk_shutdown` of a UNIX socket whose other end is gone: neither direction is left.
const BOTH_WAYS: u8 = 3;
/// A state of TCP: nothing comes or goes any more.
const CLOSE: u8 = 7;

/// `struct sock_common *` as a whole socket of TCP; `None` if it is a smaller object.
#[inline(always)]
pub fn tcp_sock(common: *mut u8) -> Option<Sock> {
    // SAFETY: the pointer is the kernel's; the helper looks at what it points to.
    Sock::from_raw(unsafe { bpf_skc_to_tcp_sock(common.cast()) }.cast_const().cast())
}

impl Sock {
    #[inline(always)]
    fn read<T: Copy>(self, offset: usize) -> Option<T> {
        probe(self.as_ptr().cast_const().cast(), offset)
    }

    #[inline(always)]
    fn is_tcp(self) -> bool {
        self.read::<u16>(field!(FATES_FIELDS.sock_protocol)) == Some(TCP)
    }

    /// Whether bytes have arrived that nobody has read. The end of a stream lies in TCP's receive queue like bytes do, so that the
    /// queue alone does not tell.
    #[inline(always)]
    pub fn has_unread_bytes(self) -> bool {
        self.has_more_unread_than(0)
    }

    /// Whether more bytes than that have arrived that nobody has read; on a UNIX socket whether any have.
    #[inline(always)]
    pub fn has_more_unread_than(self, bytes: u32) -> bool {
        if !self.is_tcp() {
            return self.has_unread();
        }
        let received: u32 = self.read(field!(FATES_FIELDS.tcp_received)).unwrap_or(0);
        let copied: u32 = self.read(field!(FATES_FIELDS.tcp_copied)).unwrap_or(0);
        let flags: u64 = self.read(field!(FATES_FIELDS.sock_flags)).unwrap_or(0);
        received.wrapping_sub(copied) as i32 > bytes as i32 + i32::from(flags & DONE != 0)
    }

    /// How long ago the last bytes arrived in ns, to a tick; `None` where the kernel does not keep that.
    #[inline(always)]
    pub fn since_last_bytes(self) -> Option<u64> {
        if field!(FATES_FIELDS.tcp_last_data) == NO_FIELD as usize || !self.is_tcp() {
            return None;
        }
        let last: u32 = self.read(field!(FATES_FIELDS.tcp_last_data))?;
        // SAFETY: the helper has no preconditions.
        let ticks = (unsafe { bpf_jiffies64() } as u32).wrapping_sub(last);
        Some(u64::from(ticks) * u64::from(tick()))
    }

    /// Whether the client is gone for good: nothing that is sent now reaches it. One that has only said that it sends no more
    /// still reads.
    #[inline(always)]
    pub fn is_over(self) -> bool {
        if self.family() == AF_UNIX {
            return self.read::<u8>(offset!(sock_shutdown)).unwrap_or(0) & BOTH_WAYS == BOTH_WAYS;
        }
        self.state() == CLOSE
    }

    /// The error with which the connection ended: that of a reset, or of a client that answers no more; 0 if this end closed it.
    #[inline(always)]
    pub fn error(self) -> i32 {
        self.read(field!(FATES_FIELDS.sock_error)).unwrap_or(0)
    }

    /// What a listening socket has dropped because its queues were full.
    #[inline(always)]
    pub fn drops(self) -> u32 {
        self.read(field!(FATES_FIELDS.sock_drops)).unwrap_or(0)
    }

    /// Whether a send has found no room for all of its bytes, and there was none since.
    #[inline(always)]
    pub fn has_no_space(self) -> bool {
        let socket: Option<*const u8> = self.read(offset!(sock_socket));
        let flags: Option<u64> = socket.and_then(|socket| probe(socket, field!(FATES_FIELDS.socket_flags)));
        flags.unwrap_or(0) & NO_SPACE != 0
    }

    /// Inode of the socket; 0 if no process has it.
    #[inline(always)]
    pub fn inode(self) -> u64 {
        let socket: Option<*const u8> = self.read(offset!(sock_socket));
        let Some(socket) = socket.filter(|socket| !socket.is_null()) else { return 0 };
        probe(socket, field!(FATES_FIELDS.socket_inode) + field!(FATES_FIELDS.inode_number)).unwrap_or(0)
    }
}

/// Length of a tick of the kernel's coarse clock in ns; 0 if it is not known.
#[inline(always)]
pub fn tick() -> u32 {
    // SAFETY: the global is read-only memory that the agent filled before the program was loaded.
    unsafe { (&raw const TICK_NS).read_volatile() }
}
