//! Bucket counts as an HdrHistogram, without loss.
//!
//! In: counts by bucket. Out: base64 of the HdrHistogram V2 encoding (uncompressed). With two significant digits its
//! buckets are ours, so that every bucket keeps its count. Values over range are not in it; they are counted beside it.

use acgs_perf_common::histogram::{MAX_POWER, bucket_low};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2Serializer};

/// The histogram, or `None` if a count is beyond what the format can hold (2^63).
pub fn histogram(buckets: &[u64]) -> Option<Histogram<u64>> {
    let mut histogram = Histogram::new_with_bounds(1, 1 << MAX_POWER, 2).ok()?;
    for (index, count) in buckets.iter().enumerate().filter(|(_, count)| **count > 0) {
        let low = bucket_low(index);
        histogram.record_n(low, *count).ok()?;
        if histogram.count_at(low) != *count {
            return None;
        }
    }
    Some(histogram)
}

/// The encoded histogram.
pub fn encode(buckets: &[u64]) -> Option<String> {
    let mut bytes = Vec::new();
    V2Serializer::new().serialize(&histogram(buckets)?, &mut bytes).ok()?;
    Some(STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use acgs_perf_common::histogram::{BUCKETS, bucket_high};
    use hdrhistogram::serialization::Deserializer;

    use super::*;

    #[test]
    fn every_bucket_keeps_its_count_through_the_encoding() {
        let buckets: Vec<u64> = (0..BUCKETS as u64).map(|i| i * i % 1009).collect();
        let bytes = STANDARD.decode(encode(&buckets).unwrap()).unwrap();
        let back: Histogram<u64> = Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
        for (index, count) in buckets.iter().enumerate() {
            for value in [bucket_low(index), bucket_high(index)] {
                assert_eq!(back.count_at(value), *count, "bucket {index}");
            }
            assert_eq!(back.lowest_equivalent(bucket_high(index)), bucket_low(index));
            assert_eq!(back.highest_equivalent(bucket_low(index)), bucket_high(index));
        }
        assert_eq!(back.len(), buckets.iter().sum::<u64>());
    }

    #[test]
    fn a_count_beyond_the_format_is_absent_and_not_wrong() {
        let mut buckets = vec![0; BUCKETS];
        buckets[5] = u64::MAX;
        assert_eq!(encode(&buckets), None);
    }
}
