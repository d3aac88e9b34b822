//! `bench attribution`: what the attribution costs a saturated Redis, over the plain histograms of requests and scheduler.
//!
//! In: the release build, `redis-server` and `redis-benchmark`. Out: throughput per arm, and the ratios with their 95 %
//! intervals. The arms run in an order that is drawn anew for each round, one after the other: nobody attached, plain
//! histograms twice (the A/A pair: their ratio shows what the machine's noise makes of nothing), and with attribution.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::redis::{self, Redis};
use crate::build;
use crate::process::target;
use crate::setup;

/// Options of the bench.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Rounds; each runs every arm once.
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// GETs of one run.
    #[arg(long, default_value_t = 300_000)]
    requests: u64,
}

/// (name, probes; none: nobody is attached).
const ARMS: [(&str, Option<&str>); 4] = [
    ("bare", None),
    ("plain", Some("request,sched")),
    ("plain again", Some("request,sched")),
    ("attribution", Some("request,sched,attribution")),
];
const PLAIN: usize = 1;

/// The whole task.
pub fn attribution(options: &Options) -> Result<()> {
    redis::check()?;
    let agent = build::agent(&setup::ensure(false)?, true)?;
    let redis = Redis::start()?;
    run(&agent, &redis, None, options.requests)?; // the first run is never like the others
    let mut rates: [Vec<f64>; ARMS.len()] = Default::default();
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    for round in 1..=options.rounds {
        let mut order: Vec<usize> = (0..ARMS.len()).collect();
        for at in (1..order.len()).rev() {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            order.swap(at, (seed >> 33) as usize % (at + 1));
        }
        for arm in order {
            rates[arm].push(run(&agent, &redis, ARMS[arm].1, options.requests)?);
        }
        let line: Vec<String> =
            ARMS.iter().zip(&rates).map(|((name, _), r)| format!("{name} {:.0}", r[round - 1])).collect();
        eprintln!("round {round}: {} requests/s", line.join(", "));
    }
    println!("| arm | median requests/s | throughput against plain | 95 % interval |");
    println!("|---|---|---|---|");
    for (arm, (name, _)) in ARMS.iter().enumerate() {
        let ratios: Vec<f64> = rates[arm].iter().zip(&rates[PLAIN]).map(|(a, b)| a / b).collect();
        let [low, middle, high] = median_interval(&ratios);
        let change = |ratio: f64| (ratio - 1.0) * 100.0;
        let rate = median_interval(&rates[arm])[1];
        println!("| {name} | {rate:.0} | {:+.2} % | {:+.2} to {:+.2} % |", change(middle), change(low), change(high));
    }
    Ok(())
}

/// Median, and its distribution-free 95 % interval by ranks (binomial with p = 1/2, normal approximation).
fn median_interval(values: &[f64]) -> [f64; 3] {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len() as f64;
    let reach = 0.98 * n.sqrt();
    let at = |rank: f64| sorted.get((rank.max(0.0) as usize).min(sorted.len() - 1)).copied().unwrap_or(f64::NAN);
    let middle = if sorted.len() % 2 == 1 { at(n / 2.0) } else { (at(n / 2.0 - 1.0) + at(n / 2.0)) / 2.0 };
    [at((n / 2.0 - reach).floor()), middle, at((n / 2.0 + reach).ceil())]
}

/// Requests per second of one run, by the load generator's own figure.
fn run(agent: &Path, redis: &Redis, probes: Option<&str>, requests: u64) -> Result<f64> {
    let mut recording = match probes {
        Some(probes) => {
            let mut command = Command::new(agent);
            command.args(["record", "--service", &format!("redis=port:{}", redis.port), "--probes", probes]);
            command.args(["--duration", "60s", "--output"]).arg(target().join("bench-attribution.json"));
            let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("start the agent")?;
            sleep(Duration::from_millis(1500));
            Some(child)
        }
        None => None,
    };
    let output = Command::new("redis-benchmark")
        .args(["-p", &redis.port.to_string(), "-t", "get", "-c", "50", "--csv", "-n", &requests.to_string()])
        .output()
        .context("start redis-benchmark")?;
    if let Some(child) = &mut recording {
        // SAFETY: kill has no memory effects; the child is ours and not waited for yet.
        unsafe { libc::kill(child.id() as i32, libc::SIGINT) };
        let status = child.wait()?;
        if !status.success() {
            bail!("the recording failed: {status}");
        }
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let figures = text.lines().find(|line| line.starts_with("\"GET\"")).context("no figure for GET")?;
    let rate = figures.split(',').nth(1).context("no rate")?.trim_matches('"');
    rate.parse().with_context(|| format!("rate {rate:?}"))
}

#[cfg(test)]
mod tests {
    use super::median_interval;

    #[test]
    fn median_and_interval_by_ranks() {
        let values: Vec<f64> = (1..=15).rev().map(f64::from).collect();
        assert_eq!(median_interval(&values), [4.0, 8.0, 13.0]);
        assert_eq!(median_interval(&[2.0, 4.0])[1], 3.0);
    }
}
