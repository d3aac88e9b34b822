//! Endpoints: what a service is asked for, by the hash of its name.
//!
//! In: a name and its hash. Out: the endpoint's number, and its figures in the shard of this CPU. A name is put down once, by who meets it
//! first; from that request on it counts.

use acgs_perf_common::endpoint::{
    BUCKETS, ENDPOINT_WORDS, ENDPOINTS, EndpointName, EndpointSlot, FAILED, FIRST_NAMED, LATENCY, LATENCY_SUM,
    NAME_BYTES, OTHER_ENDPOINT, OVER_RANGE, POWER, REFUSED, REQUESTS, SLOTS, STREAMED, figures_base, name_index,
};
use acgs_perf_common::histogram::bucket_index_of_power;
use acgs_perf_protocol::name::Key;
use acgs_perf_protocol::{Name, Stream};
use aya_ebpf::btf_maps::Array;
use aya_ebpf::macros::btf_map;

use crate::count::{Figures, atomic_add, replaced};
use crate::flags::MMAPABLE;

/// Endpoints by hash.
#[btf_map]
static ENDPOINT_SLOTS: Array<EndpointSlot, 1, MMAPABLE> = Array::new();
/// How many numbers each service has given out.
#[btf_map]
static ENDPOINT_NUMBERS: Array<u64, 1, MMAPABLE> = Array::new();
/// Their names; see `acgs_perf_common::endpoint::name_index`.
#[btf_map]
static ENDPOINT_NAMES: Array<EndpointName, 1, MMAPABLE> = Array::new();
/// Their figures; see `acgs_perf_common::endpoint::figures_base`.
#[btf_map]
static ENDPOINT_FIGURES: Array<u64, 1, MMAPABLE> = Array::new();

/// So often a number may be given to another CPU meanwhile.
const MOST_TRIES: u32 = 8;
/// So many slots are looked at, one behind the other, for a name's own.
const WAYS: u32 = 8;
/// Bits of `EndpointSlot::name` that are the endpoint's number.
const NUMBER: u64 = 0xff;

/// Key of the hashes of names; random for each recording.
#[unsafe(no_mangle)]
static ENDPOINT_KEY: [u64; 2] = [0; 2];
/// The key of the hashes.
#[inline(always)]
pub fn key() -> Key {
    let key = (&raw const ENDPOINT_KEY).cast::<u64>();
    // SAFETY: as above; the array has two words.
    unsafe { Key { start: key.read_volatile(), factor: key.add(1).read_volatile() } }
}

/// The number of the endpoint that `stream` has named.
#[inline(always)]
pub fn find(service: u32, stream: &Stream, name: &Name, protocol: u8) -> u16 {
    // Of one name, what is answered and what is not are two.
    let asker = u64::from(service) | u64::from(stream.kind) << 8;
    let hash = name.key.mix(stream.hash, asker) | NUMBER;
    for way in 0..WAYS {
        let place = ((hash >> 20) as u32).wrapping_add(way) & (SLOTS - 1);
        let Some(slot) = ENDPOINT_SLOTS.get_ptr_mut(place) else { break };
        // SAFETY: the pointer is into the map's value; a slot's name is written once, from 0.
        let (mut seen, claimed) = unsafe { ((&raw const (*slot).name).read_volatile(), &raw mut (*slot).name) };
        if seen == 0 {
            // Hash and number in one step, so that nobody ever waits for the other one.
            let number = number(service);
            if replaced(claimed, 0, (hash ^ NUMBER) | number) {
                named(slot, service, number, hash, stream, name, protocol);
                return number as u16;
            }
            // Another CPU was quicker, perhaps with the same name; the number is not used.
            // SAFETY: as above.
            seen = unsafe { claimed.read_volatile() };
        }
        if seen | NUMBER == hash {
            let number = seen & NUMBER;
            // SAFETY: as above.
            if stream.is_cut == 0 && unsafe { (&raw const (*slot).is_unnamed).read_volatile() } != 0 {
                named(slot, service, number, hash, stream, name, protocol);
            }
            return number as u16;
        }
    }
    OTHER_ENDPOINT
}

/// Puts down the name of a slot, or only its hash where some of the name was in another piece of the stream.
#[inline(always)]
fn named(slot: *mut EndpointSlot, service: u32, number: u64, hash: u64, stream: &Stream, name: &Name, protocol: u8) {
    put_name(service, number, hash, stream, name, protocol);
    // SAFETY: the pointer is into the map's value.
    unsafe { (&raw mut (*slot).is_unnamed).write_volatile(u64::from(stream.is_cut)) };
}

/// Gives out a number.
#[inline(always)]
fn number(service: u32) -> u64 {
    let Some(numbers) = ENDPOINT_NUMBERS.get_ptr_mut(service) else { return u64::from(OTHER_ENDPOINT) };
    for _ in 0..MOST_TRIES {
        // SAFETY: the pointer is into the map's value.
        let given = unsafe { numbers.read_volatile() };
        let number = given.wrapping_add(u64::from(FIRST_NAMED));
        if number >= u64::from(ENDPOINTS) {
            break;
        }
        if replaced(numbers, given, given.wrapping_add(1)) {
            return number;
        }
    }
    u64::from(OTHER_ENDPOINT)
}

/// Puts down a name, or only its hash where some of it was in another piece of the stream.
#[inline(always)]
fn put_name(service: u32, endpoint: u64, hash: u64, stream: &Stream, name: &Name, protocol: u8) {
    if endpoint < u64::from(FIRST_NAMED) {
        return;
    }
    let Some(entry) = ENDPOINT_NAMES.get_ptr_mut(name_index(service, endpoint as u32)) else { return };
    // SAFETY: the pointer is into the map's value; who has given out the number writes it.
    let entry = unsafe { &mut *entry };
    entry.hash = hash;
    entry.protocol = protocol;
    entry.kind = stream.kind;
    if stream.is_cut == 0 {
        let (to, from) = (entry.bytes.as_mut_ptr().cast::<u64>(), name.bytes.as_ptr().cast::<u64>());
        for word in 0..NAME_BYTES / 8 {
            // SAFETY: both have so many words.
            unsafe { to.add(word).write_volatile(from.add(word).read_volatile()) };
        }
        let most = NAME_BYTES as u16;
        entry.length = if stream.length < most { stream.length } else { most };
    }
}

/// An endpoint's figures.
#[inline(always)]
fn add(figures: Figures, endpoint: u16, word: u32, value: u64) {
    if let Some(slot) = slot(figures, endpoint, word) {
        atomic_add(slot, value);
    }
}

#[inline(always)]
fn slot(figures: Figures, endpoint: u16, word: u32) -> Option<*mut u64> {
    let base = figures_base(figures.shards(), figures.service(), u32::from(endpoint), figures.shard());
    ENDPOINT_FIGURES.get_ptr_mut(base + word)
}

/// Counts a request that was answered.
#[inline(always)]
pub fn answered(figures: Figures, endpoint: u16, latency: u64) {
    add(figures, endpoint, REQUESTS, 1);
    add(figures, endpoint, LATENCY_SUM, latency);
    add(figures, endpoint, word_of(latency), 1);
}

/// The reply to a request has gone on since its latency was recorded.
#[inline(always)]
pub fn grown(figures: Figures, endpoint: u16, recorded: u64, latency: u64) {
    add(figures, endpoint, LATENCY_SUM, latency.wrapping_sub(recorded));
    let (from, to) = (word_of(recorded), word_of(latency));
    if from != to {
        add(figures, endpoint, from, 1u64.wrapping_neg());
        add(figures, endpoint, to, 1);
    }
}

/// A request was not answered after all.
#[inline(always)]
pub fn taken_back(figures: Figures, endpoint: u16, latency: u64) {
    add(figures, endpoint, REQUESTS, 1u64.wrapping_neg());
    add(figures, endpoint, LATENCY_SUM, latency.wrapping_neg());
    add(figures, endpoint, word_of(latency), 1u64.wrapping_neg());
}

/// Counts a reply that says that its request failed; `refused` if that was the client's doing.
#[inline(always)]
pub fn failed(figures: Figures, endpoint: u16, refused: bool) {
    add(figures, endpoint, FAILED, 1);
    if refused {
        add(figures, endpoint, REFUSED, 1);
    }
}

/// The reply goes on as a stream.
#[inline(always)]
pub fn streamed(figures: Figures, endpoint: u16) {
    add(figures, endpoint, STREAMED, 1);
}

/// Counts a message that expects no answer.
#[inline(always)]
pub fn said(figures: Figures, endpoint: u16) {
    add(figures, endpoint, REQUESTS, 1);
}

/// Where a latency counts.
#[inline(always)]
fn word_of(latency: u64) -> u32 {
    let bucket = bucket_index_of_power(latency, POWER) as u32;
    if bucket < BUCKETS { LATENCY + bucket } else { OVER_RANGE }
}

const _: () = assert!(ENDPOINT_WORDS == LATENCY + BUCKETS);
