//! When requests are to be sent.
//!
//! In: arrivals and a seed. Out: the intended moment of one request after another, in ns after the start.

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

/// The intended moments of a run.
pub struct Schedule {
    arrivals: Arrivals,
    random: Random,
    index: u64,
    next: f64,
}

impl Schedule {
    /// The same for each run with the same seed.
    pub fn new(arrivals: Arrivals, seed: u64) -> Self {
        Self { arrivals, random: Random::new(seed), index: 0, next: 0.0 }
    }

    /// The next intended moment; `None` is "as soon as a connection is idle".
    pub fn due(&self) -> Option<u64> {
        (self.arrivals != Arrivals::Closed).then_some(self.next as u64)
    }

    /// That request was sent.
    pub fn advance(&mut self) {
        self.index += 1;
        match self.arrivals {
            Arrivals::Closed => {}
            // Not by adding up, so that rounding does not shift the rate.
            Arrivals::Constant(rate) => self.next = self.index as f64 * 1e9 / rate,
            Arrivals::Poisson(rate) => self.next += self.random.exponential() * 1e9 / rate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(arrivals: Arrivals, count: usize) -> Vec<u64> {
        let mut schedule = Schedule::new(arrivals, 5);
        let mut next = || {
            let due = schedule.due().unwrap();
            schedule.advance();
            due
        };
        (0..count).map(|_| next()).collect()
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
        assert_eq!(Schedule::new(Arrivals::Closed, 1).due(), None);
    }
}
