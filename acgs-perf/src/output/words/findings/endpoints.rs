//! Findings about endpoints, errors, and work for clients that have left, in words.

use super::said::{Words, against, all, compared, number, part, share, value};
use crate::analysis::findings::{ERRORS_HIDE_LATENCY, REQUESTS_FAIL, SLOW_ENDPOINT, WORK_FOR_NOBODY};
use crate::report::{Figure, Finding, ServiceReport};
use crate::units::{duration, grouped, percent};

/// The words; `None` for a finding about something else.
pub fn words(finding: &Finding, service: &ServiceReport) -> Option<Words> {
    let name = &service.name;
    let endpoint = finding.endpoint.as_deref().unwrap_or("one endpoint");
    let words = match finding.id.as_str() {
        SLOW_ENDPOINT => Words(
            format!("most slow requests to {name} are {endpoint}"),
            format!(
                "it makes {} of the slowest 1 % and {} of all requests; half of its requests take {} or more",
                share(finding),
                part(finding, "requests"),
                duration(value(finding, "p50"))
            ),
            format!(
                "begin there: record {name} while only {endpoint} is called, or give it workers and an objective of its own"
            ),
        ),
        REQUESTS_FAIL => {
            let one = |of: &Figure| {
                let share = percent(number(of), compared(of));
                format!("{} ({} of {}, {share})", of.of.as_deref().unwrap_or("?"), grouped(number(of)), grouped(compared(of)))
            };
            let most: Vec<_> = all(finding, "failed_of").map(one).collect();
            Words(
                format!("{} of the requests to {name} fail", part(finding, "failed")),
                format!(
                    "{} of {} replies are errors of the service: {}",
                    grouped(value(finding, "failed")),
                    grouped(against(finding, "failed")),
                    most.join(", ")
                ),
                "read the service's log for these; a latency with many errors in it says little".into(),
            )
        }
        ERRORS_HIDE_LATENCY => Words(
            format!("errors of {endpoint} make {name} look faster than it is"),
            format!(
                "{} of its {} replies are errors, and half of them come within {}; other endpoints take {}",
                grouped(value(finding, "failed_of")),
                grouped(against(finding, "failed_of")),
                duration(value(finding, "p50")),
                duration(against(finding, "p50"))
            ),
            "mend the errors first, then judge the latency again: a request that fails at once is a fast one".into(),
        ),
        WORK_FOR_NOBODY => Words(
            format!("{name} answers requests whose client has left"),
            format!(
                "{} of {} replies went into closed connections{}",
                grouped(value(finding, "answered_into_closed")),
                grouped(against(finding, "answered_into_closed")),
                match value(finding, "left_after_p50") {
                    0 => String::new(),
                    ns => format!("; half of the clients that left had waited {} or more", duration(ns)),
                }
            ),
            "stop working once the client is gone (request.is_disconnected(), context cancellation), and put limits on queues: \
             this work delays those who still wait"
                .into(),
        ),
        _ => return None,
    };
    Some(words)
}
