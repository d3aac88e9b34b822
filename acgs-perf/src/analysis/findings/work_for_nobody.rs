//! `work_for_nobody`: requests are answered whose client has left.

use super::context::Context;
use crate::analysis::model::{Confidence, Figure, Finding, Severity, Unit};

/// Its id.
pub const WORK_FOR_NOBODY: &str = "work_for_nobody";

/// At least one request in so many, and so many.
const ONE_IN: u64 = 100;
const LEAST: u64 = 10;
/// From one in so many on, it is a warning.
const MANY_ONE_IN: u64 = 20;

/// Their work delays those who are still waiting.
pub fn look(context: &Context) -> Vec<Finding> {
    let Some(fates) = &context.service.fates else { return Vec::new() };
    let (nobodys, answered) = (fates.abandoned.into_closed, context.answered());
    if nobodys < LEAST || nobodys.saturating_mul(ONE_IN) < answered {
        return Vec::new();
    }
    let severity = match nobodys.saturating_mul(MANY_ONE_IN) >= answered {
        true => Severity::Warning,
        false => Severity::Info,
    };
    let mut figures = vec![Figure::new("answered_into_closed", nobodys, Unit::Count).against(answered)];
    let left = fates.abandoned.latency.p50_ns;
    figures.extend(left.map(|ns| Figure::new("left_after_p50", ns, Unit::Ns)));
    vec![context.found(WORK_FOR_NOBODY, severity, Confidence::High, figures)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::sample::planted::{self, ids};

    #[test]
    fn one_in_a_hundred_is_told() {
        let is_found = |into_closed| {
            let mut report = planted::healthy();
            report.services[0].fates.as_mut().expect("fates").abandoned.into_closed = into_closed;
            ids(&report).contains(&WORK_FOR_NOBODY.to_owned())
        };
        assert!(is_found(3_000) && !is_found(2_999));
    }
}
