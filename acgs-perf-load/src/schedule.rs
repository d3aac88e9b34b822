//! When requests are to be sent.
//!
//! In: arrivals, or a rate that changes over time, and a seed. Out: the intended moment of one request after another, in ns after
//! the start, and to which slice of the run it belongs.

use crate::random::Random;

/// How requests arrive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arrivals {
    /// A closed loop: each connection sends when its reply came.
    Closed,
    /// In equal intervals, this many a second.
    Constant(f64),
    /// Independent of each other, this many a second on average.
    Poisson(f64),
}

/// How the requests of a segment lie in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spacing {
    /// As evenly as the rate allows.
    Even,
    /// Independent of each other; their number varies as that of a Poisson process does.
    Poisson,
    /// Independent of each other; their number is the one that the rate asks for.
    Counted,
}

/// A time in which the rate is constant, or changes evenly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Segment {
    /// Its length.
    pub duration_ns: u64,
    /// Requests per second at its begin.
    pub from: f64,
    /// Requests per second at its end.
    pub to: f64,
    /// Number of the slice of the run that it is counted in.
    pub slice: usize,
}

impl Segment {
    fn seconds(&self) -> f64 {
        self.duration_ns as f64 / 1e9
    }

    /// How many requests it asks for.
    #[must_use]
    pub fn requests(&self) -> f64 {
        (self.from + self.to) / 2.0 * self.seconds()
    }

    /// How long after its begin so many requests have come, in seconds.
    fn after(&self, requests: f64) -> f64 {
        let growth = (self.to - self.from) / self.seconds();
        // The root of from·t + growth·t²/2 = requests, in the form that does not cancel.
        let root = (self.from * self.from + 2.0 * growth * requests).max(0.0).sqrt();
        if self.from + root > 0.0 { 2.0 * requests / (self.from + root) } else { 0.0 }
    }
}

/// When the next request is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// So many ns after the start.
    At(u64),
    /// As soon as a connection is idle.
    Whenever,
    /// There is none any more.
    Never,
}

/// The intended moments of a run.
#[derive(Clone, Debug)]
pub struct Schedule {
    kind: Kind,
    random: Random,
    index: u64,
    next: f64,
}

#[derive(Clone, Debug)]
enum Kind {
    Simple(Arrivals),
    Shaped(Shape),
}

/// A rate that changes over time.
#[derive(Clone, Debug)]
struct Shape {
    spacing: Spacing,
    segments: Vec<Segment>,
    /// The segment of the next request.
    at: usize,
    /// Its begin, in ns after the start.
    start_ns: u64,
    /// How many requests the segments before it ask for.
    before: f64,
    /// Where among all requests the next one lies; with [`Spacing::Counted`], where in its segment, from 0 to 1.
    place: f64,
    /// With [`Spacing::Counted`], how many are left in it.
    left: u64,
    due: Due,
}

impl Schedule {
    /// The same for each run with the same seed.
    #[must_use]
    pub fn new(arrivals: Arrivals, seed: u64) -> Self {
        Self { kind: Kind::Simple(arrivals), random: Random::new(seed), index: 0, next: 0.0 }
    }

    /// One whose rate changes from segment to segment; it ends with the last one.
    #[must_use]
    pub fn shaped(spacing: Spacing, segments: Vec<Segment>, seed: u64) -> Self {
        let left = segments.first().map_or(0, counted);
        let shape = Shape { spacing, segments, at: 0, start_ns: 0, before: 0.0, place: 0.0, left, due: Due::Never };
        let mut random = Random::new(seed);
        let mut shape = shape;
        if spacing == Spacing::Poisson {
            shape.place = random.exponential();
        }
        shape.find(&mut random);
        Self { kind: Kind::Shaped(shape), random, index: 0, next: 0.0 }
    }

    /// When the next request is due.
    #[must_use]
    pub fn due(&self) -> Due {
        match &self.kind {
            Kind::Simple(Arrivals::Closed) => Due::Whenever,
            Kind::Simple(_) => Due::At(self.next as u64),
            Kind::Shaped(shape) => shape.due,
        }
    }

    /// The slice of the run in which it is counted.
    #[must_use]
    pub fn slice(&self) -> usize {
        match &self.kind {
            Kind::Simple(_) => 0,
            Kind::Shaped(shape) => shape.segments.get(shape.at).map_or(0, |segment| segment.slice),
        }
    }

    /// When the last segment ends, in ns after the start; 0 without segments.
    #[must_use]
    pub fn end_ns(&self) -> u64 {
        match &self.kind {
            Kind::Simple(_) => 0,
            Kind::Shaped(shape) => shape.segments.iter().map(|segment| segment.duration_ns).sum(),
        }
    }

    /// How many slices there are.
    #[must_use]
    pub fn slices(&self) -> usize {
        match &self.kind {
            Kind::Simple(_) => 1,
            Kind::Shaped(shape) => shape.segments.iter().map(|segment| segment.slice + 1).max().unwrap_or(1),
        }
    }

    /// That request was sent.
    pub fn advance(&mut self) {
        self.index += 1;
        match &mut self.kind {
            Kind::Simple(Arrivals::Closed) => {}
            // Not by adding up, so that rounding does not shift the rate.
            Kind::Simple(Arrivals::Constant(rate)) => self.next = self.index as f64 * 1e9 / *rate,
            Kind::Simple(Arrivals::Poisson(rate)) => self.next += self.random.exponential() * 1e9 / *rate,
            Kind::Shaped(shape) => {
                match shape.spacing {
                    Spacing::Even => shape.place = self.index as f64,
                    Spacing::Poisson => shape.place += self.random.exponential(),
                    Spacing::Counted => shape.left = shape.left.saturating_sub(1),
                }
                shape.find(&mut self.random);
            }
        }
    }
}

fn counted(segment: &Segment) -> u64 {
    segment.requests().round() as u64
}

impl Shape {
    /// Finds the segment in which the next request lies, and when in it.
    fn find(&mut self, random: &mut Random) {
        while let Some(segment) = self.segments.get(self.at) {
            let requests = segment.requests();
            let is_here = match self.spacing {
                Spacing::Counted => self.left > 0,
                Spacing::Even | Spacing::Poisson => self.place < self.before + requests,
            };
            if is_here {
                let seconds = match self.spacing {
                    Spacing::Counted => {
                        // The smallest of so many independent places in what is left of the segment.
                        let nearest = 1.0 - (1.0 - random.uniform()).powf(1.0 / self.left as f64);
                        self.place += (1.0 - self.place) * nearest;
                        segment.after(self.place * requests)
                    }
                    Spacing::Even | Spacing::Poisson => segment.after(self.place - self.before),
                };
                self.due = Due::At(self.start_ns + (seconds * 1e9) as u64);
                return;
            }
            self.before += requests;
            self.start_ns += segment.duration_ns;
            self.at += 1;
            if self.spacing == Spacing::Counted {
                (self.place, self.left) = (0.0, self.segments.get(self.at).map_or(0, counted));
            }
        }
        self.due = Due::Never;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn all(mut schedule: Schedule, most: usize) -> Vec<(u64, usize)> {
        let mut moments = Vec::new();
        while let (Due::At(due), true) = (schedule.due(), moments.len() < most) {
            moments.push((due, schedule.slice()));
            schedule.advance();
        }
        moments
    }

    fn moments(arrivals: Arrivals, count: usize) -> Vec<u64> {
        all(Schedule::new(arrivals, 5), count).into_iter().map(|(due, _)| due).collect()
    }

    fn segment(seconds: u64, from: f64, to: f64, slice: usize) -> Segment {
        Segment { duration_ns: seconds * SECOND, from, to, slice }
    }

    #[test]
    fn constant_arrivals_are_evenly_spaced() {
        assert_eq!(moments(Arrivals::Constant(3.0), 4), [0, 333_333_333, 666_666_666, 1_000_000_000]);
    }

    #[test]
    fn poisson_arrivals_keep_their_rate_and_vary() {
        let all = moments(Arrivals::Poisson(1000.0), 20_001);
        let rate = 20_000.0 * 1e9 / all[20_000] as f64;
        assert!((rate - 1000.0).abs() < 20.0, "{rate}");
        // 1 - 1/e of all gaps of a Poisson process are shorter than the mean.
        let short = all.windows(2).filter(|pair| pair[1] - pair[0] < 1_000_000).count();
        assert!((12_300..=13_000).contains(&short), "{short}");
        assert_eq!(all, moments(Arrivals::Poisson(1000.0), 20_001));
    }

    #[test]
    fn a_closed_loop_has_no_moments() {
        assert_eq!(Schedule::new(Arrivals::Closed, 1).due(), Due::Whenever);
    }

    #[test]
    fn steps_have_their_rates_and_end() {
        let steps = vec![segment(2, 100.0, 100.0, 0), segment(1, 0.0, 0.0, 1), segment(2, 300.0, 300.0, 2)];
        let moments = all(Schedule::shaped(Spacing::Even, steps, 1), usize::MAX);
        let of = |slice| moments.iter().filter(|(_, of)| *of == slice).map(|(due, _)| *due).collect::<Vec<_>>();
        assert_eq!((of(0).len(), of(1).len(), of(2).len()), (200, 0, 600));
        assert_eq!((of(0)[0], of(0)[1], of(2)[0]), (0, 10_000_000, 3 * SECOND));
        assert!(moments.windows(2).all(|pair| pair[0].0 < pair[1].0) && moments[799].0 < 5 * SECOND);
    }

    #[test]
    fn a_ramp_grows_evenly() {
        // From 0 to 1000 a second in 10 s: 5000 in all, a quarter of them in the first half.
        let moments = all(Schedule::shaped(Spacing::Even, vec![segment(10, 0.0, 1000.0, 0)], 1), usize::MAX);
        assert_eq!(moments.len(), 5000);
        let half = moments.iter().filter(|(due, _)| *due < 5 * SECOND).count();
        assert!(half.abs_diff(1250) <= 1, "{half}");
        let down = all(Schedule::shaped(Spacing::Even, vec![segment(10, 1000.0, 0.0, 0)], 1), usize::MAX);
        let half = down.iter().filter(|(due, _)| *due < 5 * SECOND).count();
        assert!(down.len() == 5000 && half.abs_diff(3750) <= 1, "{half}");
        assert!(down.iter().all(|(due, _)| *due <= 10 * SECOND));
    }

    #[test]
    fn a_ramp_of_random_arrivals_has_the_moments_of_a_poisson_process() {
        // Counts in 100 bins of equal expectation have mean and variance 50.
        let mut counts = [0u64; 100];
        let ramp = segment(100, 0.0, 100.0, 0);
        for (due, _) in all(Schedule::shaped(Spacing::Poisson, vec![ramp], 7), usize::MAX) {
            let place = due as f64 / 1e11;
            counts[((place * place * 100.0) as usize).min(99)] += 1;
        }
        let mean = counts.iter().sum::<u64>() as f64 / 100.0;
        let variance = counts.iter().map(|count| (*count as f64 - mean).powi(2)).sum::<f64>() / 99.0;
        assert!((mean - 50.0).abs() < 3.0 && (25.0..80.0).contains(&variance), "{mean} {variance}");
    }

    #[test]
    fn a_replay_has_the_counts_of_every_interval() {
        let counts = [5u64, 0, 1000, 17, 0, 3];
        let segments = counts.iter().enumerate();
        let segments = segments.map(|(at, count)| segment(2, *count as f64 / 2.0, *count as f64 / 2.0, at)).collect();
        let moments = all(Schedule::shaped(Spacing::Counted, segments, 3), usize::MAX);
        for (at, count) in counts.iter().enumerate() {
            let begin = at as u64 * 2 * SECOND;
            let here = moments.iter().filter(|(due, _)| (begin..begin + 2 * SECOND).contains(due));
            assert_eq!(
                (here.clone().count() as u64, here.filter(|(_, slice)| *slice == at).count() as u64),
                (*count, *count)
            );
        }
        assert!(moments.windows(2).all(|pair| pair[0].0 <= pair[1].0));
        // Within an interval they are spread over all of it, as independent ones are: half of them in each half, within 4 σ.
        let half = moments.iter().filter(|(due, _)| (4 * SECOND..5 * SECOND).contains(due)).count();
        assert!(half.abs_diff(500) < 64, "{half}");
    }

    #[test]
    fn nothing_is_due_where_nothing_is_asked_for() {
        assert_eq!(Schedule::shaped(Spacing::Even, Vec::new(), 1).due(), Due::Never);
        assert_eq!(Schedule::shaped(Spacing::Poisson, vec![segment(9, 0.0, 0.0, 0)], 1).due(), Due::Never);
    }
}
