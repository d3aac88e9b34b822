//! How far a ratio of sums may be from what it is in the long run, told by the blocks of the window.
//!
//! In: blocks of a window in order, each (n, x): requests and slow ones, requests and their time, time and requests. Out: Σx ÷ Σn with its
//! variance. Requests queue behind each other and hosts change slowly, so that neither requests nor blocks are independent. Three things
//! are taken for it:
//!
//! 1. The variance of a ratio of clusters (Kish, Survey Sampling, 1965, chapter 6), of blocks alone and of 2, 4, 8, … neighbours together as
//!    long as twenty are left; the greatest counts.
//! 2. The same of eight long pieces. Where these vary by more than the blocks explain, something varies slowly, and the next window will differ
//!    from this one however long both are: that part is taken for flicker noise, whose variance does not fall with the length of a window
//!    (J. A. Barnes, Tables of bias functions, NBS Technical Note 375, 1969). The variance between windows is then that between the m pieces
//!    ÷ B1(m), with B1(m) = m ln m ÷ (2 (m − 1) ln 2).
//! 3. Student's t, with the freedom of what counts most.
//!
//! With fewer than sixteen blocks nobody can tell slow from fast, and the geometric middle of both is taken; with fewer than four there
//! is no answer.

/// Pieces of a window.
pub const PIECES: usize = 8;
/// How what varies slowly is taken into account.
#[derive(Clone, Copy, Debug)]
pub struct Slow {
    /// Pieces may vary by so much more than blocks explain before it is taken for a sign.
    of_chance: f64,
    /// So much more than flicker noise is what is beyond it.
    factor: f64,
}

/// Of what all requests have a part in. Drifts with a memory as long as the window are slower than flicker noise.
pub const OF_ALL: Slow = Slow { of_chance: 1.0, factor: 1.4 };
/// Of what only one of a hundred requests tells, by chance.
pub const OF_FEW: Slow = Slow { of_chance: 1.5, factor: 1.0 };

/// As many blocks at least are left when neighbours are taken together.
const LEFT: usize = 20;
/// With fewer blocks there is no telling.
pub const MIN_BLOCKS: usize = 4;

/// A ratio and how well it is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Σx ÷ Σn.
    pub ratio: f64,
    /// Its variance.
    pub variance: f64,
    /// Degrees of freedom of that.
    pub freedom: f64,
}

/// The spread of a ratio; `None` where the blocks are too few.
pub fn spread(blocks: &[(f64, f64)], of_slow: Slow) -> Option<Spread> {
    let blocks: Vec<(f64, f64)> = blocks.iter().copied().filter(|(n, _)| *n > 0.0).collect();
    if blocks.len() < MIN_BLOCKS {
        return None;
    }
    let (n, x) = sum(&blocks);
    let ratio = x / n;
    let variance = |count: usize| variance_of(&pieces(&blocks, count), ratio, n);
    let all = blocks.len();
    if all < 2 * PIECES {
        let middle = flicker(all).sqrt();
        return Some(Spread { ratio, variance: variance(all) * middle, freedom: all as f64 - 1.0 });
    }
    let mut fast = (variance(all), all);
    let mut together = 2;
    while all / together >= LEFT {
        let count = all / together;
        let of_count = variance(count);
        if of_count > fast.0 {
            fast = (of_count, count);
        }
        together *= 2;
    }
    let (fast, fast_freedom) = (fast.0, fast.1 as f64 - 1.0);
    let slow = variance(PIECES);
    if slow <= fast * of_slow.of_chance {
        return Some(Spread { ratio, variance: fast, freedom: fast_freedom });
    }
    let total = fast + of_slow.factor * flicker(PIECES) * (slow - fast * of_slow.of_chance);
    Some(Spread { ratio, variance: total, freedom: PIECES as f64 - 1.0 })
}

/// The spread of the mean of eight long pieces' own values, all of which is taken to vary slowly.
pub fn spread_of_pieces(values: &[f64; PIECES]) -> Spread {
    let pieces = values.map(|value| (1.0, value));
    let ratio = values.iter().sum::<f64>() / PIECES as f64;
    let variance = variance_of(&pieces, ratio, PIECES as f64);
    Spread { ratio, variance: OF_ALL.factor * flicker(PIECES) * variance, freedom: PIECES as f64 - 1.0 }
}

/// The variance between windows of flicker noise, by that of the mean of a window as its `m` pieces give it.
fn flicker(pieces: usize) -> f64 {
    let m = pieces as f64;
    let bias = m * m.ln() / (2.0 * (m - 1.0) * std::f64::consts::LN_2);
    m / bias
}

fn sum(blocks: &[(f64, f64)]) -> (f64, f64) {
    blocks.iter().fold((0.0, 0.0), |sum, block| (sum.0 + block.0, sum.1 + block.1))
}

/// So many pieces of as many blocks each, give or take one.
fn pieces(blocks: &[(f64, f64)], count: usize) -> Vec<(f64, f64)> {
    let edge = |at: usize| at * blocks.len() / count;
    (0..count).map(|at| sum(&blocks[edge(at)..edge(at + 1)])).collect()
}

fn variance_of(blocks: &[(f64, f64)], ratio: f64, n: f64) -> f64 {
    let squares: f64 = blocks.iter().map(|(of, x)| (x - ratio * of).powi(2)).sum();
    let count = blocks.len() as f64;
    squares * count / (count - 1.0) / (n * n)
}

#[cfg(test)]
mod tests {
    use super::super::simulate::Random;
    use super::*;

    #[test]
    fn of_independent_blocks_the_variance_is_about_that_of_the_mean() {
        let mut random = Random::new(7);
        let mut total = 0.0;
        for _ in 0..400 {
            let blocks: Vec<_> = (0..100).map(|_| (1.0, random.normal())).collect();
            total += spread(&blocks, OF_ALL).unwrap().variance;
        }
        // A hundredth, and what is taken for slow where chance makes the pieces differ.
        let mean = total / 400.0;
        assert!((0.010..0.026).contains(&mean), "{mean}");
    }

    #[test]
    fn a_step_in_the_window_widens_it_to_about_the_step() {
        let blocks: Vec<_> = (0..100).map(|at| (1.0, if at < 50 { 1.0 } else { 2.0 })).collect();
        let found = spread(&blocks, OF_ALL).unwrap();
        assert_eq!(found.ratio, 1.5);
        assert!((0.3..1.0).contains(&found.variance.sqrt()), "{found:?}");
    }

    #[test]
    fn few_blocks_tell_little_and_fewer_nothing() {
        assert_eq!(spread(&[(1.0, 1.0); 3], OF_ALL), None);
        let blocks = [(10.0, 1.0), (10.0, 2.0), (10.0, 3.0), (0.0, 0.0), (10.0, 2.0)];
        let found = spread(&blocks, OF_ALL).unwrap();
        assert_eq!((found.ratio, found.freedom), (0.2, 3.0));
        assert!(found.variance > 0.0016, "{found:?}");
        assert_eq!(spread(&[(1.0, 1.0); 30], OF_ALL).unwrap().variance, 0.0);
    }
}
