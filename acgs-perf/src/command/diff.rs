//! `acgs-perf diff`: by what two recordings differ, and whether that is a regression.
//!
//! In: two captures or reports. Out: for each service that both have what has changed, as text, Markdown or JSON; exit code 1 if a rule of
//! `--fail-on` is broken.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::open::{capture, open};
use crate::analysis::compare::rule::Rule;
use crate::analysis::compare::{Comparison, Limits, Side, compare};
use crate::output::words::compare::change;
use crate::output::{self, text};

/// Examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  acgs-perf diff before.capture after.capture
  acgs-perf diff before.capture after.capture --fail-on regression      # exit code 1 if so
  acgs-perf diff before.json after.json --fail-on 'p99>+5%' --fail-on 'unanswered>0'
  acgs-perf diff before.capture after.capture --format html > diff.html
  acgs-perf diff before.capture after.capture --format markdown >> $GITHUB_STEP_SUMMARY
  sudo acgs-perf record --interval 200ms --capture before.capture    # what is best compared
A rule is FIGURE>LIMIT or FIGURE<LIMIT.
FIGURE is p50, p90, p99, p99.9, rate, abandoned, cut_off, refused, unanswered, component:NAME,
downstream:PEER or calls:PEER.
LIMIT is a change (+5%, -10%, +100us, +1ms) or, without a sign, a value (5ms, 0).
`regression` is anything that got worse. A change breaks a rule only if chance cannot explain it.
Captures tell more than reports.
Exit codes: 0 ok, 1 a rule is broken, 2 wrong usage, or a file that cannot be read.";

/// How to show a comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For the terminal
    #[default]
    Text,
    /// For programs
    Json,
    /// For a pull request
    Markdown,
    /// One page for a browser, that needs nothing else
    Html,
}

/// Say by what two recordings differ
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The earlier capture or report
    pub old: PathBuf,
    /// The later one
    pub new: PathBuf,
    /// Exit with 1 if this rule is broken, such as 'p99>+5%' or regression; may be given several times, or with commas
    #[arg(long, value_name = "RULE", value_delimiter = ',')]
    pub fail_on: Vec<String>,
    /// Only this service
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
    /// A change of less than this share is none
    #[arg(long, value_name = "PERCENT", default_value = "3")]
    pub least: String,
    /// How to show it
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Runs the command and returns the exit code.
///
/// # Errors
/// If a file cannot be read, or a rule, or nothing can be compared; exit code 2.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let rules = rules(&args.fail_on)?;
    let limits = Limits { least_share: least(&args.least)?, ..Limits::default() };
    let ((mut old, old_damage), (mut new, new_damage)) = (side(&args.old)?, side(&args.new)?);
    if let Some(name) = &args.service {
        for (side, path) in [(&mut old, &args.old), (&mut new, &args.new)] {
            let names: Vec<String> = side.services.iter().map(|of| of.name.clone()).collect();
            side.services.retain(|of| of.name == *name);
            if side.services.is_empty() {
                bail!("{}: no service {name}; it has {}", path.display(), listed(&names));
            }
        }
    }
    let comparison = compare(&old, &new, &limits);
    if comparison.services.is_empty() {
        let (old, new) = (listed(&comparison.only_old), listed(&comparison.only_new));
        bail!("no service is in both: {} has {old}, {} has {new}", args.old.display(), args.new.display());
    }
    for rule in &rules {
        if !rule.fits(&comparison) {
            bail!("--fail-on {}: no service has this figure; {}", rule.text(), known(&comparison));
        }
    }
    match args.format {
        Format::Text => output::print(&text::compare::render(&comparison, output::width())),
        Format::Markdown => output::print(&text::compare::markdown(&comparison)),
        Format::Html => output::html::compare::render(&comparison).and_then(|page| output::print(&page)),
        Format::Json => output::print_json(&serde_json::to_string_pretty(&comparison)?),
    }
    .context("standard output")?;
    let code = judge(&rules, &comparison);
    let damage: Vec<&String> = [&old_damage, &new_damage].into_iter().flatten().collect();
    damage.iter().for_each(|line| output::say(line));
    Ok(if damage.is_empty() { code } else { 2 })
}

/// Says which rules are broken; the exit code.
pub(super) fn judge(rules: &[Rule], comparison: &Comparison) -> u8 {
    let broken = broken(rules, comparison);
    broken.iter().for_each(|line| output::say(&format!("check failed: {line}")));
    u8::from(!broken.is_empty())
}

/// A line per rule that is broken, and by what.
pub(super) fn broken(rules: &[Rule], comparison: &Comparison) -> Vec<String> {
    let lines = |rule: &Rule| {
        let broken = rule.broken_by(comparison).into_iter();
        broken.map(|(name, shift)| format!("{name}: {} ({})", change(shift), rule.text())).collect::<Vec<_>>()
    };
    rules.iter().flat_map(lines).collect()
}

/// Reads rules.
pub(super) fn rules(texts: &[String]) -> anyhow::Result<Vec<Rule>> {
    texts.iter().map(|text| Rule::parse(text).map_err(|why| anyhow::anyhow!("--fail-on {text}: {why}"))).collect()
}

fn least(text: &str) -> anyhow::Result<f64> {
    match text.trim_end_matches('%').parse::<f64>() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent / 100.0),
        _ => bail!("--least {text}: want a percentage from 0 to 100, for example 3"),
    }
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

fn known(comparison: &Comparison) -> String {
    let mut names: Vec<String> =
        comparison.services.iter().flat_map(|of| of.figures.iter().map(|shift| shift.figure.name())).collect();
    names.sort();
    names.dedup();
    format!("there are {}", names.join(", "))
}

/// A side, and what is wrong with it.
fn side(path: &Path) -> anyhow::Result<(Side, Option<String>)> {
    let name = path.display().to_string();
    if let Some((capture, damage)) = capture(path)? {
        let damage = damage.map(|damage| format!("{name}: {damage}"));
        return Ok((Side::of_capture(&name, &capture, None), damage));
    }
    Ok((Side::of_report(&name, &open(path)?.report), None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::sample::{self, assessed};
    use crate::report;

    fn saved(directory: &Path, name: &str, rename: Option<&str>, low_ns: u64) -> PathBuf {
        let mut report = assessed(sample::whole());
        for service in &mut report.services {
            if let (Some(name), true) = (rename, service.name == "redis") {
                service.name = name.to_owned();
            }
            let requests = service.requests.as_mut().unwrap();
            requests.latency = sample::distribution((0..40_000u64).map(|at| low_ns + at * 10));
        }
        let path = directory.join(name);
        report::write_atomically(&path, report::seal(&mut report).unwrap().as_bytes()).unwrap();
        path
    }

    fn args(old: &Path, new: &Path, fail_on: &[&str]) -> Args {
        Args {
            old: old.to_owned(),
            new: new.to_owned(),
            fail_on: fail_on.iter().map(|rule| (*rule).to_owned()).collect(),
            service: None,
            least: "3".into(),
            format: Format::Json,
        }
    }

    #[test]
    fn a_broken_rule_is_exit_code_1_and_no_change_is_0() {
        let directory = tempfile::tempdir().unwrap();
        let old = saved(directory.path(), "old.json", None, 1_000_000);
        let slow = saved(directory.path(), "slow.json", None, 1_500_000);
        assert_eq!(run(&args(&old, &old, &["regression", "p99>+1%"])).unwrap(), 0);
        assert_eq!(run(&args(&old, &slow, &[])).unwrap(), 0);
        assert_eq!(run(&args(&old, &slow, &["p99>+5%"])).unwrap(), 1);
        assert_eq!(run(&args(&old, &slow, &["p99>+50%", "rate<-10%"])).unwrap(), 0);
        assert_eq!(run(&args(&slow, &old, &["regression"])).unwrap(), 0);
    }

    #[test]
    fn mistakes_get_one_line() {
        let directory = tempfile::tempdir().unwrap();
        let old = saved(directory.path(), "old.json", None, 1_000_000);
        let other = saved(directory.path(), "other.json", Some("valkey"), 1_000_000);
        let line = |args: Args| {
            let line = format!("{:#}", run(&args).unwrap_err());
            assert!(!line.contains('\n'), "{line}");
            line
        };
        assert!(line(args(&old, Path::new("/nonexistent"), &[])).contains("/nonexistent"));
        assert!(line(args(&old, &old, &["p98>+5%"])).contains("--fail-on p98>+5%: no figure"));
        assert!(line(args(&old, &old, &["calls:x>+1"])).contains("no service has this figure"));
        let only = |name: &str| Args { service: Some(name.into()), ..args(&old, &other, &[]) };
        assert!(line(only("valkey")).contains("no service valkey; it has"));
        assert!(line(Args { least: "x".into(), ..args(&old, &old, &[]) }).contains("--least x: want"));
    }
}
