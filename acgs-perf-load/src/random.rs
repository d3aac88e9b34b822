//! Random numbers that are the same in each run.
//!
//! In: a seed. Out: SplitMix64, whose sequence no library's new version can change. What must not be guessed comes from the kernel.

use std::fs::File;
use std::io::{self, Read as _};

/// A text that nobody can guess and that was never used, for proofs: letters and digits only.
pub fn nonce() -> io::Result<String> {
    let mut bytes = [0; 18];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// A sequence of its own for each seed.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence of this seed.
    pub fn new(seed: u64) -> Self {
        // The state is a place in one long cycle of steps: places of neighbouring seeds must not be a few steps apart.
        Self(mixed(seed.wrapping_mul(STEP)))
    }

    /// The next number.
    pub fn integer(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mixed(self.0)
    }

    /// The next number, from 0 up to but not including 1.
    pub fn uniform(&mut self) -> f64 {
        (self.integer() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// The next number of the exponential distribution with mean 1.
    pub fn exponential(&mut self) -> f64 {
        -(1.0 - self.uniform()).ln()
    }

    /// The next number of the standard normal distribution (Box and Muller).
    pub fn normal(&mut self) -> f64 {
        let radius = (2.0 * self.exponential()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

fn mixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_seeds_have_nothing_in_common() {
        let all: std::collections::BTreeSet<u64> = (0..8)
            .flat_map(|seed| {
                let mut random = Random::new(seed);
                (0..1000).map(move |_| random.integer())
            })
            .collect();
        assert_eq!(all.len(), 8_000);
    }

    #[test]
    fn moments_are_right() {
        let mut random = Random::new(3);
        let (mut sum, mut squares, count) = (0.0, 0.0, 200_000);
        for _ in 0..count {
            let value = random.normal();
            sum += value;
            squares += value * value;
        }
        assert!((sum / f64::from(count)).abs() < 0.01, "{sum}");
        assert!((squares / f64::from(count) - 1.0).abs() < 0.02, "{squares}");
        let mean = (0..count).map(|_| random.exponential()).sum::<f64>() / f64::from(count);
        assert!((mean - 1.0).abs() < 0.02, "{mean}");
    }
}
