//! Data points of metrics, as OTLP has them.
//!
//! In: differences, and what is owed. Out: messages, and how many points are in them.

use std::collections::BTreeMap;

use super::super::native::{SCHEMA, ZERO};
use super::super::protobuf::Message;
use super::delta::Owed;
use super::spans::Span;
use super::words::{Value, attribute};
use crate::sums::Sums;

/// `AGGREGATION_TEMPORALITY_DELTA`.
const DELTA: u64 = 1;
const ZERO_THRESHOLD: f64 = 1e-12;
/// Stands between the parts of a key.
pub const SEPARATOR: char = '\u{1f}';

/// When a piece was, since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Time {
    /// Begin.
    pub start_ns: u64,
    /// End.
    pub end_ns: u64,
}

/// `Gauge`, and the begin of a `Sum`.
pub fn list(points: &[Message]) -> Message {
    let mut list = Message::default();
    points.iter().for_each(|point| list.message(1, point));
    list
}

/// Metrics of one service that are being made.
pub struct Metrics<'a> {
    /// When it was.
    pub time: Time,
    /// What is owed.
    pub owed: &'a mut Owed,
    /// Whose metrics are made.
    pub service: &'a str,
    list: Vec<Message>,
    /// Data points so far.
    pub points: u64,
}

impl<'a> Metrics<'a> {
    /// None yet.
    pub fn new(time: Time, owed: &'a mut Owed) -> Self {
        Self { time, owed, service: "", list: Vec::new(), points: 0 }
    }

    /// `ResourceMetrics` of what has come together.
    pub fn take(&mut self, resource: &Message, scope: &Message) -> Message {
        let mut of_scope = Message::default();
        of_scope.message(1, scope);
        std::mem::take(&mut self.list).iter().for_each(|metric| of_scope.message(2, metric));
        let mut of_resource = Message::default();
        of_resource.message(1, resource);
        of_resource.message(2, &of_scope);
        of_resource
    }

    fn key(&self, name: &str, labels: &[(&str, &str)]) -> String {
        let values: Vec<&str> = labels.iter().map(|(_, value)| *value).collect();
        format!("{}{SEPARATOR}{name}{SEPARATOR}{}", self.service, values.join("\u{1f}"))
    }

    /// `NumberDataPoint` without a value.
    fn point(&mut self, labels: &[(&str, &str)]) -> Message {
        self.points += 1;
        let mut point = Message::default();
        point.fixed(2, self.time.start_ns);
        point.fixed(3, self.time.end_ns);
        for (key, value) in labels {
            point.message(7, &attribute(key, Value::Text(value)));
        }
        point
    }

    /// A count.
    pub fn count(&mut self, name: &str, labels: &[(&str, &str)], difference: i64) -> Message {
        let count = self.owed.count(self.key(name, labels), difference);
        let mut point = self.point(labels);
        point.fixed(6, count);
        point
    }

    /// A time.
    pub fn seconds(&mut self, name: &str, labels: &[(&str, &str)], difference_ns: i64) -> Message {
        let ns = self.owed.count(self.key(name, labels), difference_ns);
        let mut point = self.point(labels);
        point.double(4, ns as f64 / 1e9);
        point
    }

    /// What may do anything.
    pub fn gauge(&mut self, labels: &[(&str, &str)], value: f64) -> Message {
        let mut point = self.point(labels);
        point.double(4, value);
        point
    }

    /// A `Sum` that only rises.
    pub fn sum(&mut self, name: &str, what: &str, unit: &str, points: Vec<Message>) {
        if points.is_empty() {
            return;
        }
        let mut sum = list(&points);
        sum.unsigned(2, DELTA);
        sum.unsigned(3, 1);
        self.metric(name, what, unit, 7, &sum);
    }

    /// An `ExponentialHistogram`; the requests whose spans are sent are its exemplars.
    pub fn histogram(&mut self, (name, what): (&str, &str), differences: &Sums, sum_ns: i64, exemplars: &[&Span]) {
        let mut point = self.distribution(name, &[], differences, sum_ns);
        for span in exemplars {
            let mut exemplar = Message::default();
            exemplar.fixed(2, span.end_ns);
            exemplar.double(3, span.end_ns.saturating_sub(span.start_ns) as f64 / 1e9);
            exemplar.bytes(4, &span.id);
            exemplar.bytes(5, &span.trace);
            point.message(11, &exemplar);
        }
        self.histograms(name, what, &[point]);
    }

    /// `ExponentialHistogramDataPoint`: the attributes of one have another number than those of the other points.
    pub fn distribution(&mut self, name: &str, labels: &[(&str, &str)], differences: &Sums, sum_ns: i64) -> Message {
        let key = self.key(name, labels);
        let sum_ns = self.owed.count(key.clone(), sum_ns);
        let counts = self.owed.histogram(key, differences);
        self.points += 1;
        let mut point = buckets(&counts);
        point.fixed(2, self.time.start_ns);
        point.fixed(3, self.time.end_ns);
        point.double(5, sum_ns as f64 / 1e9);
        for (key, value) in labels {
            point.message(1, &attribute(key, Value::Text(value)));
        }
        point
    }

    /// An `ExponentialHistogram`.
    pub fn histograms(&mut self, name: &str, what: &str, points: &[Message]) {
        if points.is_empty() {
            return;
        }
        let mut histogram = list(points);
        histogram.unsigned(2, DELTA);
        self.metric(name, what, "s", 10, &histogram);
    }

    /// A metric.
    pub fn metric(&mut self, name: &str, what: &str, unit: &str, kind: u64, data: &Message) {
        let mut metric = Message::default();
        metric.bytes(1, name.as_bytes());
        metric.bytes(2, what.as_bytes());
        metric.bytes(3, unit.as_bytes());
        metric.message(kind, data);
        self.list.push(metric);
    }
}

/// `ExponentialHistogramDataPoint` with its counts. Bucket i of OTLP holds what is above 2^(i/64) s, which is ours one below.
fn buckets(counts: &BTreeMap<i32, u64>) -> Message {
    let mut point = Message::default();
    point.fixed(4, counts.values().sum());
    point.signed(6, SCHEMA.into());
    point.fixed(7, counts.get(&ZERO).copied().unwrap_or_default());
    point.double(14, ZERO_THRESHOLD);
    let mut positive = counts.iter().filter(|(bucket, _)| **bucket != ZERO);
    if let Some((first, _)) = positive.clone().next() {
        let last = positive.next_back().map_or(*first, |(last, _)| *last);
        let mut buckets = Message::default();
        buckets.signed(1, i64::from(*first) - 1);
        buckets.packed(2, (*first..=last).map(|bucket| counts.get(&bucket).copied().unwrap_or_default()));
        point.message(8, &buckets);
    }
    point
}

#[cfg(test)]
mod tests {
    use super::super::super::protobuf::{Field, fields};
    use super::*;

    #[test]
    fn buckets_are_one_below_ours() {
        let point = buckets(&BTreeMap::from([(ZERO, 2), (-3, 4), (-1, 1)])).0;
        let number = |wanted: u64| fields(&point).find_map(|(at, field)| (at == wanted).then_some(field));
        assert_eq!(
            (number(4), number(6), number(7)),
            (Some(Field::Number(7)), Some(Field::Number(12)), Some(Field::Number(2)))
        );
        // From -4 on: 4, 0, 1.
        assert_eq!(number(8), Some(Field::Bytes(&[8, 7, 18, 3, 4, 0, 1])));
    }
}
