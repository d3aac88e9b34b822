//! Axes: latencies on a logarithmic scale, quantiles in nines.
//!
//! In: the smallest and the largest value. Out: places as shares of the axis, and what is written beside it.

use crate::units::duration;

/// An axis of latencies.
#[derive(Clone, Copy, Debug)]
pub struct Latencies {
    low: f64,
    high: f64,
}

impl Latencies {
    /// From the smallest to the largest, with a little room.
    pub fn new(values: impl IntoIterator<Item = u64>) -> Option<Self> {
        let (low, high) = values.into_iter().fold(None, |ends: Option<(u64, u64)>, value| {
            let (low, high) = ends.unwrap_or((value, value));
            Some((low.min(value), high.max(value)))
        })?;
        let low = (low.max(100) as f64).log10() - 0.05;
        let high = (high.max(100) as f64).log10() + 0.08;
        Some(Self { low, high: high.max(low + 0.7) })
    }

    /// Where a latency is: 0 below, 1 above.
    pub fn at(&self, ns: u64) -> f64 {
        (((ns.max(1) as f64).log10() - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    /// Round latencies on the axis: powers of ten, and 2 and 5 between them if there are few.
    pub fn ticks(&self) -> Vec<(f64, String)> {
        let between: &[u64] = match self.high - self.low {
            decades if decades < 1.7 => &[1, 2, 5],
            decades if decades < 2.7 => &[1, 3],
            _ => &[1],
        };
        let powers = (0..12u32).flat_map(|power| between.iter().map(move |of| of * 10u64.pow(power)));
        let inside = powers.filter(|ns| (self.low..=self.high).contains(&(*ns as f64).log10()));
        inside.map(|ns| (self.at(ns), duration(ns))).collect()
    }
}

/// The quantile of so many nines, as a share of an axis of `most`.
pub fn nines(nines: f64, most: f64) -> f64 {
    if most <= 0.0 { 0.0 } else { (nines / most).clamp(0.0, 1.0) }
}

/// Quantiles that are written at the axis.
pub fn nine_ticks(most: f64) -> Vec<(f64, String)> {
    let median = (2.0f64.log10(), "p50".to_owned());
    let whole = (1..=most.floor() as u32).map(|count| (f64::from(count), quantile_name(f64::from(count))));
    std::iter::once(median).chain(whole).map(|(at, name)| (nines(at, most), name)).collect()
}

/// The name of a quantile: `p90`, `p99.9`.
pub fn quantile_name(nines: f64) -> String {
    let percent = 100.0 * (1.0 - 10f64.powf(-nines));
    let decimals = if nines < 1.8 { 0 } else { (nines - 1.75).ceil().max(0.0) as usize };
    let text = format!("{percent:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("p{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_have_their_names() {
        let names: Vec<_> = [0.0, 0.25, 1.0, 1.75, 2.0, 2.25, 3.0, 3.5, 4.0, 5.0].map(quantile_name).into();
        assert_eq!(names, ["p0", "p44", "p90", "p98", "p99", "p99.4", "p99.9", "p99.97", "p99.99", "p99.999"]);
    }

    #[test]
    fn ticks_are_inside_and_rise() {
        let axis = Latencies::new([90_000, 42_000_000]).unwrap();
        let ticks = axis.ticks();
        assert_eq!(ticks.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>(), ["100 µs", "1 ms", "10 ms"]);
        assert!(ticks.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(Latencies::new([5_000_000]).unwrap().ticks().len() > 1);
        assert!(Latencies::new([]).is_none());
    }
}
