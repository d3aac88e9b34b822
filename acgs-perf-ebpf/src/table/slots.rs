//! Slots that are handed out once: which CPU gets a slot is decided by an insert that fails if the key is there.
//!
//! In: a map of those that are taken, keyed by service and slot. Out: a slot that nobody has, and now the caller.

use aya_ebpf::btf_maps::HashMap;

use crate::flags::NO_EXIST;

/// Claims the first free slot of a service from `from` on, of those below `end`; tries so many, in case other CPUs claim at the
/// same time.
#[expect(
    clippy::manual_find,
    reason = "of an iterator the verifier follows more ways: 4 % more in `inet_sock_set_state`"
)]
#[inline(always)]
pub fn claim<const N: usize, const F: usize, const TRIES: u64>(
    taken: &HashMap<u64, u64, N, F>,
    service: u32,
    from: u64,
    end: u64,
) -> Option<u64> {
    for slot in from..from + TRIES {
        if slot < end && taken.insert(key(service, slot), 0, NO_EXIST).is_ok() {
            return Some(slot);
        }
    }
    None
}

/// The key of a slot in the map of those that are taken.
#[inline(always)]
pub fn key(service: u32, slot: u64) -> u64 {
    (u64::from(service) << 32) | slot
}
