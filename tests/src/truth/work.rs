//! Service times: how long a request takes, and whether it takes CPU or waits.
//!
//! In: a distribution as text and a seed. Out: a sequence of service times that is the same in each run.

use std::str::FromStr;

use acgs_perf_load::random::Random;

use crate::clock;

/// How the server spends a service time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Work {
    /// On the CPU.
    Spin,
    /// Asleep.
    Sleep,
}

impl Work {
    /// Spends `ns`.
    pub fn spend(self, ns: u64) {
        match self {
            _ if ns == 0 => {}
            Self::Spin => clock::spin(ns),
            Self::Sleep => clock::sleep(ns),
        }
    }
}

/// A distribution of service times, all in µs on the command line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Distribution {
    /// `constant:100`.
    Constant(u64),
    /// `exponential:200`: mean.
    Exponential(u64),
    /// `bimodal:100,50000,0.01`: the usual one, the slow one, the share of the slow one.
    Bimodal(u64, u64, f64),
    /// `lognormal:300,0.8`: median, standard deviation of the logarithm.
    Lognormal(u64, f64),
    /// `pareto:100,1.8`: the least, and the exponent; at most a thousand times the least, so that a run ends.
    Pareto(u64, f64),
}

impl FromStr for Distribution {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?}: want constant:US, exponential:US, bimodal:US,US,SHARE, lognormal:MEDIAN_US,SIGMA or pareto:MIN_US,ALPHA"
            )
        };
        let (kind, rest) = text.split_once(':').ok_or_else(wrong)?;
        let micros = |text: &str| text.parse::<u64>().map(|us| us * 1000).map_err(|_| wrong());
        let fraction = |text: &str| text.parse::<f64>().ok().filter(|n| *n >= 0.0 && n.is_finite()).ok_or_else(wrong);
        match (kind, rest.split(',').collect::<Vec<_>>().as_slice()) {
            ("constant", [time]) => Ok(Self::Constant(micros(time)?)),
            ("exponential", [mean]) => Ok(Self::Exponential(micros(mean)?)),
            ("bimodal", [usual, slow, share]) => Ok(Self::Bimodal(micros(usual)?, micros(slow)?, fraction(share)?)),
            ("lognormal", [median, sigma]) => Ok(Self::Lognormal(micros(median)?, fraction(sigma)?)),
            ("pareto", [least, alpha]) if fraction(alpha)? > 0.0 => Ok(Self::Pareto(micros(least)?, fraction(alpha)?)),
            _ => Err(wrong()),
        }
    }
}

/// Draws service times.
#[derive(Clone, Debug)]
pub struct Source {
    distribution: Distribution,
    random: Random,
}

impl Source {
    /// A sequence of its own for each seed.
    pub fn new(distribution: Distribution, seed: u64) -> Self {
        Self { distribution, random: Random::new(seed) }
    }

    /// The next service time in ns.
    pub fn draw(&mut self) -> u64 {
        match self.distribution {
            Distribution::Constant(time) => time,
            Distribution::Exponential(mean) => (self.random.exponential() * mean as f64) as u64,
            Distribution::Lognormal(median, sigma) => ((self.random.normal() * sigma).exp() * median as f64) as u64,
            Distribution::Pareto(least, alpha) => {
                let factor = (self.random.exponential() / alpha).exp().min(1000.0);
                (factor * least as f64) as u64
            }
            Distribution::Bimodal(usual, slow, share) => {
                if self.random.uniform() < share {
                    slow
                } else {
                    usual
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_are_read() {
        assert_eq!("constant:100".parse(), Ok(Distribution::Constant(100_000)));
        assert_eq!("bimodal:100,50000,0.01".parse(), Ok(Distribution::Bimodal(100_000, 50_000_000, 0.01)));
        assert!("bimodal:100".parse::<Distribution>().is_err());
        assert_eq!("lognormal:300,0.8".parse(), Ok(Distribution::Lognormal(300_000, 0.8)));
        assert_eq!("pareto:100,1.5".parse(), Ok(Distribution::Pareto(100_000, 1.5)));
        assert!("pareto:100,0".parse::<Distribution>().is_err());
        assert!("normal:1".parse::<Distribution>().is_err());
    }

    #[test]
    fn means_are_right() {
        // exp(σ²/2) times the median; α / (α - 1) times the least.
        let means = [
            ("exponential:200", 200_000.0),
            ("bimodal:100,50000,0.01", 599_000.0),
            ("lognormal:300,0.8", 413_138.0),
            ("pareto:100,3", 150_000.0),
        ];
        for (text, mean) in means {
            let mut source = Source::new(text.parse().unwrap(), 1);
            let sum: u64 = (0..200_000).map(|_| source.draw()).sum();
            let got = sum as f64 / 200_000.0;
            assert!((got / mean - 1.0).abs() < 0.05, "{text}: {got}");
        }
    }

    #[test]
    fn a_seed_repeats() {
        let draw = |seed| {
            let mut source = Source::new(Distribution::Exponential(1000), seed);
            [source.draw(), source.draw()]
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }
}
