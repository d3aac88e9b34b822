//! The speed of the machine while a load runs: a virtual CPU is slower while a neighbour uses the same core, for tenths of
//! seconds or for minutes. What is compared is only what went on while it was at its full speed.
//!
//! In: moments of replies; from `cost-loop watch`, how long a fixed piece of arithmetic took on each CPU and when. Out: slices
//! with their rate and the time of that piece; the rate over the slices at full speed.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::placement::{LOAD_CPU, SERVER_CPU};

/// Length of a slice, in ns.
const SLICE_NS: u64 = 10_000_000;
/// Full speed is within this of the best.
const TOLERANCE: f64 = 1.06;
/// Where the best begins: one of twenty slices may be better, by chance.
const BEST: f64 = 0.05;
/// Fewer slices at full speed say nothing.
const FEWEST: usize = 4;

/// Rate in a slice, and the time of the piece of arithmetic meanwhile, on the slower of the CPUs, in ns.
pub type Slice = (f64, f64);

/// Watches both CPUs.
pub struct Watch(Vec<Child>);

impl Watch {
    /// Starts for so long.
    pub fn start(program: &Path, seconds: f64) -> Result<Self> {
        let mut all = Self(Vec::new());
        for cpu in [SERVER_CPU, LOAD_CPU] {
            let mut watch = Command::new(program);
            watch.args(["watch", "--cpu", &cpu.to_string(), "--seconds", &seconds.to_string()]);
            all.0.push(watch.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("start cost-loop")?);
        }
        Ok(all)
    }

    /// Waits for the end; per CPU the moments and times.
    pub fn finish(mut self) -> Result<Vec<Vec<(u64, f64)>>> {
        let watchers = std::mem::take(&mut self.0);
        let outputs: Vec<_> = watchers.into_iter().map(Child::wait_with_output).collect();
        let mut all = Vec::new();
        for output in outputs {
            let output = output.context("cost-loop")?;
            ensure!(output.status.success(), "cost-loop watch: {}", output.status);
            let value: Value = serde_json::from_slice(&output.stdout).context("what cost-loop printed")?;
            all.push(serde_json::from_value(value["times"].clone()).context("what cost-loop printed")?);
        }
        Ok(all)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // It may have ended by itself, which is as good.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Slices between the first reply and the last; the first and the last are not whole. One during which a CPU was not watched is
/// left out.
pub fn slices(replies: &[u64], watched: &[Vec<(u64, f64)>]) -> Vec<Slice> {
    let Some(first) = replies.iter().min() else { return Vec::new() };
    let place = |time: u64| time.checked_sub(*first).map(|since| (since / SLICE_NS) as usize);
    let mut counts: Vec<u32> = Vec::new();
    for at in replies.iter().filter_map(|time| place(*time)) {
        counts.resize(counts.len().max(at + 1), 0);
        counts[at] += 1;
    }
    let time = |at: usize| {
        watched.iter().try_fold(0.0_f64, |slowest, cpu| {
            let mut times: Vec<f64> =
                cpu.iter().filter(|(when, _)| place(*when) == Some(at)).map(|(_, time)| *time).collect();
            times.sort_by(f64::total_cmp);
            // The worst of a slice that was part fast and part slow.
            Some(slowest.max(*times.get(times.len() * 3 / 4)?))
        })
    };
    let whole = counts.iter().enumerate().take(counts.len().saturating_sub(1)).skip(1);
    whole.filter_map(|(at, count)| Some((f64::from(*count) * 1e9 / SLICE_NS as f64, time(at)?))).collect()
}

/// The longest time of the piece of arithmetic that counts as full speed, among all slices of a victim.
pub fn limit(slices: impl Iterator<Item = Slice>) -> Option<f64> {
    let mut times: Vec<f64> = slices.map(|(_, time)| time).collect();
    times.sort_by(f64::total_cmp);
    Some(times.get((times.len() as f64 * BEST) as usize)? * TOLERANCE)
}

/// Mean rate over the slices at full speed.
pub fn rate(slices: &[Slice], limit: f64) -> Option<f64> {
    let rates: Vec<f64> = slices.iter().filter(|(_, time)| *time <= limit).map(|(rate, _)| *rate).collect();
    (rates.len() >= FEWEST).then(|| rates.iter().sum::<f64>() / rates.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_have_their_rate_and_the_time_on_the_slower_cpu() {
        // Four slices with 10, 11, 12 and 13 replies; the last 13 are not whole.
        let replies: Vec<u64> = (0..4).flat_map(|n| (0..10 + n).map(move |at| 1_000 + n * SLICE_NS + at)).collect();
        let cpu = |times: [f64; 4]| {
            let at = |(n, time): (usize, f64)| (1_500 + n as u64 * SLICE_NS, time);
            times.into_iter().enumerate().map(at).collect::<Vec<_>>()
        };
        let watched = [cpu([8.0, 8.0, 9.0, 8.0]), cpu([8.0, 12.0, 8.0, 8.0])];
        assert_eq!(slices(&replies, &watched), [(1100.0, 12.0), (1200.0, 9.0)]);
        assert_eq!(slices(&replies, &[cpu([1.0; 4])[..2].to_vec()]), [(1100.0, 1.0)], "not watched in the third");
        assert!(slices(&[], &watched).is_empty());
    }

    #[test]
    fn only_full_speed_counts() {
        let slices: Vec<Slice> = (0..20).map(|n| if n < 8 { (100.0, 8.0) } else { (70.0, 11.0) }).collect();
        let limit = limit(slices.iter().copied()).unwrap();
        assert!((limit - 8.48).abs() < 1e-9);
        assert_eq!(rate(&slices, limit), Some(100.0));
        assert_eq!(rate(&slices[6..], limit), None, "two are too few");
        assert_eq!(super::limit(std::iter::empty()), None);
    }
}
