//! What the fuzzer of the order of events has come upon, and others like it, in each run of the tests.

use proptest::prelude::*;
use proptest::sample::Index;

use crate::events::try_bytes;
use crate::orders::cases;

/// Bytes of the seeds, a line of hexadecimal digits each.
fn seeds() -> Vec<Vec<u8>> {
    let bytes = |line: &str| {
        let digits = |at: usize| u8::from_str_radix(&line[at..at + 2], 16).unwrap();
        (0..line.len()).step_by(2).map(digits).collect()
    };
    let seeds: Vec<Vec<u8>> = include_str!("../../../fuzz/seeds/orders.hex").lines().map(bytes).collect();
    assert!(seeds.len() >= 40, "{} seeds", seeds.len());
    seeds
}

#[test]
fn what_fuzzing_has_found_holds() {
    seeds().iter().for_each(|seed| try_bytes(seed));
}

proptest! {
    #![proptest_config(cases())]

    /// The end of one behind the begin of another, and three bytes changed.
    #[test]
    fn and_what_is_like_it(
        (one, other) in (any::<Index>(), any::<Index>()),
        (first, second) in (any::<Index>(), any::<Index>()),
        changed in prop::array::uniform3((any::<Index>(), any::<u8>())),
    ) {
        let seeds = seeds();
        let (one, other) = (one.get(&seeds), other.get(&seeds));
        // Events are three bytes behind the first one.
        let at = |index: Index, of: &[u8]| 1 + index.index(of.len()) / 3 * 3;
        let mut bytes = [&one[..at(first, one).min(one.len())], &other[at(second, other).min(other.len())..]].concat();
        for (index, byte) in changed {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        try_bytes(&bytes);
    }
}
