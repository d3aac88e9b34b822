//! How many requests come when: the rate as the command line asks for it, or as a recording had it.
//!
//! In: `100`, `100..1000`, steps, a duration; a capture. Out: segments of a schedule.

use std::path::Path;
use std::time::Duration;

use acgs_perf_common::maps::Counter;
use acgs_perf_load::Segment;
use anyhow::{Context as _, bail};

use crate::command::open;
use crate::live::probes::request;
use crate::snapshot::interval::row;
use crate::snapshot::{Capture, Subject};

/// More than any one thread sends.
const MAX_RATE: f64 = 10_000_000.0;
/// A ramp is shown in so many parts, a replay in at most so many.
const PARTS: usize = 10;
/// More steps do not fit on a page.
pub const MAX_STEPS: usize = 100;

/// Requests per second, at the begin and at the end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    from: f64,
    to: f64,
}

impl Range {
    /// Reads `100` or `100..1000`.
    ///
    /// # Errors
    /// If it is neither.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let number = |part: &str| {
            let number = part.trim().parse::<f64>().ok().filter(|number| number.is_finite() && *number > 0.0);
            let Some(number) = number else {
                bail!("--rate {text}: want requests per second, for example 1000, or 100..1000 for steps or a ramp");
            };
            if number > MAX_RATE {
                bail!("--rate {text}: one thread sends no more than {MAX_RATE} requests per second");
            }
            Ok(number)
        };
        match text.split_once("..") {
            Some((from, to)) => Ok(Self { from: number(from)?, to: number(to)? }),
            None => number(text).map(|rate| Self { from: rate, to: rate }),
        }
    }

    fn is_constant(self) -> bool {
        self.from == self.to
    }

    /// How long so many requests take.
    #[must_use]
    pub fn time_of(self, requests: u64) -> Duration {
        Duration::try_from_secs_f64(requests as f64 * 2.0 / (self.from + self.to)).unwrap_or(Duration::MAX)
    }

    /// The segments of a run of this length.
    ///
    /// # Errors
    /// If there are steps and nothing that they could lead to.
    pub fn segments(self, steps: Option<usize>, duration: Duration) -> anyhow::Result<Vec<Segment>> {
        let total = duration.as_nanos() as u64;
        let part = |at: usize, of: usize, from: f64, to: f64| {
            // The last one takes what rounding has left.
            let [begin, end] = [at, at + 1].map(|at| (u128::from(total) * at as u128 / of as u128) as u64);
            Segment { duration_ns: end - begin, from, to, slice: at }
        };
        let along = |at: usize, of: usize| self.from + (self.to - self.from) * at as f64 / of.max(1) as f64;
        match steps {
            Some(_) if self.is_constant() => bail!("--steps: lead from one rate to another; write --rate 100..1000"),
            Some(steps) if !(2..=MAX_STEPS).contains(&steps) => {
                bail!("--steps {steps}: want 2 to {MAX_STEPS}, or leave it out for a ramp")
            }
            Some(steps) => {
                Ok((0..steps).map(|at| part(at, steps, along(at, steps - 1), along(at, steps - 1))).collect())
            }
            None if self.is_constant() => Ok(vec![part(0, 1, self.from, self.to)]),
            None => Ok((0..PARTS).map(|at| part(at, PARTS, along(at, PARTS), along(at + 1, PARTS))).collect()),
        }
    }
}

/// The segments of a recording: in each of its intervals as many requests as the service answered then.
///
/// # Errors
/// If the file is no capture, or has no such service, or that answered nothing.
pub fn of_capture(path: &Path, service: Option<&str>) -> anyhow::Result<Vec<Segment>> {
    let of = || format!("--arrivals replay:{}", path.display());
    let Some((capture, _)) = open::capture(path).with_context(of)? else {
        bail!("{}: no capture; `acgs-perf record --capture FILE` writes one", of());
    };
    let index = service_of(&capture, service).with_context(of)?;
    let mut segments = intervals(&capture, index);
    if segments.iter().all(|segment| segment.from == 0.0) {
        bail!("{}: {} answered nothing in it", of(), capture.context.services[index].name);
    }
    let total: u64 = segments.iter().map(|segment| segment.duration_ns).sum();
    let parts = PARTS.min(segments.len()) as u64;
    let mut begin = 0;
    for segment in &mut segments {
        segment.slice = (u128::from(begin) * u128::from(parts) / u128::from(total.max(1))) as usize;
        begin += segment.duration_ns;
    }
    Ok(segments)
}

fn service_of(capture: &Capture, wanted: Option<&str>) -> anyhow::Result<usize> {
    let names: Vec<&str> = capture.context.services.iter().map(|service| service.name.as_str()).collect();
    match (wanted, names.as_slice()) {
        (_, []) => bail!("there is no service in it"),
        (Some(wanted), _) => names
            .iter()
            .position(|name| *name == wanted)
            .with_context(|| format!("--service {wanted}: not in it; there are {}", names.join(", "))),
        (None, [_]) => Ok(0),
        (None, _) => bail!("there are {} in it; name one with --service", names.join(", ")),
    }
}

fn intervals(capture: &Capture, service: usize) -> Vec<Segment> {
    let subject = Subject::service(service);
    let each = capture.intervals.iter().filter(|interval| interval.len_ns > 0).map(|interval| {
        let count = row(interval.of(&subject), request::COUNTERS, &[]).sums.count(Counter::Requests as u32);
        let rate = count as f64 * 1e9 / interval.len_ns as f64;
        Segment { duration_ns: interval.len_ns, from: rate, to: rate, slice: 0 }
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Context, Interval, ServiceContext, Timeline, file};
    use crate::sums::{Row, Section, Sections, Sums};

    const TEN: Duration = Duration::from_secs(10);

    #[test]
    fn rates_are_constant_step_or_grow() {
        let one = Range::parse("1000").unwrap();
        assert_eq!(
            one.segments(None, TEN).unwrap(),
            [Segment { duration_ns: 10_000_000_000, from: 1e3, to: 1e3, slice: 0 }]
        );
        assert_eq!(one.time_of(500), Duration::from_millis(500));
        let range = Range::parse("100..1000").unwrap();
        let steps = range.segments(Some(10), TEN).unwrap();
        let rates: Vec<f64> = steps.iter().map(|step| step.from).collect();
        assert_eq!(rates, (1..=10).map(|at| f64::from(at) * 100.0).collect::<Vec<_>>());
        assert!(steps.iter().all(|step| step.from == step.to && step.duration_ns == 1_000_000_000));
        let ramp = range.segments(None, Duration::from_nanos(10_000_000_007)).unwrap();
        assert!(
            ramp.windows(2).all(|pair| pair[0].to == pair[1].from) && (ramp[0].from, ramp[9].to) == (100.0, 1000.0)
        );
        assert_eq!(ramp.iter().map(|segment| segment.duration_ns).sum::<u64>(), 10_000_000_007);
        assert!(one.segments(Some(3), TEN).is_err() && range.segments(Some(1), TEN).is_err());
    }

    #[test]
    fn what_is_no_rate_is_told_how_to_be_one() {
        for text in ["", "0", "-5", "x", "100..", "..5", "inf", "NaN", "1e9"] {
            let line = Range::parse(text).unwrap_err().to_string();
            assert!(line.contains("--rate") && line.contains("requests per second"), "{line}");
        }
    }

    fn capture(names: &[&str], counts: &[i64]) -> Capture {
        let services = names.iter().map(|name| ServiceContext { name: (*name).into(), ..ServiceContext::default() });
        let intervals = counts.iter().enumerate().map(|(at, count)| {
            let row = Row { sums: Sums::dense([*count]), ..Row::default() };
            let sections = Sections::from([(request::COUNTERS.into(), Section::from([(Vec::new(), row)]))]);
            let subjects = [(Subject::service(0), sections)].into();
            Interval { start_ns: at as u64 * 1_000_000_000, len_ns: 1_000_000_000, subjects, ..Interval::default() }
        });
        Capture {
            context: Context { services: services.collect(), ..Context::default() },
            intervals: Timeline::of(intervals),
            ..Capture::default()
        }
    }

    #[test]
    fn a_recording_is_replayed_interval_by_interval() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("c");
        std::fs::write(&path, file::encode(&capture(&["api"], &[5, 0, 7])).unwrap()).unwrap();
        let segments = of_capture(&path, None).unwrap();
        let rates: Vec<(f64, usize)> = segments.iter().map(|segment| (segment.from, segment.slice)).collect();
        assert_eq!(rates, [(5.0, 0), (0.0, 1), (7.0, 2)]);
        assert!(of_capture(&path, Some("db")).is_err_and(|error| format!("{error:#}").contains("there are api")));
        std::fs::write(&path, file::encode(&capture(&["api", "db"], &[5])).unwrap()).unwrap();
        assert!(of_capture(&path, None).is_err_and(|error| format!("{error:#}").contains("--service")));
        assert!(of_capture(&path, Some("db")).is_err_and(|error| format!("{error:#}").contains("answered nothing")));
        std::fs::write(&path, "{}").unwrap();
        assert!(of_capture(&path, None).is_err_and(|error| format!("{error:#}").contains("no capture")));
    }
}
