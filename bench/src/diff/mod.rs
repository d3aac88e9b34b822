//! `bench diff`: how often a comparison of two windows of the same service tells a change, and how often it finds one that was planted.
//!
//! In: captures that are made here of Redis, nginx and FastAPI, or those of a directory. Out: tables. A/A: windows of ten seconds, as
//! neighbours, as any two of a capture, and of different captures, whose services may have been started anew; a pair counts as an alarm if
//! any figure is told. Power: two servers side by side, of which one is slower by what was planted, and every window of one against every window of the other.

mod load;
mod pairs;

use std::fs;
use std::path::{Path, PathBuf};

use acgs_perf::snapshot::Capture;
use acgs_perf::snapshot::file::decode;
use anyhow::{Context, Result, bail, ensure};

use crate::prepare;
use load::Recordings;
use pairs::{Counted, Pairs};

/// So many alarms in so many pairs are allowed.
const ALLOWED: (usize, usize) = (5, 200);
/// More than these are found if as many would come by a smaller chance than this: of few pairs one alarm says nothing.
const CHANCE: f64 = 0.01;

/// What is measured.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Captures that were made before, instead of new ones.
    #[arg(long, value_name = "DIR")]
    captures: Option<PathBuf>,
    /// Seconds of a window.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    window: u64,
    /// New captures.
    #[arg(long, default_value_t = 11)]
    recordings: u32,
    /// Start the services anew for each recording; what is judged then are pairs of different captures.
    #[arg(long, conflicts_with = "captures")]
    anew: bool,
    /// Seconds of each.
    #[arg(long, default_value_t = 120)]
    seconds: u64,
    /// Keep the captures here.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Plant a change, and look whether it is found.
    #[arg(long)]
    power: bool,
    /// Show each alarm.
    #[arg(long)]
    verbose: bool,
}

/// The whole task.
pub fn diff(options: &Options) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let captures = match &options.captures {
        Some(directory) => directory.clone(),
        None => {
            prepare::need_root()?;
            prepare::need_programs(&["redis-server", "nginx"])?;
            let agent = prepare::agent_and_programs(true)?;
            let to = options.keep.clone().unwrap_or_else(|| directory.path().to_owned());
            fs::create_dir_all(&to).with_context(|| format!("make {}", to.display()))?;
            let Options { power, anew, recordings: count, seconds, .. } = *options;
            load::record(&agent, &to, Recordings { power, anew, count, seconds })?;
            to
        }
    };
    let captures = read(&captures)?;
    if options.power {
        return power(&captures, options);
    }
    let judged = if options.anew { Pairs::OfTwoCaptures } else { Pairs::Neighbours };
    let mut too_many = Vec::new();
    println!("| pairs | service | pairs | alarms | by figure |");
    println!("|---|---|---:|---:|---|");
    for pairs in [Pairs::Neighbours, Pairs::OfOneCapture, Pairs::OfTwoCaptures] {
        for (service, counted) in pairs::alarms(&captures, options.window, pairs, options.verbose) {
            let Counted { pairs: count, alarms, .. } = counted;
            println!("| {} | {service} | {count} | {alarms} | {} |", pairs.name(), counted.by_figure());
            if pairs == judged && chance_of(alarms, count) < CHANCE {
                too_many.push(format!("{service}: {alarms} in {count}"));
            }
        }
    }
    let (alarms, of) = ALLOWED;
    ensure!(too_many.is_empty(), "clearly more alarms than {alarms} in {of} pairs: {}", too_many.join(", "));
    Ok(())
}

/// The chance of at least so many alarms, if as many come as are allowed.
fn chance_of(alarms: usize, pairs: usize) -> f64 {
    let rate = ALLOWED.0 as f64 / ALLOWED.1 as f64;
    let mut exactly = (1.0 - rate).powf(pairs as f64);
    let mut fewer = 0.0;
    for at in 0..alarms {
        fewer += exactly;
        exactly *= (pairs - at) as f64 / (at + 1) as f64 * rate / (1.0 - rate);
    }
    1.0 - fewer
}

fn power(captures: &[Capture], options: &Options) -> Result<()> {
    println!("| planted | requests/s | pairs | P99 told | component named right | anything told |");
    println!("|---|---:|---:|---:|---:|---:|");
    for planted in load::PLANTED {
        let found = pairs::power(captures, options.window, planted.old, planted.new, planted.component);
        println!(
            "| {} | {:.0} | {} | {} | {} | {} |",
            planted.what, found.rate, found.pairs, found.p99, found.component, found.any
        );
    }
    Ok(())
}

/// All captures of a directory, by name.
fn read(directory: &Path) -> Result<Vec<Capture>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(directory)
        .with_context(|| format!("list {}", directory.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == "capture"))
        .collect();
    paths.sort();
    if paths.is_empty() {
        bail!("{}: no file that ends in .capture", directory.display());
    }
    let one = |path: &PathBuf| -> Result<Capture> {
        let bytes = fs::read(path).with_context(|| path.display().to_string())?;
        Ok(decode(&bytes).with_context(|| path.display().to_string())?.capture)
    };
    paths.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_in_a_few_pairs_is_chance_and_many_are_not() {
        assert!((chance_of(0, 6) - 1.0).abs() < 1e-9);
        // 1 − 0.975^6.
        assert!((chance_of(1, 6) - 0.140_9).abs() < 1e-3, "{}", chance_of(1, 6));
        assert!(chance_of(6, 200) > CHANCE && chance_of(12, 200) < CHANCE && chance_of(3, 6) < CHANCE);
    }
}
