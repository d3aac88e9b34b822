//! `bench switchback`: how much longer the P99 is while a service is recorded, at a share of what it can do.
//!
//! In: the release builds, the services; root. Out: a Markdown table. One server runs all the time under the same open loop; the tool is
//! switched on and off from block to block. Two neighbouring blocks are a pair, in an order drawn by chance, so that what the machine does
//! over minutes is in both of them; half of the pairs, drawn by chance too, have the tool in neither, and say what the same comparison
//! makes of nothing (A/A). A figure is the median of the pairs' ratios, with the ranks between which the true one lies.

use std::process;

use anyhow::{Context as _, Result, ensure};

use super::arms::{self, ALWAYS_ON, Arm, BARE};
use super::load::Steady;
use super::others::Ticks;
use super::store::OTHERS_PERCENT;
use super::tool::Running;
use super::victims::{self, Entry, Victim};
use super::{Context, prepare};
use crate::statistics::{Median, Shuffle};

/// Closed loops that find how much the service can do.
const WARM_UPS: u32 = 3;

/// What is measured.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// These victims, parted by commas.
    #[arg(long, default_value = "redis,nginx,postgres")]
    victims: String,
    /// What is switched on and off, by its name in the tables of `bench cost`.
    #[arg(long, default_value = ALWAYS_ON)]
    arm: String,
    /// Pairs of blocks with the tool in one of them, and as many without it.
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..))]
    pairs: u32,
    /// Seconds of a block.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Load, in percent of what a closed loop gets.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=95))]
    load: u32,
    /// Seed of the orders.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// The ratios of the pairs of one kind.
#[derive(Default)]
struct Ratios {
    of: Vec<f64>,
    /// P99 of the blocks that come first in a ratio's denominator, and of the others, in µs.
    without: Vec<f64>,
    with: Vec<f64>,
}

/// The whole task.
pub fn switchback(options: &Options) -> Result<()> {
    let victims = victims::choose(Some(&options.victims))?;
    let arm = arms::find(&options.arm).with_context(|| format!("no arm is called {:?}", options.arm))?;
    let context = prepare(false)?;
    println!("| victim | requests/s | P99 without, µs | with, µs | {} | A/A | pairs thrown away |", options.arm);
    println!("|---|---:|---:|---:|---:|---:|---:|");
    for entry in victims {
        let mut victim = (entry.start)(&context).with_context(|| format!("start {}", entry.name))?;
        one(entry, victim.as_mut(), arm, options, &context).with_context(|| entry.name.to_owned())?;
    }
    Ok(())
}

/// All pairs of one victim.
fn one(entry: &Entry, victim: &mut dyn Victim, arm: &Arm, options: &Options, context: &Context) -> Result<()> {
    let bare = arms::find(BARE).context("no bare arm")?;
    let mut highest: f64 = 0.0;
    for _ in 0..WARM_UPS {
        highest = highest.max(victim.saturate()?.rate);
    }
    let rate = (highest * f64::from(options.load) / 100.0).round();
    let mut shuffle = Shuffle::new(options.seed);
    let kinds = [true, false].into_iter().cycle().take(2 * options.pairs as usize).collect();
    let (mut with_tool, mut without_tool, mut disturbed) = (Ratios::default(), Ratios::default(), 0);
    for (number, has_tool) in shuffle.order(kinds).into_iter().enumerate() {
        let mut p99_us = [0.0; 2];
        let ticks = Ticks::now(process::id());
        for place in shuffle.order(vec![0, 1]) {
            let attached = if has_tool && place == 1 { arm } else { bare };
            p99_us[place] = block(attached, victim, rate, options.seconds, context)?.p99_ns / 1e3;
        }
        let others = Ticks::now(process::id()).percent_since(&ticks);
        eprintln!("{} pair {number}: {p99_us:.1?} µs, tool {has_tool}, others {others:.0} %", entry.name);
        if others > OTHERS_PERCENT {
            disturbed += 1;
            continue;
        }
        let ratios = if has_tool { &mut with_tool } else { &mut without_tool };
        ratios.of.push(p99_us[1] / p99_us[0]);
        ratios.without.push(p99_us[0]);
        ratios.with.push(p99_us[1]);
    }
    let us = |values: &[f64]| Median::of(values).map_or("–".to_owned(), |median| format!("{:.1}", median.middle));
    println!(
        "| {} | {rate:.0} | {} | {} | {} | {} | {disturbed} |",
        entry.name,
        us(&with_tool.without),
        us(&with_tool.with),
        change(&with_tool.of),
        change(&without_tool.of)
    );
    Ok(())
}

/// One block under the open loop.
fn block(arm: &Arm, victim: &mut dyn Victim, rate: f64, seconds: f64, context: &Context) -> Result<Steady> {
    let running = Running::start(arm, &victim.target(), context, false)?;
    let steady = victim.steady(rate, seconds)?.context("it has no open loop")?;
    let report = running.map(Running::stop).transpose()?.flatten();
    if let Some(report) = report {
        // A tool that saw nothing would cost nothing.
        let seen = report.pointer("/services/0/requests/count").and_then(serde_json::Value::as_u64).unwrap_or(0);
        ensure!(seen >= steady.count, "the agent counted {seen} of at least {} requests", steady.count);
    }
    ensure!(steady.rate >= 0.97 * rate, "the open loop came to {:.0} of {rate:.0} requests/s", steady.rate);
    Ok(steady)
}

/// The change that these ratios say, in percent.
fn change(ratios: &[f64]) -> String {
    let percent = |ratio: f64| (ratio - 1.0) * 100.0;
    match Median::of(ratios) {
        Some(of) => format!("{:+.1} % ({:+.1} to {:+.1})", percent(of.middle), percent(of.low), percent(of.high)),
        None => "–".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::change;

    #[test]
    fn a_change_is_the_median_of_the_ratios_with_its_interval() {
        assert_eq!(change(&[1.2, 0.9, 1.1, 1.0, 1.3, 0.8, 1.05]), "+5.0 % (-20.0 to +30.0)");
        assert_eq!(change(&[]), "–");
    }
}
