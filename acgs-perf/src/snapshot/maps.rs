//! The kernel's maps in the agent: sums over shards, byte tables, tables of peers.
//!
//! In: the loaded object. Out: figures by service.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::mem::offset_of;

use acgs_perf_common::attribution::{ATTRIBUTION_ROWS, ATTRIBUTION_WORDS, COUNT_WORD, attribution_row};
use acgs_perf_common::exemplar::{GATE_WORDS, Gate};
use acgs_perf_common::histogram::BUCKETS;
use acgs_perf_common::ledger::{LOSSES, Loss};
use acgs_perf_common::maps::{
    COUNTERS, COUNTING, Counter, DownstreamPeer, EXEC_QUEUE, HISTOGRAMS, NEVER, PeerKey, PeerStats, Preemptor,
    SYSCALL_HEADER, SYSCALL_SLOTS, SYSCALL_WORDS, Switches, WANTED_USERS, WantedPort, counter_index, downstream_base,
    histogram_base, others_index, port_key,
};
use acgs_perf_common::state::SYSCALLS;
use aya::Ebpf;
use aya::maps::{HashMap, MapData, MapError, RingBuf};

use super::words::Words;
use crate::discover::namespaces::Place;
use crate::probe::ProbeError;

/// Words of `SWITCHES`.
const BITS: usize = offset_of!(Switches, bits) / 8;
const OPENED: usize = offset_of!(Switches, opened_ns) / 8;
const CLOSED: usize = offset_of!(Switches, closed_ns) / 8;
/// `BPF_NOEXIST`.
const NO_EXIST: u64 = 1;

/// One system call's record.
pub struct SyscallRecord {
    /// Its number.
    pub nr: u32,
    /// Calls that returned.
    pub count: u64,
    /// Those with an error.
    pub errors: u64,
    /// Sum of the latencies in ns.
    pub sum_ns: u64,
    /// Latencies over range.
    pub over_range: u64,
    /// Latency buckets.
    pub buckets: Vec<u64>,
}

impl SyscallRecord {
    fn new(nr: u32) -> Self {
        Self { nr, count: 0, errors: 0, sum_ns: 0, over_range: 0, buckets: vec![0; BUCKETS] }
    }
}

/// All maps.
pub struct Maps {
    services: usize,
    shards: u32,
    histograms: Words,
    counters: Words,
    ledger: Words,
    switches: Words,
    service_of_tgid: Words,
    service_of_port: Words,
    wanted_port: HashMap<MapData, u64, WantedPort>,
    listener: HashMap<MapData, u64, u32>,
    call_class: Words,
    syscall_owner: Words,
    syscall_records: Words,
    execed: Words,
    execed_head: Words,
    errno: HashMap<MapData, u64, u64>,
    attribution: Words,
    downstream: Words,
    gate: Words,
    downstream_peer: HashMap<MapData, PeerKey, DownstreamPeer>,
    peer: HashMap<MapData, PeerKey, PeerStats>,
    peer_others: Words,
    preemptor: HashMap<MapData, u64, Preemptor>,
    /// What a table could not be read for, by the table.
    unread: RefCell<BTreeMap<&'static str, String>>,
}

impl Maps {
    /// Maps the arrays into memory.
    ///
    /// # Errors
    /// Names the map that could not be opened.
    pub fn open(ebpf: &mut Ebpf, services: usize, shards: u32) -> Result<Self, ProbeError> {
        let switches = Words::open(ebpf, "SWITCHES")?;
        switches.set(OPENED, NEVER);
        switches.set(CLOSED, NEVER);
        Ok(Self {
            services,
            shards,
            histograms: Words::open(ebpf, "HISTOGRAMS")?,
            counters: Words::open(ebpf, "COUNTERS")?,
            ledger: Words::open(ebpf, "LEDGER")?,
            switches,
            service_of_tgid: Words::open(ebpf, "SERVICE_OF_TGID")?,
            service_of_port: Words::open(ebpf, "SERVICE_OF_PORT")?,
            wanted_port: hash(ebpf, "WANTED_PORT")?,
            listener: hash(ebpf, "LISTENER")?,
            call_class: Words::open(ebpf, "CALL_CLASS")?,
            syscall_owner: Words::open(ebpf, "SYSCALL_OWNER")?,
            syscall_records: Words::open(ebpf, "SYSCALL_RECORDS")?,
            execed: Words::open(ebpf, "EXECED")?,
            execed_head: Words::open(ebpf, "EXECED_HEAD")?,
            attribution: Words::open(ebpf, "ATTRIBUTION")?,
            downstream: Words::open(ebpf, "DOWNSTREAM")?,
            gate: Words::open(ebpf, "EXEMPLAR_GATE")?,
            downstream_peer: hash(ebpf, "DOWNSTREAM_PEER")?,
            errno: hash(ebpf, "ERRNO")?,
            peer: hash(ebpf, "PEER")?,
            peer_others: Words::open(ebpf, "PEER_OTHERS")?,
            preemptor: hash(ebpf, "PREEMPTOR")?,
            unread: RefCell::default(),
        })
    }

    /// Number of services.
    #[must_use]
    pub fn services(&self) -> usize {
        self.services
    }

    /// Stops what these bits stand for; see `acgs_perf_common::maps::STOPPED_SCHED`.
    pub fn stop(&self, bits: u64) {
        self.switches.set(BITS, self.switches.get(BITS) | bits);
    }

    /// Opens the window: from now on, which `clock` tells, what happens counts.
    pub fn open_window(&self, clock: impl Fn() -> u64) -> u64 {
        let opened = clock();
        self.switches.set(OPENED, opened);
        self.switches.set(BITS, self.switches.get(BITS) | COUNTING);
        opened
    }

    /// Closes the window: what happens after the time given back counts no more.
    pub fn close_window(&self, clock: impl Fn() -> u64) -> u64 {
        self.switches.set(BITS, self.switches.get(BITS) & !COUNTING);
        let closed = clock();
        self.switches.set(CLOSED, closed);
        closed
    }

    /// Writes the table from system call to class.
    pub fn set_call_classes(&self, classes: &[u64; SYSCALLS]) {
        for (nr, class) in classes.iter().enumerate() {
            self.call_class.set(nr, *class);
        }
    }

    /// Makes process `tgid` part of `service` (from 0); false if the id lies outside the table.
    pub fn add_process(&self, tgid: u32, service: usize) -> bool {
        self.service_of_tgid.set_byte(tgid as usize, service as u8 + 1)
    }

    /// Takes process `tgid` out of `service`, if it is still there.
    pub fn remove_process(&self, tgid: u32, service: usize) {
        self.service_of_tgid.clear_byte(tgid as usize, service as u8 + 1);
    }

    /// Which service a process belongs to, from 0.
    #[must_use]
    pub fn service_of(&self, tgid: u32) -> Option<usize> {
        self.service_of_tgid.byte(tgid as usize).checked_sub(1).map(usize::from)
    }

    /// All processes of services now: (tgid, service).
    #[must_use]
    pub fn processes(&self) -> Vec<(u32, usize)> {
        (0..self.service_of_tgid.len)
            .filter(|word| self.service_of_tgid.get(*word) != 0)
            .flat_map(|word| word * 8..word * 8 + 8)
            .filter_map(|tgid| Some((tgid as u32, self.service_of(tgid as u32)?)))
            .collect()
    }

    /// Says that `service` listens on `port` of a network namespace; an error only when the kernel refuses memory.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn add_port(&mut self, network: u64, port: u16, service: usize) -> Result<(), MapError> {
        self.listener.insert(port_key(network as u32, u32::from(port)), service as u32, 0)?;
        self.service_of_port.set_byte(usize::from(port), service as u8 + 1);
        Ok(())
    }

    /// Which service listens on a port, from 0.
    #[must_use]
    pub fn service_of_port(&self, port: u16) -> Option<usize> {
        self.service_of_port.byte(usize::from(port)).checked_sub(1).map(usize::from)
    }

    /// Says that whoever listens on `port` at this place later joins `service`; the first service that names a port has it.
    ///
    /// # Errors
    /// What the kernel said, such as that the table is full.
    pub fn want_port(&mut self, place: &Place, port: u16, service: usize) -> Result<(), MapError> {
        let mut users = [0; WANTED_USERS];
        users.iter_mut().zip(&place.users).for_each(|(slot, user)| *slot = *user as u32);
        let wanted = WantedPort { service: service as u32, users };
        match self.wanted_port.insert(port_key(place.network as u32, u32::from(port)), wanted, NO_EXIST) {
            Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
            result => result,
        }
    }

    /// Buckets of a histogram, summed over the shards.
    #[must_use]
    pub fn histogram(&self, service: usize, histogram: u32) -> Vec<u64> {
        (0..BUCKETS).map(|bucket| above_zero(self.count(service, histogram, bucket))).collect()
    }

    /// Values of a histogram that were over range.
    #[must_use]
    pub fn over_range(&self, service: usize, histogram: u32) -> u64 {
        above_zero(self.count(service, histogram, BUCKETS))
    }

    /// One word of a histogram, summed over the shards: a bucket, or what was over range behind them.
    fn count(&self, service: usize, histogram: u32, word: usize) -> i64 {
        let base = |shard| histogram_base(self.shards, service as u32, histogram, shard) as usize;
        // Wrapping: a reply's first send may be recorded in one shard and taken back in another.
        (0..self.shards).map(|shard| self.histograms.get(base(shard) + word)).fold(0, u64::wrapping_add) as i64
    }

    /// By how much all counts together are below 0, which are shown as 0. That is a fault: nothing is taken back that was not
    /// recorded before.
    fn below_zero(&self) -> u64 {
        let of_service = |service| {
            let words = (0..HISTOGRAMS).flat_map(|histogram| (0..=BUCKETS).map(move |word| (histogram, word)));
            let counts = words.map(move |(histogram, word)| self.count(service, histogram, word));
            let rows = (0..ATTRIBUTION_ROWS as usize).map(move |bucket| self.attribution_row(service, bucket));
            counts.chain(rows.map(|row| row[COUNT_WORD] as i64))
        };
        (0..self.services).flat_map(of_service).filter(|count| *count < 0).map(i64::unsigned_abs).sum()
    }

    /// A counter, summed over the shards.
    #[must_use]
    pub fn counter(&self, service: usize, counter: Counter) -> u64 {
        self.counter_at(service, counter as u32)
    }

    /// A counter by its index.
    #[must_use]
    pub fn counter_at(&self, service: usize, counter: u32) -> u64 {
        debug_assert!(counter < COUNTERS);
        (0..self.shards)
            .map(|shard| self.counters.get(counter_index(self.shards, service as u32, counter, shard) as usize))
            .fold(0, u64::wrapping_add)
    }

    /// The ledger: (name, count).
    #[must_use]
    pub fn ledger(&self) -> Vec<(String, u64)> {
        let seen_here = |at: usize| if at == Loss::CountsBelowZero as usize { self.below_zero() } else { 0 };
        let counters = LOSSES.iter().enumerate();
        counters.map(|(at, (name, _))| ((*name).to_owned(), self.ledger.get(at) + seen_here(at))).collect()
    }

    /// Records of the system calls that the service used. A call owns one slot, or two where CPUs raced for the first.
    #[must_use]
    pub fn syscalls(&self, service: usize) -> Vec<SyscallRecord> {
        let mut records: BTreeMap<u32, SyscallRecord> = BTreeMap::new();
        for slot in 0..SYSCALL_SLOTS as usize {
            let at = service * SYSCALL_SLOTS as usize + slot;
            let Some(nr) = self.syscall_owner.get(at).checked_sub(1) else { continue };
            let base = at * SYSCALL_WORDS as usize;
            let word = |word: usize| self.syscall_records.get(base + word);
            let record = records.entry(nr as u32).or_insert_with(|| SyscallRecord::new(nr as u32));
            record.count += word(0);
            record.errors += word(1);
            record.sum_ns += word(2);
            record.over_range += word(3);
            for (bucket, count) in record.buckets.iter_mut().enumerate() {
                *count += word(SYSCALL_HEADER as usize + bucket);
            }
        }
        records.into_values().collect()
    }

    /// Failed calls: (service, system call, errno, count).
    #[must_use]
    pub fn errnos(&self) -> Vec<(usize, u32, u32, u64)> {
        self.entries("ERRNO", "errors of system calls", &self.errno)
            .into_iter()
            .map(|(key, count)| ((key >> 32) as usize, (key >> 16) as u32 & 0xffff, key as u32 & 0xffff, count))
            .collect()
    }

    /// A row of the attribution histogram, summed over the shards.
    #[must_use]
    pub fn attribution_row(&self, service: usize, bucket: usize) -> [u64; ATTRIBUTION_WORDS] {
        let mut row = [0u64; ATTRIBUTION_WORDS];
        for shard in 0..self.shards {
            let at = attribution_row(self.shards, service as u32, bucket as u32, shard) as usize * ATTRIBUTION_WORDS;
            for (word, sum) in row.iter_mut().enumerate() {
                // Wrapping: what one shard took back another one had added.
                *sum = sum.wrapping_add(self.attribution.get(at + word));
            }
        }
        row
    }

    /// A word of a downstream peer's figures; the buckets follow `DOWNSTREAM_HEADER`.
    #[must_use]
    pub fn downstream(&self, service: usize, slot: usize, word: u32) -> u64 {
        self.downstream.get((downstream_base(service as u32, slot as u32) + word) as usize)
    }

    /// Downstream peers of all services.
    #[must_use]
    pub fn downstream_peers(&self) -> Vec<(PeerKey, DownstreamPeer)> {
        self.entries("DOWNSTREAM_PEER", "downstream peers", &self.downstream_peer)
    }

    /// A word of what the kernel side is told about exemplars.
    #[must_use]
    pub fn gate(&self, service: usize, word: Gate) -> u64 {
        self.gate.get(service * GATE_WORDS as usize + word as usize)
    }

    /// Sets it.
    pub fn set_gate(&self, service: usize, word: Gate, value: u64) {
        self.gate.set(service * GATE_WORDS as usize + word as usize, value);
    }

    /// TCP peers.
    #[must_use]
    pub fn peers(&self) -> Vec<(PeerKey, PeerStats)> {
        self.entries("PEER", "TCP peers", &self.peer)
    }

    /// The TCP peers of a service that have no entry of their own.
    #[must_use]
    pub fn other_peers(&self, service: usize, outgoing: bool) -> PeerStats {
        let base = others_index(service as u32, outgoing) as usize * (size_of::<PeerStats>() / size_of::<u64>());
        let [connections, failures, connect_ns, retransmits, resets, srtt_us] =
            std::array::from_fn(|word| self.peer_others.get(base + word));
        PeerStats { connections, failures, connect_ns, retransmits, resets, srtt_us }
    }

    /// Who ran instead: (service, tgid, figures).
    #[must_use]
    pub fn preemptors(&self) -> Vec<(usize, u32, Preemptor)> {
        let all = self.entries("PREEMPTOR", "commands that ran instead", &self.preemptor);
        all.into_iter().map(|(key, value)| ((key >> 32) as usize, key as u32, value)).collect()
    }

    /// Name of a process: what /proc says, or what the kernel side saw when it stood in somebody's way; empty if unknown.
    #[must_use]
    pub fn comm(&self, pid: u32) -> String {
        if let Ok(comm) = std::fs::read_to_string(format!("/proc/{pid}/comm")) {
            return comm.trim_end().to_owned();
        }
        let seen =
            (0..self.services as u64).find_map(|service| self.preemptor.get(&(service << 32 | u64::from(pid)), 0).ok());
        seen.map(|who| super::collect::text(&who.comm)).unwrap_or_default()
    }

    /// Processes that called exec since `seen`, and the new position; `None` if the queue was overrun. Slots are emptied; a
    /// 0 stands for a process whose slot was taken by another.
    #[must_use]
    pub fn execed_since(&self, seen: u64) -> (Option<Vec<u32>>, u64) {
        let head = self.execed_head.get(0);
        if head.saturating_sub(seen) > u64::from(EXEC_QUEUE) {
            return (None, head);
        }
        let at = |i: u64| {
            let slot = (i % u64::from(EXEC_QUEUE)) as usize;
            self.execed.take(slot) as u32
        };
        (Some((seen..head).map(at).collect()), head)
    }

    /// Entries of a table. What cannot be read is no reason to lose the rest: it is noted.
    fn entries<K: aya::Pod, V: aya::Pod>(
        &self,
        name: &'static str,
        what: &str,
        table: &HashMap<MapData, K, V>,
    ) -> Vec<(K, V)> {
        let mut all = Vec::new();
        for entry in table.iter() {
            match entry {
                Ok(entry) => all.push(entry),
                Err(error) => {
                    let why = anyhow::Error::from(error);
                    self.unread
                        .borrow_mut()
                        .insert(name, format!("{what} could not be read whole: map {name}: {why:#}"));
                }
            }
        }
        all
    }

    /// What could not be read so far, in one line per table.
    #[must_use]
    pub fn unread(&self) -> Vec<String> {
        self.unread.borrow().values().cloned().collect()
    }

    /// Counts a loss that only the agent can see, in a word to which the kernel side may add at the same time.
    pub fn lose(&self, loss: Loss) {
        self.ledger.add(loss as usize, 1);
    }
}

fn above_zero(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

/// The ring buffer of exemplars.
///
/// # Errors
/// When the object has none.
pub fn exemplar_ring(ebpf: &mut Ebpf) -> Result<RingBuf<MapData>, ProbeError> {
    let name = "EXEMPLARS";
    let map = ebpf.take_map(name).ok_or(ProbeError::Map { name, reason: "not in the object".into() })?;
    RingBuf::try_from(map).map_err(|e| ProbeError::Map { name, reason: e.to_string() })
}

fn hash<K: aya::Pod, V: aya::Pod>(ebpf: &mut Ebpf, name: &'static str) -> Result<HashMap<MapData, K, V>, ProbeError> {
    let map = ebpf.take_map(name).ok_or(ProbeError::Map { name, reason: "not in the object".into() })?;
    HashMap::try_from(map).map_err(|e| ProbeError::Map { name, reason: e.to_string() })
}
