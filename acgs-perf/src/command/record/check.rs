//! `--check`: which services do not meet their objectives.
//!
//! In: a report with its words. Out: a line per service that fails.

use crate::report::{Report, Verdict};

/// Those that fail. What was not measured fails too; what was not tested does unless that is allowed.
pub fn failures(report: &Report, allow_untested: bool) -> Vec<String> {
    let fails = |verdict: Option<Verdict>| match verdict {
        Some(Verdict::Met) => false,
        Some(Verdict::NotTested) => !allow_untested,
        Some(Verdict::Missed | Verdict::TooFew) | None => true,
    };
    let failing = report.services.iter().filter(|service| fails(service.objective.verdict));
    failing.map(|service| format!("{}: {}", service.name, service.objective.reason)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::sample::{self, assessed};
    use crate::output::words::said;

    #[test]
    fn only_what_is_met_passes() {
        let mut report = said(assessed(sample::whole()));
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
}
