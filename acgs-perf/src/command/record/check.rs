//! `--check`: which services do not meet their objectives, what got worse, what was lost.
//!
//! In: a report with its words, and what came of `--against`. Out: an [`Outcome`] per question, as lines, as JUnit's XML, as Markdown.

use crate::analysis::compare::{Figure, Told};
use crate::discover::Target;
use crate::output::words::compare::change;
use crate::output::{self, Page, ci, text};
use crate::report::{self, Report, Verdict};
use crate::snapshot::Capture;

use super::Args;
use super::against::{Against, Judged};
use crate::command::baseline::runs;

pub use ci::Outcome;

/// Everything that can go wrong before the recording.
///
/// # Errors
/// When a baseline has no such name, or cannot be read or compared; when a file cannot be written.
pub fn prepare(args: &Args, targets: &[Target]) -> anyhow::Result<Option<Against>> {
    if let Some(name) = &args.save_baseline {
        runs::prepare(&args.baseline_dir, name).map_err(|why| anyhow::anyhow!("--save-baseline: {why:#}"))?;
    }
    for (option, path) in [("--junit", &args.junit), ("--markdown", &args.markdown)] {
        if let Some(path) = path {
            report::check_writable(path).map_err(|why| anyhow::anyhow!("{option}: {why}"))?;
        }
    }
    args.against.as_ref().map(|name| Against::new(&args.baseline_dir, name, targets)).transpose()
}

/// An outcome per service and question. What was not measured fails too; what was not tested does unless that is allowed.
pub fn results(report: &Report, allow_untested: bool, judged: Option<&Judged>) -> Vec<Outcome> {
    let fails = |verdict: Option<Verdict>| match verdict {
        Some(Verdict::Met) => false,
        Some(Verdict::NotTested) => !allow_untested,
        Some(Verdict::Missed | Verdict::TooFew) | None => true,
    };
    let mut all: Vec<Outcome> = report
        .services
        .iter()
        .map(|service| Outcome {
            service: service.name.clone(),
            question: "objective",
            said: service.objective.reason.clone(),
            has_failed: fails(service.objective.verdict),
        })
        .collect();
    if let Some(judged) = judged {
        all.extend(judged.comparison.services.iter().map(|of| regression(&of.name, judged)));
    }
    let lost: Vec<String> =
        report.ledger.iter().filter(|(_, count)| **count > 0).map(|(name, count)| format!("{name} {count}")).collect();
    all.push(Outcome {
        service: "recording".into(),
        question: "losses",
        said: if lost.is_empty() {
            "nothing was lost".into()
        } else {
            format!("events were lost: {}", lost.join(", "))
        },
        has_failed: !lost.is_empty(),
    });
    all
}

fn regression(service: &str, judged: &Judged) -> Outcome {
    let worse: Vec<Figure> =
        judged.worse().into_iter().filter(|(name, _)| name == service).map(|(_, figure)| figure).collect();
    let of = judged.comparison.services.iter().find(|of| of.name == service);
    let said = of.map(|of| {
        let told = of.figures.iter().filter(|shift| worse.contains(&shift.figure)).map(|shift| {
            let while_it_ran = if matches!(shift.told, Told::Up | Told::Down) { "" } else { " (seen while it ran)" };
            format!("{}{while_it_ran}", change(shift))
        });
        let told: Vec<String> = told.collect();
        if told.is_empty() { output::words::compare::sentence(of) } else { told.join("; ") }
    });
    Outcome {
        service: service.to_owned(),
        question: "regression",
        said: said.unwrap_or_default(),
        has_failed: !worse.is_empty(),
    }
}

/// Writes what a pipeline reads; whether all is where it was asked for.
pub fn write(args: &Args, results: &[Outcome], judged: Option<&Judged>) -> bool {
    let compared = judged.map(|judged| text::compare::markdown(&judged.comparison));
    let files = [
        (&args.junit, ci::junit(results)),
        (&args.markdown, ci::markdown(results, compared.as_ref().map(Page::as_str)).as_str().to_owned()),
    ];
    let mut all = true;
    for (path, content) in files {
        let Some(path) = path else { continue };
        if let Err(why) = report::write_atomically(path, content.as_bytes()) {
            output::say(&why.to_string());
            all = false;
        }
    }
    all
}

/// Saves the recording as a run of a baseline, if that was asked for; whether it is there.
pub fn save(args: &Args, capture: &Capture) -> bool {
    let Some(name) = &args.save_baseline else { return true };
    match runs::add(&args.baseline_dir, name, capture) {
        Ok((path, count)) => {
            let runs = if count == 1 { "1 run" } else { &format!("{count} runs") };
            output::say(&format!("baseline {name}: {} ({runs})", path.display()));
            true
        }
        Err(why) => {
            output::say(&format!("--save-baseline {name}: {why:#}"));
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::sample::{self, assessed};
    use crate::output::words::said;

    #[test]
    fn only_what_is_met_passes() {
        let mut report = said(assessed(sample::whole()));
        report.ledger.values_mut().for_each(|count| *count = 0);
        let failures = |report: &Report, allowed| {
            results(report, allowed, None).iter().filter_map(Outcome::line).collect::<Vec<_>>()
        };
        let failures_of = |report: &Report, allowed| failures(report, allowed).len();
        assert_eq!(failures_of(&report, false), 1);
        assert!(failures(&report, false)[0].starts_with("api: the P99 is at least"), "{:?}", failures(&report, false));
        for (verdict, strict, lenient) in [
            (Some(Verdict::Met), 0, 0),
            (Some(Verdict::Missed), 1, 1),
            (Some(Verdict::TooFew), 1, 1),
            (Some(Verdict::NotTested), 1, 0),
            (None, 1, 1),
        ] {
            report.services.truncate(1);
            report.services[0].objective.verdict = verdict;
            assert_eq!((failures_of(&report, false), failures_of(&report, true)), (strict, lenient), "{verdict:?}");
        }
    }

    #[test]
    fn what_was_lost_fails() {
        let mut report = said(assessed(sample::whole()));
        report.services.truncate(1);
        report.services[0].objective.verdict = Some(Verdict::Met);
        report.ledger.values_mut().for_each(|count| *count = 0);
        *report.ledger.values_mut().next().unwrap() = 7;
        let lines: Vec<String> = results(&report, false, None).iter().filter_map(Outcome::line).collect();
        assert!(
            lines.len() == 1 && lines[0].starts_with("recording: events were lost: ") && lines[0].ends_with(" 7"),
            "{lines:?}"
        );
    }
}
