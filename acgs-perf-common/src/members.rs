//! The table of members: which process belongs to which service.
//!
//! In: a process id, which may be as large as 2^22. Out: where the table has it. A set has two entries, for all ids that end in the same
//! bits, in one word, which both sides change in one step. Nearly always the first load tells a stranger: the word is 0. Members that find
//! no room in their set are in a second table, which is asked only where a set is, or once was, full.

/// The section in which the table is alone: a map by this name.
pub const MEMBERS_SECTION: &str = ".data.members";
/// Sets of the table.
pub const MEMBER_SETS: u32 = 1 << 13;
/// Entries of the second table.
pub const MORE_MEMBERS: u32 = 512;

/// An entry that was taken out of a full set: there may be more of its members in the second table.
const LEFT: u32 = 1 << 31;
/// Bits of an entry that hold the service + 1.
const SERVICE: u32 = 0xff;

/// The set of a process.
#[inline(always)]
#[must_use]
pub const fn set_of(tgid: u32) -> u32 {
    tgid & (MEMBER_SETS - 1)
}

/// Service + 1 of a process by the word of its set; 0 if it is not there.
#[inline(always)]
#[must_use]
pub const fn find(set: u64, tgid: u32) -> u32 {
    let tag = tgid << 8;
    let (first, second) = ((set as u32 ^ tag) as u64, ((set >> 32) as u32 ^ tag) as u64);
    // What is left of an entry of this process is the service alone. Without a branch, so that the verifier goes one way.
    ((first & only(first)) | (second & only(second))) as u32
}

/// All ones for a service alone, else 0.
#[inline(always)]
const fn only(rest: u64) -> u64 {
    (((rest >> 8) as i64 - 1) >> 63) as u64
}

/// Whether members of a set may be in the second table.
#[inline(always)]
#[must_use]
pub const fn is_full(set: u64) -> bool {
    set as u32 != 0 && set >> 32 != 0
}

/// The word with a process in it, as a member of a service from 0; `None` if there is no room.
#[inline(always)]
#[must_use]
pub const fn with(set: u64, tgid: u32, service: u32) -> Option<u64> {
    let entry = (tgid << 8 | (service + 1)) as u64;
    if find(set, tgid) != 0 {
        return Some(if set as u32 >> 8 == tgid { set >> 32 << 32 | entry } else { set as u32 as u64 | entry << 32 });
    }
    let (first, second) = (set as u32, (set >> 32) as u32);
    if first == 0 || first == LEFT {
        Some(set >> 32 << 32 | entry)
    } else if second == 0 || second == LEFT {
        Some(first as u64 | entry << 32)
    } else {
        None
    }
}

/// The word without a process, if that was in it.
#[inline(always)]
#[must_use]
pub const fn without(set: u64, tgid: u32) -> u64 {
    if find(set, tgid) == 0 {
        return set;
    }
    let left = if is_full(set) { LEFT as u64 } else { 0 };
    if set as u32 >> 8 == tgid { set >> 32 << 32 | left } else { set as u32 as u64 | left << 32 }
}

/// The members in a word: (tgid, service from 0).
pub fn members(set: u64) -> impl Iterator<Item = (u32, u32)> {
    let entries = [set as u32, (set >> 32) as u32].into_iter();
    entries.filter_map(|entry| Some((entry >> 8, (entry & SERVICE).checked_sub(1)?)))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    const ONE: u32 = 7;
    const TWO: u32 = 7 + MEMBER_SETS;
    const THREE: u32 = 7 + 127 * MEMBER_SETS;

    #[test]
    fn two_members_share_a_set_and_a_third_has_no_room() {
        assert!([ONE, TWO, THREE].iter().all(|tgid| set_of(*tgid) == 7));
        let one = with(0, ONE, 0).unwrap();
        let both = with(one, TWO, 63).unwrap();
        assert_eq!((find(both, ONE), find(both, TWO), find(both, THREE)), (1, 64, 0));
        assert_eq!(with(both, THREE, 1), None);
        assert!(is_full(both) && !is_full(one) && !is_full(0));
        assert_eq!(members(both).collect::<Vec<_>>(), [(ONE, 0), (TWO, 63)]);
    }

    #[test]
    fn a_member_changes_its_service_where_it_is() {
        let both = with(with(0, ONE, 0).unwrap(), TWO, 1).unwrap();
        let moved = with(with(both, TWO, 5).unwrap(), ONE, 6).unwrap();
        assert_eq!(members(moved).collect::<Vec<_>>(), [(ONE, 6), (TWO, 5)]);
    }

    #[test]
    fn a_set_that_was_full_still_points_to_the_second_table() {
        let both = with(with(0, ONE, 0).unwrap(), TWO, 1).unwrap();
        for (gone, left) in [(ONE, TWO), (TWO, ONE)] {
            let set = without(both, gone);
            assert!(is_full(set) && find(set, gone) == 0 && find(set, left) != 0);
            assert_eq!(members(set).count(), 1);
            let again = with(set, THREE, 2).unwrap();
            assert_eq!((find(again, THREE), find(again, left) != 0), (3, true));
            assert_eq!(members(without(without(again, left), THREE)).count(), 0);
        }
        assert_eq!(without(with(0, ONE, 0).unwrap(), ONE), 0);
        assert_eq!(without(both, THREE), both);
    }

    #[test]
    fn nobody_is_a_member_of_an_empty_set_nor_of_one_that_was_left() {
        let left = without(with(with(0, ONE, 0).unwrap(), TWO, 1).unwrap(), ONE);
        let left = without(left, TWO);
        for set in [0, left] {
            for tgid in [0, 1, ONE, TWO, THREE, (1 << 22) - 1] {
                assert_eq!(find(set, tgid), 0);
            }
        }
    }
}
