//! Maps. The agent sets the sizes when it loads the object.

use acgs_perf_common::attribution::ATTRIBUTION_WORDS;
use acgs_perf_common::exemplar::{EXEMPLAR_RING, ExemplarRecord};
use acgs_perf_common::ledger::LOSS_COUNT;
use acgs_perf_common::maps::{
    DOWNSTREAM_PEERS, DownstreamPeer, ERRNOS, EXEC_QUEUE, LISTENERS, PARKED_REQUESTS, PARKING_PLACES, PEERS,
    PREEMPTORS, PeerKey, PeerStats, Preemptor, WANTED_PORTS, WantedPort,
};
use aya_ebpf::btf_maps::{Array, HashMap, LruHashMap, RingBuf};
use aya_ebpf::macros::btf_map;

use crate::flags::{MMAPABLE, NO_PREALLOC};
use crate::state::activity::Activity;

/// tgid → service + 1, one byte each, eight to an entry.
#[btf_map]
pub static SERVICE_OF_TGID: Array<[u8; 8], 1, MMAPABLE> = Array::new();
/// Local port → service + 1 of the ports on which services listen, one byte each.
#[btf_map]
pub static SERVICE_OF_PORT: Array<[u8; 8], 8192, MMAPABLE> = Array::new();
/// The ports that selectors name, by network namespace: who listens there later joins the service. A hash map: asked once
/// per call of listen.
#[btf_map]
pub static WANTED_PORT: HashMap<u64, WantedPort, { WANTED_PORTS as usize }> = HashMap::new();
/// Ports on which services listen, by network namespace → service. A hash map: asked once per connection, retransmission or
/// reset, after `SERVICE_OF_PORT`. The least recently used gives way, so that listeners may come and go for ever.
#[btf_map]
pub static LISTENER: LruHashMap<u64, u32, { LISTENERS as usize }> = LruHashMap::new();
/// Histograms; see `acgs_perf_common::maps::histogram_base`.
#[btf_map]
pub static HISTOGRAMS: Array<u64, 1, MMAPABLE> = Array::new();
/// Counters; see `acgs_perf_common::maps::counter_index`.
#[btf_map]
pub static COUNTERS: Array<u64, 1, MMAPABLE> = Array::new();
/// The loss ledger.
#[btf_map]
pub static LEDGER: Array<u64, { LOSS_COUNT }, MMAPABLE> = Array::new();
/// System call number → `CallClass`.
#[btf_map]
pub static CALL_CLASS: Array<u64, { acgs_perf_common::state::SYSCALLS }, MMAPABLE> = Array::new();
/// (service, system call) → slot + 1.
#[btf_map]
pub static SYSCALL_SLOT: Array<u64, 1, MMAPABLE> = Array::new();
/// (service, slot) → system call + 1 that owns it; usually one slot a call.
#[btf_map]
pub static SYSCALL_OWNER: Array<u64, 1, MMAPABLE> = Array::new();
/// Which slots are taken. A hash map: touched once per system call that a service uses.
#[btf_map]
pub static SYSCALL_CLAIMS: HashMap<u64, u64, 8192> = HashMap::new();
/// Per service: slots handed out.
#[btf_map]
pub static SYSCALL_SLOTS_USED: Array<u64, 1, MMAPABLE> = Array::new();
/// Records of system calls; see `acgs_perf_common::maps::SYSCALL_WORDS`.
#[btf_map]
pub static SYSCALL_RECORDS: Array<u64, 1, MMAPABLE> = Array::new();
/// Failed calls by errno. A hash map: failures are rare beside the call itself, and the key space is sparse.
#[btf_map]
pub static ERRNO: HashMap<u64, u64, { ERRNOS as usize }> = HashMap::new();
/// TCP peers. A hash map: touched once per connection, retransmission or reset, never per request.
#[btf_map]
pub static PEER: HashMap<PeerKey, PeerStats, { PEERS as usize }> = HashMap::new();
/// Peers beyond that table; see `acgs_perf_common::maps::others_index`.
#[btf_map]
pub static PEER_OTHERS: Array<PeerStats, 1, MMAPABLE> = Array::new();
/// (service, tgid) → who ran instead. A hash map: touched only when a thread really waited behind another one.
#[btf_map]
pub static PREEMPTOR: HashMap<u64, Preemptor, { PREEMPTORS as usize }> = HashMap::new();
/// Socket address → time established, until accept returns. A hash map: once per connection.
#[btf_map]
pub static ESTABLISHED: LruHashMap<u64, u64, 16384> = LruHashMap::new();
/// Processes that called exec, a queue that the agent polls.
#[btf_map]
pub static EXECED: Array<u64, { EXEC_QUEUE as usize }, MMAPABLE> = Array::new();
/// Number of entries ever written to `EXECED`.
#[btf_map]
pub static EXECED_HEAD: Array<u64, 1, MMAPABLE> = Array::new();
/// The attribution histogram; see `acgs_perf_common::attribution`.
#[btf_map]
pub static ATTRIBUTION: Array<[u64; ATTRIBUTION_WORDS], 1, MMAPABLE> = Array::new();
/// Places of `PARKING` given out so far.
#[btf_map]
pub static NEXT_PLACE: Array<u64, 1> = Array::new();
/// Requests that wait, each in the place that its socket's name gives; see `request_table`. The agent has no use for it: an
/// array that can be mapped begins with a page, and so each place with a cache line.
#[btf_map]
pub static PARKING: Array<Activity, { PARKING_PLACES as usize }, MMAPABLE> = Array::new();
/// Those whose place is taken, by the address of their socket. Memory is taken only for those that do wait. No LRU hash map:
/// that takes memory for all entries at once (46 MB), and drops requests that still wait before it is full.
#[btf_map]
pub static PARKED: HashMap<u64, Activity, { PARKED_REQUESTS as usize }, NO_PREALLOC> = HashMap::new();
/// Remote port → 1 if a service called somebody there, one byte each.
#[btf_map]
pub static CALLED_PORT: Array<[u8; 8], 8192, MMAPABLE> = Array::new();
/// Downstream peers. A hash map: touched once per connection.
#[btf_map]
pub static DOWNSTREAM_PEER: HashMap<PeerKey, DownstreamPeer, { DOWNSTREAM_PEERS as usize }> = HashMap::new();
/// Which slots of downstream peers are taken. A hash map: touched once per peer.
#[btf_map]
pub static DOWNSTREAM_CLAIMS: HashMap<u64, u64, { DOWNSTREAM_PEERS as usize }> = HashMap::new();
/// Per service: the first slot that may be free, counted from 0. A hint: slots are taken in order but for those given back.
#[btf_map]
pub static DOWNSTREAM_SLOTS_USED: Array<u64, 1, MMAPABLE> = Array::new();
/// Figures of downstream peers; see `acgs_perf_common::maps::downstream_base`.
#[btf_map]
pub static DOWNSTREAM: Array<u64, 1, MMAPABLE> = Array::new();
/// Per service, which requests may leave as exemplars; see `acgs_perf_common::exemplar::Gate`.
#[btf_map]
pub static EXEMPLAR_GATE: Array<u64, 1, MMAPABLE> = Array::new();
/// Exemplars on their way to the agent.
#[btf_map]
pub static EXEMPLARS: RingBuf<ExemplarRecord, { EXEMPLAR_RING as usize }> = RingBuf::new();
