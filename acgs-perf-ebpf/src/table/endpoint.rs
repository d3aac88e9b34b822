//! Endpoints: what a service is asked for, and what it asks its peers for, by the hash of the name.
//!
//! In: a name and its hash. Out: the endpoint's number, and its figures, of the service's own in the shard of this CPU. A name is put down
//! once, by who meets it first; from that request on it counts.

use acgs_perf_common::endpoint::{
    BUCKETS, CALLED_ENDPOINTS, ENDPOINT_WORDS, ENDPOINTS, EndpointName, EndpointSlot, FAILED, FIRST_NAMED, LATENCY,
    LATENCY_SUM, NAME_BYTES, OTHER_ENDPOINT, OVER_RANGE, POWER, REFUSED, REPEATED, REQUESTS, SLOTS, STREAMED,
    called_base, figures_base, name_index, numbering,
};
use acgs_perf_common::histogram::bucket_index_of_power;
use acgs_perf_protocol::name::Key;
use acgs_perf_protocol::{Name, Stream};
use aya_ebpf::btf_maps::Array;
use aya_ebpf::macros::btf_map;

use crate::count::{Figures, atomic_add, replaced};
use crate::flags::MMAPABLE;
use crate::state::talk::{self, Owner};

/// Endpoints by hash.
#[btf_map]
static ENDPOINT_SLOTS: Array<EndpointSlot, 1, MMAPABLE> = Array::new();
/// How many numbers each numbering has given out.
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

/// Index of the first word of an endpoint's figures.
#[derive(Clone, Copy)]
pub struct Place(u32);

/// Figures of what a service is asked for, on this CPU.
#[inline(always)]
pub fn own(figures: Figures, endpoint: u16) -> Place {
    Place(figures_base(figures.shards(), figures.service(), u32::from(endpoint), figures.shard()))
}

/// Figures of what a service is asked for, or asks its peers for.
#[inline(always)]
pub fn figures(owner: Owner, endpoint: u16) -> Place {
    let figures = Figures::of(owner.service);
    if owner.called == 0 {
        return own(figures, endpoint);
    }
    Place(called_base(figures.shards(), figures.service(), u32::from(endpoint)))
}

/// Who gives out its number.
#[inline(always)]
fn numbering_of(owner: Owner) -> u32 {
    numbering(owner.service, owner.called != 0)
}

/// The number of the endpoint that `stream` has named.
#[inline(always)]
pub fn find(owner: Owner, stream: &Stream, name: &Name, protocol: u8) -> u16 {
    // Of one name, what is answered and what is not are two.
    let asker = u64::from(owner.service) | u64::from(stream.kind) << 8 | u64::from(owner.called) << 16;
    let hash = name.key.mix(stream.hash, asker) | NUMBER;
    for way in 0..WAYS {
        let place = ((hash >> 20) as u32).wrapping_add(way) & (SLOTS - 1);
        let Some(slot) = ENDPOINT_SLOTS.get_ptr_mut(place) else { break };
        // SAFETY: the pointer is into the map's value; a slot's name is written once, from 0.
        let (mut seen, claimed) = unsafe { ((&raw const (*slot).name).read_volatile(), &raw mut (*slot).name) };
        if seen == 0 {
            // Hash and number in one step, so that nobody ever waits for the other one.
            let number = number(owner);
            if replaced(claimed, 0, (hash ^ NUMBER) | number) {
                named(slot, owner, number, hash, stream, name, protocol);
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
                named(slot, owner, number, hash, stream, name, protocol);
            }
            return number as u16;
        }
    }
    OTHER_ENDPOINT
}

/// Puts down the name of a slot, or only its hash where some of the name was in another piece of the stream.
#[inline(always)]
fn named(slot: *mut EndpointSlot, owner: Owner, number: u64, hash: u64, stream: &Stream, name: &Name, protocol: u8) {
    put_name(owner, number, hash, stream, name, protocol);
    // SAFETY: the pointer is into the map's value.
    unsafe { (&raw mut (*slot).is_unnamed).write_volatile(u64::from(stream.is_cut)) };
}

/// Gives out a number.
#[inline(always)]
fn number(owner: Owner) -> u64 {
    let Some(numbers) = ENDPOINT_NUMBERS.get_ptr_mut(numbering_of(owner)) else { return u64::from(OTHER_ENDPOINT) };
    let most = if owner.called == 0 { ENDPOINTS } else { CALLED_ENDPOINTS };
    for _ in 0..MOST_TRIES {
        // SAFETY: the pointer is into the map's value.
        let given = unsafe { numbers.read_volatile() };
        let number = given.wrapping_add(u64::from(FIRST_NAMED));
        if number >= u64::from(most) {
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
fn put_name(owner: Owner, endpoint: u64, hash: u64, stream: &Stream, name: &Name, protocol: u8) {
    if endpoint < u64::from(FIRST_NAMED) {
        return;
    }
    let Some(entry) = ENDPOINT_NAMES.get_ptr_mut(name_index(numbering_of(owner), endpoint as u32)) else { return };
    // SAFETY: the pointer is into the map's value; who has given out the number writes it.
    let entry = unsafe { &mut *entry };
    entry.hash = hash;
    entry.protocol = protocol;
    entry.kind = stream.kind;
    entry.peer = owner.called.wrapping_sub(1);
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
fn add(place: Place, word: u32, value: u64) {
    if let Some(slot) = ENDPOINT_FIGURES.get_ptr_mut(place.0 + word) {
        atomic_add(slot, value);
    }
}

/// Counts a request that was answered.
#[inline(always)]
pub fn answered(place: Place, latency: u64) {
    add(place, REQUESTS, 1);
    add(place, LATENCY_SUM, latency);
    add(place, word_of(latency), 1);
}

/// The reply to a request has gone on since its latency was recorded.
#[inline(always)]
pub fn grown(place: Place, recorded: u64, latency: u64) {
    add(place, LATENCY_SUM, latency.wrapping_sub(recorded));
    let (from, to) = (word_of(recorded), word_of(latency));
    if from != to {
        add(place, from, 1u64.wrapping_neg());
        add(place, to, 1);
    }
}

/// A request was not answered after all; its reply had said how it ended.
#[inline(always)]
pub fn taken_back(place: Place, latency: u64, outcome: u8) {
    const BACK: u64 = 1u64.wrapping_neg();
    add(place, REQUESTS, BACK);
    add(place, LATENCY_SUM, latency.wrapping_neg());
    add(place, word_of(latency), BACK);
    if outcome != talk::WELL {
        failed(place, outcome, BACK);
    }
}

/// Counts a reply that says that its request failed, or with -1 takes it back.
#[inline(always)]
pub fn failed(place: Place, outcome: u8, count: u64) {
    add(place, FAILED, count);
    if outcome == talk::REFUSED {
        add(place, REFUSED, count);
    }
}

/// The reply goes on as a stream.
#[inline(always)]
pub fn streamed(place: Place) {
    add(place, STREAMED, 1);
}

/// It is asked for once more, on the same connection for the same request.
#[inline(always)]
pub fn repeated(place: Place) {
    add(place, REPEATED, 1);
}

/// Counts a message that expects no answer.
#[inline(always)]
pub fn said(place: Place) {
    add(place, REQUESTS, 1);
}

/// Where a latency counts.
#[inline(always)]
fn word_of(latency: u64) -> u32 {
    let bucket = bucket_index_of_power(latency, POWER) as u32;
    if bucket < BUCKETS { LATENCY + bucket } else { OVER_RANGE }
}

const _: () = assert!(ENDPOINT_WORDS == LATENCY + BUCKETS);
