//! The members of services in sets of four: a table whose size does not follow from how large a process id may be.
//!
//! In: a set, which is a word of four entries, and a process id. Out: its service, or the word with an entry more or less. A byte
//! for each possible id takes 4 MiB where ids go up to 4,194,304, as they do by default on large hosts; this takes 256 KiB. An id's set
//! is given by its low bits, the others are kept in the entry. Of ids that share their low bits four may be members at a time: among
//! 10,000 members in 32,768 sets, one in 2,500 sets has more.

/// Sets, a power of two.
pub const SETS: u32 = 1 << SET_BITS;
const SET_BITS: u32 = 15;
/// Entries of a set.
const WAYS: u32 = 4;
/// Bits of an entry for the service + 1; above them stands the rest of the id + 1, so that an empty entry is nobody's.
const SERVICE_BITS: u32 = 7;
const SERVICE_MASK: u64 = (1 << SERVICE_BITS) - 1;
/// One in each entry.
const ONES: u64 = 0x0001_0001_0001_0001;

/// Where ids may be larger than this, the table has sets instead of a byte for each.
pub const BYTES_UP_TO: u32 = 1 << 18;

/// The set of a process.
#[inline(always)]
#[must_use]
pub const fn set_of(tgid: u32) -> u32 {
    tgid & (SETS - 1)
}

/// The upper part of a process's entry.
#[inline(always)]
const fn tag(tgid: u32) -> u64 {
    ((tgid >> SET_BITS) as u64 + 1) << SERVICE_BITS
}

/// Service + 1 of a process in its set, 0 for a stranger. Without a branch: the verifier would follow each.
#[inline(always)]
#[must_use]
pub const fn service_byte(set: u64, tgid: u32) -> u32 {
    // Entries of this process have nothing but their service left.
    let rest = (set ^ (tag(tgid) * ONES)) & !(SERVICE_MASK * ONES);
    // The highest bit of each entry whose rest is 0.
    let low = !(0x8000 * ONES);
    let own = !(((rest & low) + low) | rest | low);
    let service = set & ((own >> 15) * SERVICE_MASK);
    let half = service | service >> 32;
    ((half | half >> 16) & SERVICE_MASK) as u32
}

/// The set with this process as a member (`byte`, its service + 1) or without it (0); `None` if there is no room.
#[inline(always)]
#[must_use]
pub fn with(set: u64, tgid: u32, byte: u32) -> Option<u64> {
    let (mut own, mut empty) = (WAYS, WAYS);
    for way in (0..WAYS).rev() {
        let entry = set >> (16 * way) & 0xffff;
        if entry & !SERVICE_MASK == tag(tgid) {
            own = way;
        }
        if entry == 0 {
            empty = way;
        }
    }
    let way = if own < WAYS { own } else { empty };
    if byte == 0 {
        return Some(if own < WAYS { set & !(0xffff << (16 * (own & 3))) } else { set });
    }
    if way >= WAYS {
        return None;
    }
    let shift = 16 * (way & 3);
    Some(set & !(0xffff << shift) | (tag(tgid) | byte as u64 & SERVICE_MASK) << shift)
}

/// The members of a set: (process, service + 1).
pub fn members(index: u32, set: u64) -> impl Iterator<Item = (u32, u32)> {
    (0..WAYS).map(move |way| set >> (16 * way) & 0xffff).filter(|entry| *entry != 0).map(move |entry| {
        let above = (entry >> SERVICE_BITS) as u32 - 1;
        (above << SET_BITS | index, (entry & SERVICE_MASK) as u32)
    })
}

const _: () = assert!(crate::maps::MAX_SERVICES < 1 << SERVICE_BITS);
// 2^22 is as high as process ids go.
const _: () = assert!(tag((1 << 22) - 1) < 1 << 16);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_four_and_finds_each() {
        let ids = [5, 5 + SETS, 5 + 64 * SETS, 5 + 127 * SETS];
        let mut set = 0;
        for (at, id) in ids.iter().enumerate() {
            set = with(set, *id, at as u32 + 1).unwrap();
        }
        for (at, id) in ids.iter().enumerate() {
            assert_eq!(service_byte(set, *id), at as u32 + 1);
        }
        assert_eq!((service_byte(set, 5 + 2 * SETS), service_byte(0, 5)), (0, 0));
        assert_eq!(with(set, 5 + 2 * SETS, 1), None);
        assert!(members(5, set).eq(ids.into_iter().zip(1..)));
        // Who leaves makes room; who comes again changes the service.
        set = with(set, ids[1], 0).unwrap();
        assert_eq!((service_byte(set, ids[1]), with(set, ids[1], 0)), (0, Some(set)));
        set = with(set, 5 + 2 * SETS, 64).unwrap();
        set = with(set, ids[0], 9).unwrap();
        assert_eq!((service_byte(set, 5 + 2 * SETS), service_byte(set, ids[0]), service_byte(set, ids[3])), (64, 9, 4));
    }

    #[test]
    fn every_id_and_service_is_found_beside_every_other() {
        for id in (0..1 << 22).step_by(3_001) {
            for service in [1, 2, 63, 64] {
                let other = (id + SETS) & ((1 << 22) - 1);
                let set = with(with(0, other, 65 - service).unwrap(), id, service).unwrap();
                assert_eq!((service_byte(set, id), service_byte(set, other)), (service, 65 - service), "{id}");
            }
        }
    }
}
