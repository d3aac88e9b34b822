//! The whole document: `docs/cost.md`, from one template and the stored results.
//!
//! In: results. Out: Markdown.

use std::fs;

use acgs_perf_setup::process::root;
use anyhow::{Context, Result, ensure};

use super::arms::{ARMS, Arm, Kind};
use super::rivals::Target;
use super::store::Results;
use super::victims::{Entry, VICTIMS};
use super::{machine, opening, table, targets};

const TEMPLATE: &str = include_str!("template.md");

/// The part of the document on one victim.
pub fn section(entry: &Entry, results: &Results) -> String {
    let mut text = format!("### {}\n\n", entry.title);
    let capital: String =
        entry.about.chars().take(1).flat_map(char::to_uppercase).chain(entry.about.chars().skip(1)).collect();
    text.push_str(&format!(
        "{capital} {} round{}, {}.",
        results.rounds,
        if results.rounds == 1 { "" } else { "s" },
        results.date
    ));
    if let (Some(rate), None) = (results.steady_rate, entry.iteration) {
        text.push_str(&format!(" Rate of the open loop: {rate:.0}/s."));
    }
    text.push_str(&format!("\n\n{}", table::arms(entry, results)));
    if entry.iteration.is_none() {
        text.push_str(&format!("\nIn multiples of ours, by added time per request:\n\n{}", table::rivals(results)));
    }
    text.push_str(&format!("\nThe agent in these runs:\n\n{}", table::agent(entry, results)));
    for programs in &results.programs {
        text.push_str(&format!(
            "\nKernel programs of `{}`, one run with `--measure-cost` over {} requests:\n\n{}",
            programs.arm,
            programs.requests,
            table::programs(programs)
        ));
    }
    if !results.at_rates.is_empty() {
        text.push_str(&format!("\nThe always-on agent at a given rate:\n\n{}", table::at_rates(results)));
    }
    for note in &results.notes {
        text.push_str(&format!("\n{note}\n"));
    }
    text
}

/// The whole of it; `first` is the table that it begins with, which stays as it is.
pub fn whole(all: &[Results], first: &str) -> String {
    let sections: Vec<String> = VICTIMS
        .iter()
        .filter_map(|entry| Some(section(entry, all.iter().find(|results| results.victim == entry.name)?)))
        .collect();
    let list = |lines: Vec<String>| lines.iter().map(|line| format!("- {line}\n")).collect::<String>();
    let mut commands: Vec<String> = Vec::new();
    for command in all.iter().flat_map(|results| &results.commands) {
        if !commands.contains(command) {
            commands.push(command.clone());
        }
    }
    let commands: String = commands.iter().map(|command| format!("    {command}\n")).collect();
    let parts = [
        ("{opening}", opening::marked(first)),
        ("{machine}", list(machine::describe())),
        ("{commands}", commands),
        ("{targets}", targets::table(&targets::all(all))),
        ("{arms}", list(ARMS.iter().map(describe).collect())),
        ("{victims}", sections.join("\n")),
    ];
    parts.iter().fold(TEMPLATE.to_owned(), |text, (name, part)| text.replace(name, part.trim_end()))
}

/// An arm in one line: what is started.
fn describe(arm: &Arm) -> String {
    let what = match arm.kind {
        Kind::Bare => "nobody attached".to_owned(),
        Kind::Floor => format!("a program that returns at once on each of {}", super::floor::HOOKS.join(", ")),
        Kind::Agent(probes) => format!("`acgs-perf record --probes {probes}`"),
        Kind::Rival(tool) => {
            let target = Target { selector: String::new(), pid: 0, comm: None };
            let words = tool(&target).words;
            let words = words.iter().map(|word| if word.contains(' ') { format!("'{word}'") } else { word.clone() });
            let text = words.collect::<Vec<_>>().join(" ").replace("pid == 0", "pid == PID").replace("-p 0", "-p PID");
            format!("`{}`", text.split_whitespace().collect::<Vec<_>>().join(" "))
        }
    };
    format!("**{}**: {what}", arm.name)
}

/// Writes it into the docs.
pub fn write(all: &[Results]) -> Result<()> {
    ensure!(!all.is_empty(), "no stored results; run the bench first");
    let path = root().join(opening::PAGE);
    let before = fs::read_to_string(&path).unwrap_or_default();
    fs::write(&path, whole(all, opening::of(&before))).with_context(|| format!("write {}", path.display()))?;
    eprintln!("bench: wrote {}", path.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_filled() {
        let results =
            Results { victim: "nginx".into(), rounds: 3, commands: vec!["one".into(); 2], ..Results::default() };
        let text = whole(&[results], "first\n");
        assert_eq!(opening::of(&text), "first\n");
        for name in ["{opening}", "{machine}", "{commands}", "{targets}", "{arms}", "{victims}"] {
            assert!(TEMPLATE.matches(name).count() == 1 && !text.contains(name), "{name}");
        }
        assert!(text.contains("### nginx") && !text.contains("### Redis") && text.contains("not measured"));
        assert_eq!(text.matches("    one\n").count(), 1);
        assert!(text.contains("/pid == PID/") && text.contains("strace -c -f -p PID`"), "{text}");
    }
}
