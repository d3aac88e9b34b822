//! `bench switchback`: how much longer the P99 is while a service is recorded, at a share of what it can do.
//!
//! In: the release builds, the services; root. Out: a Markdown table. One server runs all the time under an open loop that goes on while
//! the tool is switched on and off from block to block: a block is what was to be sent in its time. Two neighbouring blocks are a pair, in
//! an order drawn by chance, so that what the machine does over minutes is in both of them; half of the pairs, drawn by chance too, have
//! the tool in neither, and say what the same comparison makes of nothing (A/A). A figure is the median of the pairs' ratios, with the
//! ranks between which the true one lies.

use std::process;
use std::thread::sleep;
use std::time::{Duration, Instant};

use acgs_perf_load::clock;
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::arms::{self, ALWAYS_ON, Arm, BARE};
use super::open_loop::{self, Answer};
use super::others::Ticks;
use super::store::OTHERS_PERCENT;
use super::tool::Running;
use super::victims::{self, Entry, Victim};
use super::{Context, prepare};
use crate::statistics::{Median, Shuffle};

/// Closed loops that find how much the service can do.
const WARM_UPS: u32 = 3;
/// Pairs under one load, whose log is in memory as a whole.
const PAIRS_OF_A_LOAD: usize = 5;
/// After the tool was attached or has gone, nothing is looked at for so long.
const SETTLES: Duration = Duration::from_millis(500);
/// To attach it, or to end it, takes less than this on average.
const SWITCHES_S: f64 = 1.5;

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
    let mut highest: f64 = 0.0;
    for _ in 0..WARM_UPS {
        highest = highest.max(victim.saturate()?.rate);
    }
    let rate = (highest * f64::from(options.load) / 100.0).round();
    let mut shuffle = Shuffle::new(options.seed);
    let kinds = [true, false].into_iter().cycle().take(2 * options.pairs as usize).collect();
    let (mut with_tool, mut without_tool, mut disturbed) = (Ratios::default(), Ratios::default(), 0);
    for kinds in shuffle.order(kinds).chunks(PAIRS_OF_A_LOAD) {
        for pair in under_one_load(kinds, &mut shuffle, victim, arm, rate, options, context)? {
            let [without, with] = pair.p99_us;
            let (has_tool, others) = (pair.has_tool, pair.others_percent);
            eprintln!("{}: {without:.1} and {with:.1} µs, tool {has_tool}, others {others:.1} %", entry.name);
            if others > OTHERS_PERCENT {
                disturbed += 1;
                continue;
            }
            let ratios = if has_tool { &mut with_tool } else { &mut without_tool };
            ratios.of.push(with / without);
            ratios.without.push(without);
            ratios.with.push(with);
        }
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

/// Two neighbouring blocks.
struct Pair {
    has_tool: bool,
    /// Of the block that never has the tool, and of the other one.
    p99_us: [f64; 2],
    /// What others took of all CPU time in the worse of them.
    others_percent: f64,
}

/// Pairs one after the other while one load goes on.
fn under_one_load(
    kinds: &[bool],
    shuffle: &mut Shuffle,
    victim: &dyn Victim,
    arm: &Arm,
    rate: f64,
    options: &Options,
    context: &Context,
) -> Result<Vec<Pair>> {
    let seconds = 1.0 + kinds.len() as f64 * 2.0 * (options.seconds + SETTLES.as_secs_f64() + SWITCHES_S);
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let load = victim.begin(rate, seconds)?.context("it has no open loop")?;
    sleep(Duration::from_secs(1));
    let mut blocks = Vec::new();
    for &has_tool in kinds {
        let mut pair = [None, None];
        for place in shuffle.order(vec![0, 1]) {
            let attached = if has_tool && place == 1 { arm } else { arms::find(BARE).context("no bare arm")? };
            pair[place] = Some(block(attached, victim, options.seconds, context)?);
        }
        let [Some(without), Some(with)] = pair else { bail!("a pair has two blocks") };
        blocks.push((has_tool, [without, with]));
    }
    ensure!(Instant::now() < end, "the load has ended before the last block: a machine that is too busy");
    let answers = load.finish()?;
    let pair = |(has_tool, blocks): (bool, [Block; 2])| {
        let mut p99_us = [0.0; 2];
        for (block, p99_us) in blocks.iter().zip(&mut p99_us) {
            let steady = open_loop::steady(&block.of(&answers))?;
            ensure!(steady.rate >= 0.97 * rate, "the open loop came to {:.0} of {rate:.0} requests/s", steady.rate);
            if let Some(seen) = block.seen {
                // A tool that saw nothing would cost nothing.
                ensure!(seen >= steady.count, "the agent counted {seen} of at least {} requests", steady.count);
            }
            *p99_us = steady.p99_ns / 1e3;
        }
        Ok(Pair { has_tool, p99_us, others_percent: blocks[0].others_percent.max(blocks[1].others_percent) })
    };
    blocks.into_iter().map(pair).collect()
}

/// A time in which the tool was attached, or was not.
struct Block {
    begin_ns: u64,
    end_ns: u64,
    /// Requests that the agent has counted in it and around it.
    seen: Option<u64>,
    others_percent: f64,
}

impl Block {
    fn of(&self, answers: &[Answer]) -> Vec<Answer> {
        let within = |answer: &&Answer| (self.begin_ns..self.end_ns).contains(&answer.intended_ns);
        answers.iter().filter(within).copied().collect()
    }
}

/// One block: attaches, lets it settle, and waits.
fn block(arm: &Arm, victim: &dyn Victim, seconds: f64, context: &Context) -> Result<Block> {
    let running = Running::start(arm, &victim.target(), context, false)?;
    sleep(SETTLES);
    let (begin_ns, ticks) = (clock::now(), Ticks::now(process::id()));
    sleep(Duration::from_secs_f64(seconds));
    let (end_ns, others_percent) = (clock::now(), Ticks::now(process::id()).percent_since(&ticks));
    let report = running.map(Running::stop).transpose()?.flatten();
    let count = |report: Value| report.pointer("/services/0/requests/count").and_then(Value::as_u64).unwrap_or(0);
    Ok(Block { begin_ns, end_ns, seen: report.map(count), others_percent })
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
