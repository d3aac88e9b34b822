//! `struct tcp_sock`: how far the bytes of a connection have come.
//!
//! In: a socket. Out: its fields, through direct loads. What is no TCP socket has none of them: UNIX sockets, and MPTCP, whose bytes
//! leave through other sockets.

use acgs_perf_common::rules::delivery::Progress;

use super::fate::FATES_FIELDS;
use super::memory::{load, probe};
use super::sock::Sock;
use crate::globals::field;
use aya_ebpf::helpers::generated::{bpf_jiffies64, bpf_skc_to_tcp_sock};

/// `struct tcp_sock *`, never null.
#[derive(Clone, Copy)]
pub struct Transmit(*const u8);

impl Transmit {
    #[inline(always)]
    pub fn of(sk: Sock) -> Option<Self> {
        // SAFETY: the pointer is the kernel's; the helper looks at what it points to.
        let tcp: *const u8 = unsafe { bpf_skc_to_tcp_sock(sk.as_ptr()) }.cast_const().cast();
        (!tcp.is_null()).then_some(Self(tcp))
    }

    /// End of what was written.
    #[inline(always)]
    pub fn written(self) -> u32 {
        load(self.0, field!(FATES_FIELDS.tcp_written))
    }

    /// End of what was sent.
    #[inline(always)]
    pub fn sent(self) -> u32 {
        load(self.0, field!(FATES_FIELDS.tcp_sent))
    }

    /// End of what was acknowledged.
    #[inline(always)]
    pub fn acknowledged(self) -> u32 {
        load(self.0, field!(FATES_FIELDS.tcp_acknowledged))
    }

    /// Up to where the client takes bytes.
    #[inline(always)]
    pub fn window_end(self) -> u32 {
        self.acknowledged().wrapping_add(load(self.0, field!(FATES_FIELDS.tcp_window)))
    }

    /// Bytes of a full segment.
    #[inline(always)]
    pub fn segment(self) -> u32 {
        load(self.0, field!(FATES_FIELDS.tcp_segment))
    }

    /// Ticks in which the connection has had bytes that were not acknowledged, whoever they waited for: what `ss -i` calls busy.
    #[inline(always)]
    pub fn busy(self) -> u32 {
        let [with_bytes, of_window, of_buffer]: [u32; 3] = load(self.0, field!(FATES_FIELDS.tcp_busy));
        let since: u32 = load(self.0, field!(FATES_FIELDS.tcp_busy_since));
        // SAFETY: the helper has no preconditions.
        let ticks = (unsafe { bpf_jiffies64() } as u32).wrapping_sub(since);
        let running = if self.written() == self.acknowledged() { 0 } else { ticks };
        with_bytes.wrapping_add(of_window).wrapping_add(of_buffer).wrapping_add(running)
    }

    /// When the segment was sent, the last time, that was acknowledged last.
    #[inline(always)]
    pub fn acknowledged_sent_at(self) -> u64 {
        load::<u64>(self.0, field!(FATES_FIELDS.tcp_acknowledged_sent_us)).wrapping_mul(1_000)
    }

    /// Where a segment, which is a `struct sk_buff *`, begins; `None` if there is none.
    #[inline(always)]
    pub fn begin_of(segment: *const u8) -> Option<u32> {
        if segment.is_null() {
            return None;
        }
        probe(segment, field!(FATES_FIELDS.segment_control) + field!(FATES_FIELDS.segment_begin))
    }

    #[inline(always)]
    pub fn progress(self) -> Progress {
        Progress {
            written: self.written(),
            sent: self.sent(),
            acknowledged: self.acknowledged(),
            acknowledged_sent_at: self.acknowledged_sent_at(),
            last_sent_at: load(self.0, field!(FATES_FIELDS.tcp_last_sent)),
        }
    }
}
