//! Adds to counters, histograms and the loss ledger: atomic, because an interrupt may come between load and store.

use core::intrinsics::{AtomicOrdering, atomic_cxchg, atomic_xadd};

use acgs_perf_common::attribution::{
    ATTRIBUTION_BUCKETS, ATTRIBUTION_WORDS, Component, DELIVERY_COMPONENTS, DELIVERY_WORD, LATENCY_WORD, NARROW_WORDS,
    PEER_SLOTS, PEER_WORD, attribution_bucket, attribution_row, component_word,
};
use acgs_perf_common::histogram::{BUCKETS, bucket_index};
use acgs_perf_common::ledger::{LOSS_COUNT, Loss};
use acgs_perf_common::maps::{COUNTER_BLOCK, Counter, Histogram, NO_SERVICE, counter_block, histogram_base};
use aya_ebpf::btf_maps::Array;
use aya_ebpf::helpers::bpf_get_smp_processor_id;
use aya_ebpf::macros::btf_map;
use aya_log_ebpf::debug;

use crate::flags::MMAPABLE;
use crate::globals::{counts, global};
use crate::kernel::task::Task;
use acgs_perf_common::subprogram;

/// Histograms; see `acgs_perf_common::maps::histogram_base`.
#[btf_map]
static HISTOGRAMS: Array<u64, 1, MMAPABLE> = Array::new();
/// Counters by block; see `acgs_perf_common::maps::counter_block`.
#[btf_map]
static COUNTERS: Array<[u64; COUNTER_BLOCK as usize], 1, MMAPABLE> = Array::new();
/// The loss ledger.
#[btf_map]
static LEDGER: Array<u64, { LOSS_COUNT }, MMAPABLE> = Array::new();
/// The attribution histogram; see `acgs_perf_common::attribution`.
#[btf_map]
static ATTRIBUTION: Array<[u64; ATTRIBUTION_WORDS], 1, MMAPABLE> = Array::new();

const REPLY: usize = component_word(Component::Reply);
/// Word of a row without which no peer has time.
const DOWNSTREAM: usize = component_word(Component::Downstream);

/// `*slot += value` in one instruction; wraps, so that adding the two's complement subtracts.
#[inline(always)]
pub fn atomic_add(slot: *mut u64, value: u64) {
    // SAFETY: `slot` points into a map value, eight bytes aligned; the previous value is not used.
    unsafe {
        atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(slot, value);
    }
}

/// Puts `new` into `slot` if that still holds `old`; whether it did. Of two CPUs with the same `old`, one succeeds.
#[inline(always)]
pub fn replaced<T: Copy>(slot: *mut T, old: T, new: T) -> bool {
    // SAFETY: `slot` points into a map value, and is aligned as its type wants it.
    unsafe { atomic_cxchg::<T, { AtomicOrdering::Relaxed }, { AtomicOrdering::Relaxed }>(slot, old, new).1 }
}

/// Counts a loss.
#[inline(always)]
pub fn lose(loss: Loss) {
    if let Some(slot) = LEDGER.get_ptr_mut(loss as u32) {
        atomic_add(slot, 1);
        // SAFETY: `slot` points into the map's value.
        diagnose(unsafe { &mut *slot }, loss as u32);
    }
}

subprogram! {
    /// Says who has just lost what, to whoever asked for it (`ACGS_PERF_LOG=debug`): the first time, the second, the fourth, and so
    /// on, so that a flood of losses is none of messages. Otherwise the verifier removes all of this.
    fn diagnose = loss_diagnose(count: &mut u64; loss: u32) {
        let task = Task::current();
        let so_far = *count;
        if so_far.is_power_of_two() {
            debug!((), "loss {}, {} so far, process {}, thread {}", loss, so_far, task.tgid(), task.pid());
        }
    }
}

/// Prefetches the cache line of a word of a map, to be added to soon.
///
/// Which bucket a value falls into is anybody's guess, so its line is mostly not at hand. An atomic addition waits for its
/// line and holds up all that follows, so that of four in a row each waits in turn; plain loads wait together.
#[inline(always)]
pub fn prefetch(slot: *mut u64) {
    // SAFETY: `slot` points into a map value, eight bytes aligned.
    let _unused = unsafe { slot.read_volatile() };
}

/// The service for which an event counts: `service` while the window is open, otherwise none.
#[inline(always)]
pub fn counted(service: u32) -> u32 {
    if counts() { service } else { NO_SERVICE }
}

/// A service's counters and histograms in the shard of this CPU.
#[derive(Clone, Copy)]
pub struct Figures {
    service: u32,
    shards: u32,
    shard: u32,
}

impl Figures {
    /// Of the service with index `service`, from 0; of none while the window is shut, so that nothing counts.
    #[inline(always)]
    pub fn of(service: u32) -> Self {
        Self::at_any_time(counted(service))
    }

    /// Of the service whether the window is open or not, for sums that know it themselves.
    #[inline(always)]
    pub fn at_any_time(service: u32) -> Self {
        let shards = global!(SHARDS);
        // SAFETY: the helper has no preconditions.
        let cpu = unsafe { bpf_get_smp_processor_id() };
        Self { service, shards, shard: cpu & shards.wrapping_sub(1) }
    }

    #[inline(always)]
    pub fn add(self, counter: Counter, value: u64) {
        self.add_at(counter as u32, value);
    }

    #[inline(always)]
    pub fn add_at(self, counter: u32, value: u64) {
        if let Some(counters) = self.counters()
            && counter < COUNTER_BLOCK
        {
            // SAFETY: `counters` is one entry of the map, which is as long.
            atomic_add(unsafe { counters.add(counter as usize) }, value);
        }
    }

    /// A request was answered.
    #[inline(always)]
    pub fn answered(self, queue_time: u64, service_time: u64, latency: u64) {
        let Some(counters) = self.counters() else { return };
        let add = |counter: Counter, value| {
            // SAFETY: `counters` is one entry of the map, which has all counters.
            atomic_add(unsafe { counters.add(counter as usize) }, value);
        };
        add(Counter::Requests, 1);
        add(Counter::QueueTimeSum, queue_time);
        add(Counter::ServiceTimeSum, service_time);
        add(Counter::LatencySum, latency);
    }

    /// The block of counters.
    #[inline(always)]
    fn counters(self) -> Option<*mut u64> {
        let block = COUNTERS.get_ptr_mut(counter_block(self.shards, self.service, self.shard));
        block.map(<*mut [u64; COUNTER_BLOCK as usize]>::cast)
    }

    /// Records `value` ns.
    #[inline(always)]
    pub fn record(self, histogram: Histogram, value: u64) {
        self.record_at(histogram as u32, value);
    }

    #[inline(always)]
    pub fn record_at(self, histogram: u32, value: u64) {
        self.add_to_bucket(histogram, value, 1);
    }

    /// Takes back a `value` that was recorded before.
    #[inline(always)]
    pub fn unrecord(self, histogram: Histogram, value: u64) {
        self.add_to_bucket(histogram as u32, value, 1u64.wrapping_neg());
    }

    /// The service, from 0; `NO_SERVICE` while the window is shut.
    #[inline(always)]
    pub fn service(self) -> u32 {
        self.service
    }

    /// How many shards there are.
    #[inline(always)]
    pub fn shards(self) -> u32 {
        self.shards
    }

    /// That of this CPU.
    #[inline(always)]
    pub fn shard(self) -> u32 {
        self.shard
    }

    /// Adds what a request of this `latency`, of which the reply took `reply`, brings to the attribution histogram, or takes it
    /// `back`. The row has the other words; a `narrow` one has fewer that can be other than 0, one that was `held` a few more.
    #[inline(always)]
    pub fn add_row(
        self,
        latency: u64,
        reply: u64,
        row: &[u64; ATTRIBUTION_WORDS],
        (narrow, held, back): (bool, bool, bool),
    ) {
        let Some(sums) = self.row(latency) else { return };
        let add = |word: usize| {
            let value = match word {
                LATENCY_WORD => latency,
                REPLY => reply,
                _ => row[word],
            };
            if value != 0 {
                // SAFETY: `sums` is one entry of the map, as long as `row`.
                let slot = unsafe { sums.add(word) };
                atomic_add(slot, if back { value.wrapping_neg() } else { value });
            }
        };
        for word in 0..NARROW_WORDS {
            add(word);
        }
        if held {
            for word in DELIVERY_WORD..DELIVERY_WORD + DELIVERY_COMPONENTS {
                add(word);
            }
        }
        if narrow {
            return;
        }
        for word in NARROW_WORDS..PEER_WORD {
            add(word);
        }
        if row[DOWNSTREAM] != 0 {
            for word in PEER_WORD..PEER_WORD + PEER_SLOTS {
                add(word);
            }
        }
    }

    /// A reply of this `latency` has grown by `ns` and stays in its row.
    #[inline(always)]
    pub fn add_growth(self, latency: u64, ns: u64) {
        if let Some(sums) = self.row(latency) {
            // SAFETY: both words are in the entry.
            unsafe {
                atomic_add(sums.add(LATENCY_WORD), ns);
                atomic_add(sums.add(REPLY), ns);
            }
        }
    }

    /// Of a request of this `latency`, `ns` were not the reply but the component in this `word`.
    #[inline(always)]
    pub fn move_from_reply(self, latency: u64, word: usize, ns: u64) {
        if let Some(sums) = self.row(latency) {
            // SAFETY: both words are in the entry.
            unsafe {
                atomic_add(sums.add(REPLY), ns.wrapping_neg());
                atomic_add(sums.add(word), ns);
            }
        }
    }

    #[inline(always)]
    fn add_to_bucket(self, histogram: u32, value: u64, count: u64) {
        if let Some(slot) = self.bucket(histogram, value) {
            atomic_add(slot, count);
        }
    }

    /// Where `value` counts.
    #[inline(always)]
    pub fn bucket(self, histogram: u32, value: u64) -> Option<*mut u64> {
        // Whatever is over range goes into the word behind the buckets.
        let bucket = bucket_index(value).min(BUCKETS);
        let base = histogram_base(self.shards, self.service, histogram, self.shard);
        HISTOGRAMS.get_ptr_mut(base + bucket as u32)
    }

    /// The row of the attribution histogram for this `latency`.
    #[inline(always)]
    pub fn row(self, latency: u64) -> Option<*mut u64> {
        let bucket = attribution_bucket(latency).min(ATTRIBUTION_BUCKETS) as u32;
        let row = ATTRIBUTION.get_ptr_mut(attribution_row(self.shards, self.service, bucket, self.shard));
        row.map(<*mut [u64; ATTRIBUTION_WORDS]>::cast)
    }
}
