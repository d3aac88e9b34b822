//! The line that tells how a recording goes, for who watches it on a terminal.
//!
//! In: intervals. Out: what to say: the time left, the rate, the P99 so far, what was lost. It costs an addition for each interval.

use std::time::{Duration, Instant};

use acgs_perf_common::histogram::BUCKETS;
use acgs_perf_common::maps::{Counter, Histogram};

use crate::analysis::percentile_of;
use crate::live::probes::request;
use crate::snapshot::interval::row;
use crate::snapshot::{Interval, Subject};
use crate::sums::{Difference as _, Sums};
use crate::units::{duration, grouped, rate};

/// What was seen so far.
pub struct Progress {
    begun: Instant,
    duration: Option<Duration>,
    latency: Sums,
    lost: u64,
}

impl Progress {
    /// Of a recording that begins now.
    pub fn new(duration: Option<Duration>) -> Self {
        Self { begun: Instant::now(), duration, latency: Sums::default(), lost: 0 }
    }

    /// What to say after an interval.
    pub fn push(&mut self, interval: &Interval) -> String {
        self.after(interval, self.begun.elapsed())
    }

    fn after(&mut self, interval: &Interval, elapsed: Duration) -> String {
        let services =
            interval.subjects.iter().filter(|(subject, _)| **subject == Subject::service(subject.service as usize));
        let mut answered = 0;
        for (_, sections) in services {
            answered += row(Some(sections), request::COUNTERS, &[]).sums.count(Counter::Requests as u32);
            self.latency.add(&row(Some(sections), request::LATENCY, &[Histogram::Latency as u32]).sums);
        }
        self.lost += interval.ledger.iter().map(|(_, count)| count.max(0) as u64).sum::<u64>();
        let time = match self.duration {
            Some(whole) => format!("{} s left", whole.saturating_sub(elapsed).as_secs_f64().ceil()),
            None => format!("{} s", elapsed.as_secs()),
        };
        let per_second = answered as f64 * 1e9 / interval.len_ns.max(1) as f64;
        let (within, over): (Vec<_>, Vec<_>) =
            self.latency.iter().partition(|(bucket, _)| (*bucket as usize) < BUCKETS);
        let over = over.iter().map(|(_, count)| count).sum();
        let p99 = percentile_of(&Sums::sparse(within), over, 9_900);
        let p99 = p99.map_or_else(|| "no request yet".to_owned(), |ns| format!("p99 {} so far", duration(ns)));
        format!("{time} · {} requests/s · {p99} · {} lost", rate(per_second), grouped(self.lost))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::sample;

    #[test]
    fn it_says_what_is_left_and_what_was_seen() {
        let capture = sample::capture();
        let interval = capture.intervals.iter().next().expect("there is one");
        let mut progress = Progress::new(Some(Duration::from_secs(30)));
        let line = progress.after(&interval, Duration::from_millis(10_200));
        assert!(line.starts_with("20 s left · 30,000 requests/s · p99 "), "{line}");
        assert!(line.ends_with(" so far · 0 lost"), "{line}");
        let mut progress = Progress::new(None);
        assert_eq!(
            progress.after(&Interval::default(), Duration::from_secs(3)),
            "3 s · 0 requests/s · no request yet · 0 lost"
        );
    }
}
