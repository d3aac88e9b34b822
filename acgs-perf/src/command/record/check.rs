//! `--check`: which services do not meet their objectives, what got worse, what was lost.
//!
//! In: a report with its words, and what came of `--against`. Out: an [`Outcome`] per question, as lines, as JUnit's XML, as Markdown.

use crate::analysis::compare::{Figure, Told};
use crate::discover::Target;
use crate::output::words::compare::change;
use crate::output::{self, Page, ci, text};
use crate::report::{self, EndpointObjectiveReport, Report, ServiceReport, Verdict};
use crate::snapshot::Capture;

use super::Args;
use super::against::{Against, Judged};
use crate::command::baseline::runs;

pub use ci::{Grade, Outcome};

/// So many requests may have one event that was lost, before that fails.
const REQUESTS_PER_LOSS: u64 = 1000;

/// What the user wants to be more or less than a failure.
#[derive(Clone, Copy, Debug, Default)]
pub struct Strictness {
    /// A service that had too little load passes.
    pub allow_untested: bool,
    /// Each event that was lost fails.
    pub strict: bool,
}

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
pub fn results(report: &Report, wanted: Strictness, judged: Option<&Judged>) -> Vec<Outcome> {
    let grade = |verdict: Option<Verdict>| match verdict {
        Some(Verdict::Met) => Grade::Ok,
        Some(Verdict::NotTested) if wanted.allow_untested => Grade::Ok,
        Some(Verdict::NotTested | Verdict::Missed | Verdict::TooFew) | None => Grade::Failed,
    };
    let mut all: Vec<Outcome> = report
        .services
        .iter()
        .map(|service| Outcome {
            service: service.name.clone(),
            question: "objective",
            said: service.objective.reason.clone(),
            grade: grade(service.objective.verdict),
        })
        .collect();
    let endpoints = |service: &ServiceReport| {
        let one = |of: &EndpointObjectiveReport| Outcome {
            service: format!("{} {}", service.name, output::words::called(&of.name)),
            question: "objective",
            said: of.reason.clone(),
            grade: grade(of.verdict),
        };
        service.endpoint_objectives.iter().map(one).collect::<Vec<_>>()
    };
    all.extend(report.services.iter().flat_map(endpoints));
    if let Some(judged) = judged {
        all.extend(judged.comparison.services.iter().map(|of| regression(&of.name, judged)));
    }
    all.push(losses(report, wanted.strict));
    all
}

/// What was lost. Few beside the requests move no percentile, and are shown; one event may count in several counters, so all together are
/// more than what is missing.
fn losses(report: &Report, strict: bool) -> Outcome {
    let lost: Vec<String> =
        report.ledger.iter().filter(|(_, count)| **count > 0).map(|(name, count)| format!("{name} {count}")).collect();
    let count = report.ledger.values().fold(0, |sum: u64, count| sum.saturating_add(*count));
    let requests = report.services.iter().filter_map(|service| service.requests.as_ref());
    let requests = requests.fold(0, |sum: u64, of| sum.saturating_add(of.count));
    let are_few = !strict && count.saturating_mul(REQUESTS_PER_LOSS) < requests;
    let (grade, said) = match lost.join(", ") {
        _ if count == 0 => (Grade::Ok, "nothing was lost".to_owned()),
        lost if are_few => (Grade::Warning, format!("fewer events than 0.1 % of the requests were lost: {lost}")),
        lost => (Grade::Failed, format!("events were lost: {lost}")),
    };
    Outcome { service: "recording".into(), question: "losses", said, grade }
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
        grade: if worse.is_empty() { Grade::Ok } else { Grade::Failed },
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

    fn lines(report: &Report, wanted: Strictness, grade: Grade) -> Vec<String> {
        results(report, wanted, None).iter().filter_map(|of| of.line(grade)).collect()
    }

    #[test]
    fn only_what_is_met_passes() {
        let mut report = said(assessed(sample::whole()));
        report.ledger.values_mut().for_each(|count| *count = 0);
        let failures = |report: &Report, allow_untested| {
            lines(report, Strictness { allow_untested, ..Strictness::default() }, Grade::Failed)
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
    fn an_endpoint_that_misses_its_objective_fails() {
        let mut report = said(assessed(sample::whole()));
        report.ledger.values_mut().for_each(|count| *count = 0);
        report.services.remove(0);
        report.services[0].objective.verdict = Some(Verdict::Met);
        let failures = |report: &Report| lines(report, Strictness::default(), Grade::Failed);
        assert_eq!(failures(&report), Vec::<String>::new());
        report.services[0].endpoint_objectives[0].verdict = Some(Verdict::Missed);
        assert!(failures(&report)[0].starts_with("api GET /policies/{}: the P99 is"), "{:?}", failures(&report));
    }

    #[test]
    fn what_was_lost_fails_unless_it_is_little_beside_the_requests() {
        let mut report = said(assessed(sample::whole()));
        report.services.truncate(1);
        report.services[0].objective.verdict = Some(Verdict::Met);
        let of = |report: &mut Report, lost: [u64; 2], strict, grade| {
            report.ledger.values_mut().for_each(|count| *count = 0);
            report.ledger.values_mut().zip(lost).for_each(|(count, lost)| *count = lost);
            lines(report, Strictness { strict, ..Strictness::default() }, grade)
        };
        report.services[0].requests.as_mut().unwrap().count = 20_000;
        for (lost, strict, grade, words) in [
            ([7, 0], false, Grade::Warning, "recording: fewer events than 0.1 % of the requests were lost: "),
            ([7, 0], true, Grade::Failed, "recording: events were lost: "),
            // Counters count together.
            ([10, 10], false, Grade::Failed, "recording: events were lost: "),
            ([10, 9], false, Grade::Warning, "recording: fewer events"),
            ([0, 0], true, Grade::Failed, ""),
        ] {
            let found = of(&mut report, lost, strict, grade);
            let is_said =
                found.len() == usize::from(!words.is_empty()) && found.iter().all(|line| line.starts_with(words));
            assert!(is_said, "{lost:?}: {found:?}");
        }
        // Where there are no requests, nobody knows what is little.
        report.services[0].requests = None;
        assert_eq!(of(&mut report, [1, 0], false, Grade::Failed).len(), 1);
    }
}
