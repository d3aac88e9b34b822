//! Tables of bytes, each a service + 1 or 0: two loads a lookup.
//!
//! In: an index, as a port. Out: the service there, from 0. An array map has no smaller entry than eight bytes, so
//! that eight of the table are in one.

use acgs_perf_common::ledger::Loss;
use aya_ebpf::btf_maps::Array;

/// The service of an entry, from 0.
#[inline(always)]
pub fn get<const N: usize, const F: usize>(map: &Array<[u8; 8], N, F>, index: u32) -> Option<u32> {
    let byte = byte(map, index)?;
    // SAFETY: `byte` points into the map's value.
    let service = unsafe { byte.read_volatile() };
    (service != 0).then(|| u32::from(service) - 1)
}

/// Sets an entry; `None` clears it.
#[inline(always)]
pub fn set<const N: usize, const F: usize>(
    map: &Array<[u8; 8], N, F>,
    index: u32,
    service: Option<u32>,
) -> Result<(), Loss> {
    let byte = byte(map, index).ok_or(Loss::ServiceTable)?;
    // SAFETY: `byte` points into the map's value; a byte is stored whole, so neighbours need no lock.
    unsafe { byte.write_volatile(service.map_or(0, |s| s as u8 + 1)) };
    Ok(())
}

#[inline(always)]
fn byte<const N: usize, const F: usize>(map: &Array<[u8; 8], N, F>, index: u32) -> Option<*mut u8> {
    let entry = map.get_ptr_mut(index >> 3)?.cast::<u8>();
    // SAFETY: an entry has eight bytes and the offset is at most seven.
    Some(unsafe { entry.add((index & 7) as usize) })
}
