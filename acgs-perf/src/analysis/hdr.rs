//! Bucket counts as an HdrHistogram, without loss.
//!
//! In: counts by bucket, or base64 of the HdrHistogram V2 encoding (uncompressed). Out: the other. With two significant digits its
//! buckets are ours, so that every bucket keeps its count. Values over range are not in it; they are counted beside it.

use acgs_perf_common::histogram::{BUCKETS, MAX_POWER, bucket_index, bucket_low};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2Serializer};

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

/// The counts by bucket in an encoded histogram, `BUCKETS` long; `None` if it is none, or has values over range or buckets that are
/// not ours.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<u64>> {
    let bytes = STANDARD.decode(text).ok()?;
    let histogram: Histogram<u64> = Deserializer::new().deserialize(&mut bytes.as_slice()).ok()?;
    if histogram.sigfig() != 2 || histogram.low() != 1 {
        return None;
    }
    let mut buckets = vec![0; BUCKETS];
    for value in histogram.iter_recorded() {
        let bucket = buckets.get_mut(bucket_index(histogram.lowest_equivalent(value.value_iterated_to())))?;
        *bucket = value.count_at_value();
    }
    Some(buckets)
}

#[cfg(test)]
mod tests {
    use acgs_perf_common::histogram::bucket_high;

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
        assert_eq!(decode(&encode(&buckets).unwrap()), Some(buckets));
    }

    #[test]
    fn what_is_no_histogram_of_ours_is_refused() {
        let mut other = Histogram::<u64>::new_with_bounds(1, 1 << MAX_POWER, 3).unwrap();
        other.record(5).unwrap();
        let mut wide = Histogram::<u64>::new_with_bounds(1, 1 << 40, 2).unwrap();
        wide.record(1 << 39).unwrap();
        let encoded = |histogram: &Histogram<u64>| {
            let mut bytes = Vec::new();
            V2Serializer::new().serialize(histogram, &mut bytes).unwrap();
            STANDARD.encode(bytes)
        };
        for text in ["", "x", "AAAA", &encoded(&other), &encoded(&wide)] {
            assert_eq!(decode(text), None, "{text}");
        }
        let whole = encode(&[3, 0, 7]).unwrap();
        assert_eq!(decode(&whole).unwrap()[..3], [3, 0, 7]);
        for end in 0..whole.len() {
            assert!(decode(&whole[..end]).is_none_or(|buckets| buckets.len() == BUCKETS));
        }
    }

    #[test]
    fn a_count_beyond_the_format_is_absent_and_not_wrong() {
        let mut buckets = vec![0; BUCKETS];
        buckets[5] = u64::MAX;
        assert_eq!(encode(&buckets), None);
    }
}
