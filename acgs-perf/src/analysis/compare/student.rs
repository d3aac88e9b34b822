//! Student's t and the normal deviate, by integration: no table, any number of degrees of freedom.
//!
//! In: a chance of missing on both sides together. Out: how many standard errors that is.

/// With more degrees of freedom the first term of the expansion in 1 ÷ freedom is enough.
const MANY: f64 = 150.0;
/// Steps of Simpson's rule.
const STEPS: usize = 128;

fn simpson(from: f64, to: f64, of: impl Fn(f64) -> f64) -> f64 {
    let step = (to - from) / STEPS as f64;
    let weight = |at: usize| match at {
        0 | STEPS => 1.0,
        at if at % 2 == 1 => 4.0,
        _ => 2.0,
    };
    (0..=STEPS).map(|at| weight(at) * of(from + step * at as f64)).sum::<f64>() * step / 3.0
}

/// Where `tail`, which falls, is `wanted`.
fn solve(mut high: f64, wanted: f64, tail: impl Fn(f64) -> f64) -> f64 {
    let mut low = 0.0;
    for _ in 0..44 {
        let middle = f64::midpoint(low, high);
        if tail(middle) > wanted { low = middle } else { high = middle }
    }
    high
}

/// The normal deviate that is exceeded, on either side, with chance `both`.
pub fn normal(both: f64) -> f64 {
    let whole = (std::f64::consts::TAU).sqrt();
    solve(9.0, both / 2.0, |z| 0.5 - simpson(0.0, z, |x| (-x * x / 2.0).exp()) / whole)
}

/// The same for Student's t. With t = √ν · tan θ the density is cos θ to the power ν − 1.
pub fn student(freedom: f64, both: f64) -> f64 {
    let freedom = freedom.max(1.0);
    if freedom >= MANY {
        let z = normal(both);
        return z + (z.powi(3) + z) / (4.0 * freedom);
    }
    let density = |angle: f64| angle.cos().max(0.0).powf(freedom - 1.0);
    let right = std::f64::consts::FRAC_PI_2;
    let whole = 2.0 * simpson(0.0, right, density);
    let angle = solve(right, both / 2.0, |angle| simpson(angle, right, density) / whole);
    freedom.sqrt() * angle.tan()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// W. S. Gosset's table as every textbook of statistics has it, two-sided 5 %, 1 % and 0.1 %.
    #[test]
    fn the_deviates_are_those_of_the_tables() {
        let table = [
            (2.0, [4.303, 9.925, 31.60]),
            (5.0, [2.571, 4.032, 6.869]),
            (10.0, [2.228, 3.169, 4.587]),
            (30.0, [2.042, 2.750, 3.646]),
            (120.0, [1.980, 2.617, 3.373]),
            (1e9, [1.960, 2.576, 3.291]),
        ];
        for (freedom, deviates) in table {
            for (both, wanted) in [0.05, 0.01, 0.001].into_iter().zip(deviates) {
                let found = student(freedom, both);
                assert!((found - wanted).abs() < 0.001 * wanted, "{freedom} {both}: {found}, not {wanted}");
            }
        }
        assert!((student(149.9, 1e-4) - student(150.1, 1e-4)).abs() < 0.01);
    }
}
