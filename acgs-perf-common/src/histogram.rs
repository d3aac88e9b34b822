//! Bucket arithmetic of the log-linear histogram, once for both sides.
//!
//! In: nanoseconds. Out: bucket indexes and boundaries. With grouping power 7 the boundaries are those of HdrHistogram
//! with two significant digits, so kernel counters convert to the `hdrhistogram` crate without loss: a bucket is at
//! most 1/128 = 0.8 % wide.

/// Every power of two is divided into 2^7 buckets.
pub const GROUPING_POWER: u32 = 7;
/// Values of 2^36 ns (68.7 s) and more are over range: counted, and kept out of the buckets.
pub const MAX_POWER: u32 = 36;
/// Number of buckets: one per value below 2^8, then 2^7 per power of two up to 2^36.
pub const BUCKETS: usize = bucket_index((1 << MAX_POWER) - 1) + 1;

/// Index of the bucket that holds `value`, for any `u64`; the caller compares it with [`BUCKETS`].
#[inline(always)]
#[must_use]
pub const fn bucket_index(value: u64) -> usize {
    bucket_index_of_power(value, GROUPING_POWER)
}

/// The same with another grouping power: 2^(power+1) buckets of width 1, then 2^power per power of two.
#[inline(always)]
#[must_use]
pub const fn bucket_index_of_power(value: u64, grouping_power: u32) -> usize {
    // As if the values of width 1 were in two powers of two as well: their indexes are the values.
    let shift = power_of_two(value | 1 << grouping_power) - grouping_power;
    ((shift as usize) << grouping_power) + (value >> shift) as usize
}

/// The place of the highest bit of `value`, which is not 0. The kernel's machine has no instruction for it, and what the compiler makes
/// of `ilog2` there are 50 of them, four times a request: so all bits below are set, which leaves 64 numbers, and a product tells them
/// apart by its upper six bits (a [de Bruijn sequence](https://en.wikipedia.org/wiki/De_Bruijn_sequence)).
#[inline(always)]
const fn power_of_two(value: u64) -> u32 {
    let mut ones = value;
    ones |= ones >> 1;
    ones |= ones >> 2;
    ones |= ones >> 4;
    ones |= ones >> 8;
    ones |= ones >> 16;
    ones |= ones >> 32;
    POWERS[(ones.wrapping_mul(DE_BRUIJN) >> 58) as usize] as u32
}

const DE_BRUIJN: u64 = 0x03f7_9d71_b4cb_0a89;
static POWERS: [u8; 64] = powers();

/// The power of two at the place where [`power_of_two`] looks for it.
const fn powers() -> [u8; 64] {
    let mut powers = [0; 64];
    let mut power = 0;
    while power < 64 {
        let ones = u64::MAX >> (63 - power);
        powers[(ones.wrapping_mul(DE_BRUIJN) >> 58) as usize] = power as u8;
        power += 1;
    }
    powers
}

/// The smallest value of bucket `index`.
#[must_use]
pub const fn bucket_low(index: usize) -> u64 {
    bucket_low_of_power(index, GROUPING_POWER)
}

/// The same with another grouping power.
#[must_use]
pub const fn bucket_low_of_power(index: usize, grouping_power: u32) -> u64 {
    let linear = 1 << (grouping_power + 1);
    if index < linear {
        return index as u64;
    }
    let group = (index - linear) >> grouping_power;
    let offset = ((index - linear) & ((1 << grouping_power) - 1)) as u64;
    let power = group as u32 + grouping_power + 1;
    (1 << power) + (offset << (power - grouping_power))
}

/// The largest value of bucket `index`.
#[must_use]
pub const fn bucket_high(index: usize) -> u64 {
    bucket_low(index) + bucket_width(index) - 1
}

/// How many distinct nanosecond values fall into bucket `index`.
#[must_use]
pub const fn bucket_width(index: usize) -> u64 {
    let linear = 1 << (GROUPING_POWER + 1);
    if index < linear {
        return 1;
    }
    1 << (((index - linear) >> GROUPING_POWER) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bucket_starts_where_the_one_before_ends() {
        assert_eq!(BUCKETS, 3840);
        for index in 0..BUCKETS {
            assert_eq!(bucket_index(bucket_low(index)), index);
            assert_eq!(bucket_index(bucket_high(index)), index);
            assert_eq!(bucket_high(index) + 1, bucket_low(index + 1));
        }
    }

    #[test]
    fn every_power_of_two_and_its_neighbours() {
        for power in 0..64u32 {
            let value = 1u64 << power;
            for v in [value.saturating_sub(1), value, value.saturating_add(1)] {
                let index = bucket_index(v);
                assert!(bucket_low(index) <= v, "2^{power}: {v}");
                assert!(v - bucket_low(index) < bucket_width(index), "2^{power}: {v}");
            }
            if power > 0 {
                assert!(bucket_index(value) > bucket_index(value - 1));
            }
        }
        assert_eq!(bucket_index((1 << MAX_POWER) - 1), BUCKETS - 1);
        assert_eq!(bucket_index(1 << MAX_POWER), BUCKETS);
        assert!(bucket_index(u64::MAX) > BUCKETS);
    }

    #[test]
    fn the_highest_bit_of_a_number() {
        for power in 0..64u32 {
            for value in [1 << power, 1 << power | 1, u64::MAX >> (63 - power)] {
                assert_eq!(power_of_two(value), power, "{value:x}");
            }
        }
    }

    #[test]
    fn a_bucket_is_at_most_one_128th_wide() {
        for index in 256..BUCKETS {
            assert!(bucket_width(index) * 128 <= bucket_low(index));
        }
    }
}
