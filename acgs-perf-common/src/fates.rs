//! Requests without an end: what is counted of those that nobody waits for any more, and what a look at the sockets tells of those
//! that somebody does.
//!
//! In: nothing. Out: the words of a service's sums, the record of a look, and the kernel fields that only these read.

use crate::maps::HISTOGRAM_WORDS;

/// Words of a service's sums: requests whose client left before a reply began, or before it had left.
pub const ABANDONED: u32 = 0;
/// Sum of the times that these had waited when the client left.
pub const ABANDONED_SUM: u32 = 1;
/// Those of them that were answered all the same.
pub const INTO_CLOSED: u32 = 2;
/// Requests whose connection the service closed instead of answering.
pub const CUT_OFF: u32 = 3;
/// Messages without a reply, behind which the client closed: farewells.
pub const FAREWELLS: u32 = 4;
/// Messages that came on connections on which the service never sends.
pub const ONE_WAY: u32 = 5;
/// First bucket of the times that abandoned requests had waited; what was over range follows the buckets.
pub const ABANDONED_BUCKETS: u32 = 8;
/// Words of one service.
pub const FATE_WORDS: u32 = ABANDONED_BUCKETS + HISTOGRAM_WORDS;

/// Index into the `FATES` array of a service's first word.
#[inline(always)]
#[must_use]
pub const fn fates_base(service: u32) -> u32 {
    service * FATE_WORDS
}

/// `Sighting::kind`: a request that has no end.
pub const OPEN_REQUEST: u32 = 0;
/// `Sighting::kind`: a socket that listens.
pub const LISTENING_SOCKET: u32 = 1;
/// `Sighting::kind`: a request whose reply has not left yet, or not all of it.
pub const HELD_REPLY: u32 = 2;

/// `Sighting::flags`: nobody saw the request arrive, because the recording began later; a listening socket had dropped before then
/// what it has at the first look.
pub const OLDER: u32 = 1;
/// `Sighting::flags`: nor does the kernel know when that was; it was there when the recording began.
pub const AT_LEAST: u32 = 2;
/// `Sighting::flags`: a listening socket with `TCP_DEFER_ACCEPT`.
pub const DEFERS: u32 = 4;

/// What a look tells of one socket.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sighting {
    /// When the request arrived, on the clock of the programs.
    pub arrived: u64,
    /// When it was read; 0 if nobody has read it.
    pub read: u64,
    /// When its reply began; 0 if it has not. Only where that was after the window was closed; of a [`HELD_REPLY`] the moment up to which
    /// it is accounted.
    pub replied: u64,
    /// Inode of the socket, which is the same in /proc; 0 if no process has it, as before it is accepted.
    pub inode: u64,
    /// The client: IPv4 as an IPv6-mapped one, network byte order; 0 for UNIX.
    pub address: [u32; 4],
    /// The client's port, 0 for UNIX; a listening socket's own.
    pub port: u32,
    /// Service, from 0.
    pub service: u32,
    /// [`OPEN_REQUEST`], [`LISTENING_SOCKET`] or [`HELD_REPLY`].
    pub kind: u32,
    /// [`OLDER`], [`AT_LEAST`] and [`DEFERS`].
    pub flags: u32,
    /// Connections and first segments that a listening socket has dropped since it was made; wraps.
    pub drops: u32,
    /// So many more like it, at least as old, wait on the same connection.
    pub more: u32,
}

/// A client that closes its end so soon after its message waits for no reply: a farewell.
pub const FAREWELL_NS: u64 = 10_000_000;
/// Bytes that come so long after others of the same request may be another message; and a send so long after the one before may be one
/// that nobody asked for.
pub const PAUSE_NS: u64 = 10_000_000;

crate::kernel_fields! {
    /// Offsets of the fields that tell what became of a request.
    FatesFields {
        sock_flags = "sock"."__sk_common.skc_flags";
        sock_protocol = "sock"."sk_protocol";
        sock_error = "sock"."sk_err";
        sock_drops = "sock"."sk_drops";
        tcp_received = "tcp_sock"."rcv_nxt";
        tcp_copied = "tcp_sock"."copied_seq";
        tcp_last_data = "inet_connection_sock"."icsk_ack.lrcvtime" or absent;
        tcp_written = "tcp_sock"."write_seq";
        tcp_sent = "tcp_sock"."snd_nxt";
        tcp_acknowledged = "tcp_sock"."snd_una";
        tcp_window = "tcp_sock"."snd_wnd";
        tcp_segment = "tcp_sock"."mss_cache";
        tcp_acknowledged_sent_us = "tcp_sock"."first_tx_mstamp";
        tcp_last_sent = "tcp_sock"."tcp_wstamp_ns";
        tcp_busy_since = "tcp_sock"."chrono_start";
        tcp_busy = "tcp_sock"."chrono_stat";
        segment_control = "sk_buff"."cb";
        segment_begin = "tcp_skb_cb"."seq";
        socket_flags = "socket"."flags";
        socket_inode = "socket_alloc"."vfs_inode";
        inode_number = "inode"."i_ino";
    }
}

const _: () = assert!(size_of::<Sighting>() == 72);
const _: () = assert!(fates_base(crate::maps::MAX_SERVICES) < u32::MAX / 8);
