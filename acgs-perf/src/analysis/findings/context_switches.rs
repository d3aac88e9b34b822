//! `context_switches`: threads run so briefly that switching between them is much of the work.

use super::context::Context;
use crate::analysis::model::{Confidence, Figure, Finding, Severity, Unit};

/// Its id.
pub const CONTEXT_SWITCHES: &str = "context_switches";

/// At least so many for a request.
const PER_REQUEST: u64 = 10;
/// A thread runs for less than this before the next one, which costs some 2 µs.
const BRIEF_NS: u64 = 20_000;
/// With fewer they cost nothing.
const LEAST: u64 = 10_000;

/// For information: what they cost is in the other figures.
pub fn look(context: &Context) -> Vec<Finding> {
    let Some(scheduler) = &context.service.scheduler else { return Vec::new() };
    let switches = scheduler.switches.voluntary.saturating_add(scheduler.switches.involuntary);
    let (Some(on_cpu), answered) = (scheduler.on_cpu_ns, context.answered()) else { return Vec::new() };
    let is_brief = on_cpu < switches.saturating_mul(BRIEF_NS);
    if switches < LEAST || answered == 0 || switches < answered.saturating_mul(PER_REQUEST) || !is_brief {
        return Vec::new();
    }
    let mut figures = vec![
        Figure::new("switches", switches, Unit::Count).against(answered),
        Figure::new("involuntary", scheduler.switches.involuntary, Unit::Count).against(switches),
    ];
    figures.push(Figure::new("on_cpu_between", on_cpu / switches, Unit::Ns));
    vec![context.found(CONTEXT_SWITCHES, Severity::Info, Confidence::Medium, figures)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::sample::planted::{self, ids};

    #[test]
    fn ten_a_request_and_brief_runs_are_many() {
        let is_found = |voluntary, on_cpu_ns| {
            let mut report = planted::healthy();
            let scheduler = planted::scheduler(&mut report);
            (scheduler.switches.voluntary, scheduler.switches.involuntary) = (voluntary, 0);
            scheduler.on_cpu_ns = Some(on_cpu_ns);
            ids(&report).contains(&CONTEXT_SWITCHES.to_owned())
        };
        assert!(is_found(3_000_000, 59_000_000_000));
        assert!(!is_found(2_999_999, 59_000_000_000), "few for a request");
        assert!(!is_found(3_000_000, 60_000_000_000), "long enough");
    }
}
