//! Layout of the maps: indexes, sizes and the values that cross the boundary.
//!
//! Counters and histograms live in plain arrays, one copy per shard. A program adds atomically to the shard of the CPU it
//! runs on; the agent maps the arrays into its memory and sums the shards, without a system call.

use crate::attribution::PEER_SLOTS;
use crate::histogram::BUCKETS;
use crate::state::{BLOCKED_CLASSES, STATES, SYSCALLS};

/// At most this many shards, a power of two; more CPUs share them. Bounds memory: one service needs
/// [`HISTOGRAMS`] × 30 KiB per shard.
pub const MAX_SHARDS: u32 = 4;
/// At most this many services in one recording; a service id is a `u8`, and 0 means "no target".
pub const MAX_SERVICES: u32 = 64;

/// What the agent tells the programs while they run; the variable `SWITCHES`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switches {
    /// [`STOPPED_ATTRIBUTION`], [`STOPPED_SCHED`], [`STOPPED_ENDPOINTS`], [`COUNTING`].
    pub bits: u64,
    /// When the window was opened, on the programs' clock; [`NEVER`] before.
    pub opened_ns: u64,
    /// When it was closed; [`NEVER`] before.
    pub closed_ns: u64,
    /// By how much the wall clock is ahead of the programs' clock.
    pub wall_ahead_ns: u64,
}

impl Switches {
    /// Before the window.
    pub const SHUT: Self = Self { bits: 0, opened_ns: NEVER, closed_ns: NEVER, wall_ahead_ns: 0 };
}

/// The section in which that variable is alone: a map by this name.
pub const SWITCHES_SECTION: &str = ".data.switches";

/// A moment that has not come.
pub const NEVER: u64 = u64::MAX;
/// Bit of `Switches::bits`: the agent has stopped the probe `attribution`.
pub const STOPPED_ATTRIBUTION: u64 = 1;
/// Bit of `Switches::bits`: the agent has stopped the probe `sched`.
pub const STOPPED_SCHED: u64 = 2;
/// Bit of `Switches::bits`: the agent has stopped the probe `endpoints`.
pub const STOPPED_ENDPOINTS: u64 = 8;
/// Bit of `Switches::bits`: the window is open, and what happens counts. Before and after it the programs follow threads,
/// sockets and requests all the same, so that what is under way when the window opens is known.
pub const COUNTING: u64 = 4;

/// A service that no map has an entry for: what is added to it counts nowhere.
pub const NO_SERVICE: u32 = MAX_SERVICES;

/// Which distribution a histogram holds; the blocked classes follow [`Histogram::BLOCKED`] in the order of `State`.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Histogram {
    /// arrived → last byte.
    Latency = 0,
    /// arrived → read.
    QueueTime = 1,
    /// read → first byte.
    ServiceTime = 2,
    /// Runnable → running.
    RunQueue = 3,
    /// SYN sent → established, of the service's own connections to others.
    Connect = 4,
    /// Established → accepted by the application.
    AcceptWait = 5,
    /// Smoothed round-trip time as the kernel's TCP estimates it.
    Srtt = 6,
}

/// Index of the histogram of the first blocked class.
pub const BLOCKED_HISTOGRAM: u32 = 7;
/// Histograms per service and shard.
pub const HISTOGRAMS: u32 = BLOCKED_HISTOGRAM + BLOCKED_CLASSES as u32;

/// Words of one histogram: the buckets, then what was over range.
pub const HISTOGRAM_WORDS: u32 = BUCKETS as u32 + 1;

/// Index into the `HISTOGRAMS` array of the first bucket of a histogram. `service` counts from 0.
#[inline(always)]
#[must_use]
pub const fn histogram_base(shards: u32, service: u32, histogram: u32, shard: u32) -> u32 {
    ((service * HISTOGRAMS + histogram) * shards + shard) * HISTOGRAM_WORDS
}

/// Counters per service. Times are cumulative nanoseconds.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Requests answered.
    Requests = 0,
    /// Requests read; those not answered yet are the difference.
    Read = 1,
    /// Sum of all latencies.
    LatencySum = 2,
    /// Sum of all queue times.
    QueueTimeSum = 3,
    /// Sum of all service times.
    ServiceTimeSum = 4,
    /// Bytes that the service read from its clients.
    BytesIn = 5,
    /// Bytes that the service sent to its clients.
    BytesOut = 6,
    /// Sends on a server socket on which data arrived while we watched, but no request was read yet.
    UnsolicitedSends = 7,
    /// Context switches in which the thread blocked.
    VoluntarySwitches = 8,
    /// Context switches in which the thread was still runnable.
    InvoluntarySwitches = 9,
    /// TCP connections the service accepted.
    ConnectionsAccepted = 10,
    /// TCP connections the service opened.
    ConnectionsOpened = 11,
    /// TCP connections the service failed to open.
    ConnectFailures = 12,
    /// Segments retransmitted on the service's sockets.
    Retransmits = 13,
    /// Resets received on the service's sockets.
    ResetsReceived = 14,
    /// Resets sent from the service's sockets.
    ResetsSent = 15,
    /// Processes that joined the service by fork while we watched.
    Forked = 16,
    /// Processes of the service that exited while we watched.
    Exited = 17,
}

/// Index of the counter that holds the nanoseconds in the first thread state; the others follow.
pub const STATE_COUNTER: u32 = 18;
/// Index of the first of two counters of those processes that have no entry of their own: words as in [`Worker`].
pub const OTHER_WORKERS: u32 = STATE_COUNTER + STATES as u32;
/// Counters per service and shard.
pub const COUNTERS: u32 = OTHER_WORKERS + 2;

/// Words from a block of counters to the next: whole cache lines of 64 bytes, so that no CPU writes to a line of another's
/// shard, and a request's counters are in one. One line more than needed: times a power of two the compiler shifts, and the
/// verifier goes through 14 % more of `sched_process_exit`.
pub const COUNTER_BLOCK: u32 = 40;

/// Index into the `COUNTERS` array, whose entries are blocks. `service` counts from 0.
#[inline(always)]
#[must_use]
pub const fn counter_block(shards: u32, service: u32, shard: u32) -> u32 {
    service * shards + shard
}

/// The word of a counter among those of all blocks.
#[inline(always)]
#[must_use]
pub const fn counter_index(shards: u32, service: u32, counter: u32, shard: u32) -> u32 {
    counter_block(shards, service, shard) * COUNTER_BLOCK + counter
}

/// Records of system calls per service: of each distinct one, and the last of all for which there is none.
pub const SYSCALL_SLOTS: u32 = 64;
/// The slot of those others.
pub const OTHER_CALLS_SLOT: u32 = SYSCALL_SLOTS - 1;
/// In place of their number.
pub const OTHER_CALLS: u32 = SYSCALLS as u32;
/// In a system call's record: count, errors, sum of ns, over range, then the buckets.
pub const SYSCALL_HEADER: u32 = 4;
/// Words of one system call's record.
pub const SYSCALL_WORDS: u32 = SYSCALL_HEADER + BUCKETS as u32;

/// Index into the `SYSCALL_SLOT` array, whose value is the slot + 1, or 0.
#[inline(always)]
#[must_use]
pub const fn syscall_slot_index(service: u32, nr: u32) -> u32 {
    service * SYSCALLS as u32 + nr
}

/// Key of the tables of ports: a port of one network namespace, by the namespace's inode.
#[inline(always)]
#[must_use]
pub const fn port_key(network: u32, port: u32) -> u64 {
    ((network as u64) << 32) | port as u64
}

/// Ports of TCP.
pub const PORTS: usize = 1 << 16;
/// The section in which the table is alone that says which service listens on each: a map by this name.
pub const PORTS_SECTION: &str = ".data.ports";

/// Who may open a port later, and joins the service then.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WantedPort {
    /// The service, from 0.
    pub service: u32,
    /// Inodes of the user namespaces from which a process may do so; 0 for none.
    pub users: [u32; WANTED_USERS],
}

/// User namespaces per wanted port: the agent's, and those of the processes that had the port when the recording began.
pub const WANTED_USERS: usize = 3;
/// Entries of the table of wanted ports.
pub const WANTED_PORTS: u32 = 512;
/// Entries of the table of ports on which services listen, by network namespace.
pub const LISTENERS: u32 = 1024;
/// UNIX listeners of which a reader has said whose they are; the least recent makes room, and is told again.
pub const UNIX_LISTENERS: u32 = 256;

/// Key of the errno table: service, system call, errno.
#[inline(always)]
#[must_use]
pub const fn errno_key(service: u32, nr: u32, errno: u32) -> u64 {
    ((service as u64) << 32) | ((nr as u64) << 16) | errno as u64
}

/// A TCP peer: IPv4 addresses are kept as IPv6-mapped ones.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PeerKey {
    /// Address, network byte order.
    pub address: [u32; 4],
    /// Port of the peer for connections the service opened, 0 for those it accepted (its clients' ports are ephemeral).
    pub port: u32,
    /// Service, from 0.
    pub service: u32,
}

/// Index into the `PEER_OTHERS` array: the peers of a service that the table of peers has no room for.
#[inline(always)]
#[must_use]
pub const fn others_index(service: u32, outgoing: bool) -> u32 {
    service * 2 + outgoing as u32
}

/// What is counted per peer.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerStats {
    /// Connections established.
    pub connections: u64,
    /// Connections that failed.
    pub failures: u64,
    /// Sum of the connect times in ns (connections the service opened).
    pub connect_ns: u64,
    /// Retransmitted segments.
    pub retransmits: u64,
    /// Resets, both ways.
    pub resets: u64,
    /// Last smoothed round-trip time in µs, 0 before the first sample.
    pub srtt_us: u64,
}

/// Who ran while a thread of the service waited for its CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Preemptor {
    /// Waits that ended when this process left the CPU.
    pub waits: u64,
    /// Their sum in ns.
    pub wait_ns: u64,
    /// Command name at the first such wait.
    pub comm: [u8; 16],
}

/// What a process of a service has answered.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Worker {
    /// Requests that its threads have answered.
    pub requests: u64,
    /// Those of them that were slower than the P99 until then.
    pub slow: u64,
}

/// Figures of one downstream peer: these words, then the buckets of the latency of its calls.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DownstreamWord {
    /// Calls that were sent; those answered are in the buckets.
    Sent = 0,
    /// Sum of the latencies, send → first byte back.
    LatencySum = 1,
    /// Latencies over range.
    OverRange = 2,
    /// Connections opened.
    Connects = 3,
    /// Sends of a request on a connection on which the call of another request was outstanding.
    Multiplexed = 4,
}

/// Words before the buckets.
pub const DOWNSTREAM_HEADER: u32 = 5;
/// Words of one downstream peer.
pub const DOWNSTREAM_WORDS: u32 = DOWNSTREAM_HEADER + BUCKETS as u32;
/// Bytes of the downstream peers of one service.
pub const DOWNSTREAM_BYTES: usize = DOWNSTREAM_WORDS as usize * 8 * PEER_SLOTS;

/// Index into the `DOWNSTREAM` array of the first word of a peer.
#[inline(always)]
#[must_use]
pub const fn downstream_base(service: u32, slot: u32) -> u32 {
    (service * PEER_SLOTS as u32 + slot) * DOWNSTREAM_WORDS
}

/// What the kernel side remembers of a downstream peer. Its key is a [`PeerKey`]: for UNIX sockets the address holds a
/// kernel pointer and the port is [`UNIX_PORT`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DownstreamPeer {
    /// 0 until it is decided; then its slot + 1, of which slot 0 is that of all for whom there was none left.
    pub slot: u64,
    /// Path of a UNIX socket, ended by 0; an abstract one begins with 0.
    pub path: [u8; 112],
}

/// Port in the key of a UNIX peer: beyond every TCP port.
pub const UNIX_PORT: u32 = 1 << 16;
/// Entries of the table of downstream peers, for all services together: beyond the slots, so that the others are known too.
pub const DOWNSTREAM_PEERS: u32 = 1024;
/// Places of requests that wait, a power of two; those whose place is taken go to a hash map.
pub const PARKING_PLACES: u32 = 1 << 10;
/// Requests that may wait at a time in the hash map.
pub const PARKED_REQUESTS: u32 = 1 << 14;

/// Entries of the table of TCP peers, for all services together; those beyond count in [`others_index`].
pub const PEERS: u32 = 1024;
/// Connections that wait to be accepted, or for their first request; the least recent makes room.
pub const ESTABLISHED: u32 = 8192;
/// Entries of the errno table.
pub const ERRNOS: u32 = 4096;
/// Process id under which those count that the table of commands that ran instead has no room for.
pub const OTHER_PROCESSES: u32 = u32::MAX;
/// Entries of the table of commands that ran instead.
pub const PREEMPTORS: u32 = 1024;
/// Entries of the table of processes that answer requests, for each service.
pub const WORKERS: u32 = 128;
/// Length of the queue of processes that called exec.
pub const EXEC_QUEUE: u32 = 1024;

const _: () = assert!(COUNTER_BLOCK >= COUNTERS && COUNTER_BLOCK.is_multiple_of(8) && (Counter::BytesOut as u32) < 8);
const _: () = assert!(size_of::<Switches>() == 4 * 8);
const _: () = assert!(size_of::<WantedPort>() == 16);
const _: () = assert!(size_of::<PeerKey>() == 24);
const _: () = assert!(DOWNSTREAM_PEERS as usize >= MAX_SERVICES as usize * PEER_SLOTS);
const _: () = assert!(size_of::<PeerStats>() == 48);
const _: () = assert!(size_of::<Preemptor>() == 32);

#[cfg(feature = "user")]
mod pod {
    // SAFETY: these types are `repr(C)`, consist of integers, have no padding and are valid for every bit pattern.
    unsafe impl aya::Pod for super::PeerKey {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::PeerStats {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::Preemptor {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::Worker {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::DownstreamPeer {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::WantedPort {}
}
