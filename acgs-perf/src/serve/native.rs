//! Native histograms: the buckets of Prometheus' own, and families in the protobuf that carries them.
//!
//! In: the kernel side's buckets; families. Out: counts by bucket of schema 6, in which a power of two has 64 (1.1 % each); messages of
//! `io.prometheus.client.MetricFamily`, each behind its length.

use std::collections::BTreeMap;

use acgs_perf_common::histogram::{BUCKETS, bucket_high, bucket_low};

use super::family::{Family, Histogram, Sample, Type, Value};
use super::protobuf::{Message, varint};
use crate::sums::Sums;

/// A power of two has 2^6 buckets.
pub const SCHEMA: i32 = 6;
/// What is at most this is in the bucket of zero; nothing but zero is.
const ZERO_THRESHOLD: f64 = 1e-12;
/// Stands for that bucket.
pub const ZERO: i32 = i32::MIN;

/// Counts by bucket, of counts by bucket of the kernel side: each goes where the middle of its own is. None is lost.
#[must_use]
pub fn buckets(sums: &Sums) -> BTreeMap<i32, u64> {
    let mut all = BTreeMap::new();
    for (bucket, count) in sums.iter().filter(|(_, count)| *count > 0) {
        *all.entry(index(bucket as usize)).or_default() += count as u64;
    }
    all
}

/// Bucket i holds what is above 2^((i-1)/64) s and at most 2^(i/64) s.
#[must_use]
pub fn index(bucket: usize) -> i32 {
    // What is over range has no middle.
    let bucket = bucket.min(BUCKETS);
    let middle_ns = (bucket_low(bucket) + bucket_high(bucket)) as f64 / 2.0;
    if middle_ns == 0.0 { ZERO } else { ((middle_ns / 1e9).log2() * f64::from(1 << SCHEMA)).ceil() as i32 }
}

/// The families as messages.
#[must_use]
pub fn render(families: &[Family]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(16 << 10);
    for Family { name, kind, help, samples } in families.iter().filter(|family| !family.samples.is_empty()) {
        let (kind, suffix) = match kind {
            Type::Counter => (0, "_total"),
            Type::Gauge => (1, ""),
            Type::Histogram => (4, ""),
        };
        let mut family = Message::default();
        family.bytes(1, format!("{name}{suffix}").as_bytes());
        family.bytes(2, help.as_bytes());
        family.unsigned(3, kind);
        for sample in samples {
            family.bytes(4, &metric(sample, kind).0);
        }
        varint(&mut bytes, family.0.len() as u64);
        bytes.extend(family.0);
    }
    bytes
}

fn metric(sample: &Sample, kind: u64) -> Message {
    let mut metric = Message::default();
    for (name, value) in &sample.labels {
        let mut label = Message::default();
        label.bytes(1, name.as_bytes());
        label.bytes(2, value.as_bytes());
        metric.bytes(1, &label.0);
    }
    match &sample.value {
        Value::Histogram(of) => metric.bytes(7, &histogram(of).0),
        Value::Count(count) => value(&mut metric, kind, *count as f64),
        Value::Nanos(ns) => value(&mut metric, kind, *ns as f64 / 1e9),
    }
    metric
}

/// The value of a counter or a gauge.
fn value(metric: &mut Message, kind: u64, value: f64) {
    let mut message = Message::default();
    message.double(1, value);
    metric.message(if kind == 0 { 3 } else { 2 }, &message);
}

fn histogram(of: &Histogram) -> Message {
    let mut message = Message::default();
    // Of the native buckets, so that they add up to it; see `metrics` on counts that fall.
    message.unsigned(1, of.fine.values().sum());
    message.double(2, of.sum_ns as f64 / 1e9);
    for (bound_ns, count) in &of.bounds {
        let mut bucket = Message::default();
        bucket.unsigned(1, *count);
        bucket.double(2, *bound_ns as f64 / 1e9);
        message.bytes(3, &bucket.0);
    }
    message.signed(5, i64::from(SCHEMA));
    message.double(6, ZERO_THRESHOLD);
    message.unsigned(7, of.fine.get(&ZERO).copied().unwrap_or_default());
    let mut before: Option<(i32, u64)> = None;
    let (mut spans, mut deltas): (Vec<(i32, u64)>, Vec<i64>) = (Vec::new(), Vec::new());
    for (bucket, count) in of.fine.iter().filter(|(bucket, _)| **bucket != ZERO) {
        match (before, spans.last_mut()) {
            (Some((last, _)), Some((_, len))) if last + 1 == *bucket => *len += 1,
            (last, _) => spans.push((last.map_or(*bucket, |(last, _)| bucket - last - 1), 1)),
        }
        deltas.push(*count as i64 - before.map_or(0, |(_, count)| count as i64));
        before = Some((*bucket, *count));
    }
    if spans.is_empty() {
        // A span of no length says that this is a native histogram without counts.
        spans.push((0, 0));
    }
    for (offset, len) in spans {
        let mut span = Message::default();
        span.signed(1, i64::from(offset));
        span.unsigned(2, len);
        message.bytes(12, &span.0);
    }
    deltas.into_iter().for_each(|delta| message.signed(13, delta));
    message
}

#[cfg(test)]
mod tests {
    use acgs_perf_common::histogram::bucket_index;

    use super::*;

    #[test]
    fn each_bucket_is_where_its_middle_is_and_none_is_lost() {
        let bound = |index: i32| (f64::from(index) / 64.0).exp2() * 1e9;
        for ns in [1u64, 2, 255, 256, 1_000, 5_000_000, 1_000_000_000, (1 << 36) - 1] {
            let index = index(bucket_index(ns));
            // The bucket, and half of ours: 1.1 % + 0.4 %.
            assert!(bound(index) * 1.005 >= ns as f64 && bound(index - 1) <= ns as f64 * 1.005, "{ns}");
        }
        assert_eq!((index(0), index(bucket_index(1_000_000_000)).abs() <= 1), (ZERO, true));
        let sums = Sums::sparse([(0, 3), (300, 5), (301, -1), (BUCKETS as u32, 2)]);
        assert_eq!(buckets(&sums).values().sum::<u64>(), 10);
    }

    #[test]
    fn a_message_is_written_as_the_format_says() {
        let labels = vec![("service", "a".to_owned())];
        let counter = Sample { labels: labels.clone(), value: Value::Count(150) };
        let family = Family { name: "x", kind: Type::Counter, help: "h", samples: vec![counter] };
        let metric = [&[10, 12, 10, 7][..], b"service", &[18, 1, b'a', 26, 9, 9], &150f64.to_le_bytes()].concat();
        let wanted = [&[10, 7][..], b"x_total", &[18, 1, b'h', 24, 0, 34, metric.len() as u8], &metric].concat();
        assert_eq!(render(&[family]), [&[wanted.len() as u8][..], &wanted].concat());
    }

    #[test]
    fn neighbours_share_a_span() {
        let fine = BTreeMap::from([(ZERO, 2), (-3, 4), (-2, 1), (5, 7)]);
        let message = histogram(&Histogram { fine, ..Histogram::default() }).0;
        // Count 14; two spans: 2 from -3 on, 1 after a gap of 6; differences 4, -3, 6.
        assert!(message.starts_with(&[8, 14]));
        let end = [98, 4, 8, 5, 16, 2, 98, 4, 8, 12, 16, 1, 104, 8, 104, 5, 104, 12];
        assert!(message.ends_with(&end), "{message:?}");
    }
}
