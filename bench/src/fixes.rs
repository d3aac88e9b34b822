//! `bench causes --fix`: what a finding says the P99 would be without it, against what it is when the cause is taken away.
//!
//! In: the release build and the tests' truth server. Out: a Markdown table; failure when the median of the errors is above 10 %, or the
//! worst above 25 %, or a cause was not named at all.

use std::fs;
use std::path::Path;

use acgs_perf_tests::clock;
use acgs_perf_tests::fixes::table::FIXES;
use acgs_perf_tests::fixes::{Fix, Pair, pair};
use acgs_perf_tests::report::Report;
use anyhow::{Context, Result, ensure};

/// The median of the errors may be so much.
const MEDIAN: f64 = 0.10;
/// Each may be so much.
const WORST: f64 = 0.25;

/// All causes, or the one of this name, so many times.
pub fn fixes(only: Option<&str>, runs: u32, reports: Option<&Path>) -> Result<()> {
    let chosen: Vec<_> = FIXES.iter().filter(|fix| only.is_none_or(|only| only == fix.name)).collect();
    let names = || FIXES.iter().map(|fix| fix.name).collect::<Vec<_>>().join(", ");
    ensure!(!chosen.is_empty(), "no cause of that name; there are: {}", names());
    clock::favoured().context("priority of the services")?;
    println!("| cause | finding | P99 with it | would fall to | falls to | error |\n|---|---|---|---|---|---|");
    let (mut errors, mut failed) = (Vec::new(), Vec::new());
    for fix in chosen {
        match (1..=runs).map(|number| one(fix, number, reports)).collect::<Result<Vec<_>>>() {
            Ok(pairs) => errors.push(row(fix.name, &pairs)),
            Err(error) => failed.push(format!("{}: {error:#}", fix.name)),
        }
    }
    errors.sort_by(f64::total_cmp);
    let (median, worst) = (errors.get(errors.len() / 2), errors.last());
    let percent = |error: Option<&f64>| error.map_or("–".to_owned(), |error| format!("{:.1} %", error * 100.0));
    println!("\n{} causes: median error {}, worst {}", errors.len(), percent(median), percent(worst));
    ensure!(failed.is_empty(), "not compared:\n  {}", failed.join("\n  "));
    ensure!(median.is_some_and(|error| *error <= MEDIAN), "the median error is above {:.0} %", MEDIAN * 100.0);
    ensure!(worst.is_some_and(|error| *error <= WORST), "the worst error is above {:.0} %", WORST * 100.0);
    Ok(())
}

fn one(fix: &Fix, number: u32, reports: Option<&Path>) -> Result<Pair> {
    let keep = |when: &str, report: &Report| {
        let Some(directory) = reports else { return Ok(()) };
        let file = directory.join(format!("{}-{when}-{number}.json", fix.name.replace(' ', "-")));
        fs::write(&file, report.0.to_string()).with_context(|| format!("write {}", file.display()))
    };
    let pair = pair(fix, number.into(), keep)?;
    eprintln!("{} {number}: {pair:?}: {:+.1} %", fix.name, pair.error() * 100.0);
    Ok(pair)
}

/// Prints a row of the medians over the runs; the error of these.
fn row(name: &str, pairs: &[Pair]) -> f64 {
    let median = |of: fn(&Pair) -> u64| {
        let mut all: Vec<u64> = pairs.iter().map(of).collect();
        all.sort_unstable();
        all.get(all.len() / 2).copied().unwrap_or(0)
    };
    let finding = pairs.first().map(|pair| pair.finding.clone()).unwrap_or_default();
    let all = Pair {
        finding,
        before_ns: median(|pair| pair.before_ns),
        predicted_ns: median(|pair| pair.predicted_ns),
        after_ns: median(|pair| pair.after_ns),
    };
    let [before, predicted, after] =
        [all.before_ns, all.predicted_ns, all.after_ns].map(|ns| format!("{:.1} ms", ns as f64 / 1e6));
    println!("| {name} | `{}` | {before} | {predicted} | {after} | {:+.1} % |", all.finding, all.error() * 100.0);
    all.error().abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_of_the_medians() {
        let pair = |predicted_ns| Pair { finding: "tail_lock".into(), before_ns: 50, predicted_ns, after_ns: 10 };
        assert_eq!(row("lock", &[pair(30), pair(11), pair(5)]), 0.1);
    }
}
