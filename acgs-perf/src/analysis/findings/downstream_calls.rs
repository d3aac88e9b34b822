//! `many_calls` and `sequential_calls`: requests that call a peer again and again, or peers one after the other.

use acgs_perf_common::attribution::Component::{Downstream, RunQueue};

use super::context::{Context, sum};
use super::start::share;
use crate::analysis::model::{Confidence, Figure, Finding, Unit};
use crate::analysis::tail::{Sequence, sequence};

/// A request calls one peer many times: a query per row (N+1).
pub const MANY_CALLS: &str = "many_calls";
/// A request makes some calls, one after the other.
pub const SEQUENTIAL_CALLS: &str = "sequential_calls";

/// From so many calls a request on, they are many.
const MANY: f64 = 10.0;
/// Waiting for peers is at least this share of the time of the slowest requests.
const LEAST_SHARE: f64 = 0.2;
/// With fewer calls they are not worth telling.
const MIN_CALLS: u64 = 100;

/// One of both: many calls are in sequence too.
pub fn look(context: &Context) -> Vec<Finding> {
    let Some(cut) = context.explanation.as_ref().map(|found| found.cut) else { return Vec::new() };
    let of_tail = context.share_of_tail(&[Downstream]);
    let exemplars = context.service.exemplars.as_deref().unwrap_or_default();
    let Some(Sequence { calls, saved }) = sequence(cut, exemplars).filter(|_| of_tail >= LEAST_SHARE) else {
        return Vec::new();
    };
    let id = if calls >= MANY { MANY_CALLS } else { SEQUENTIAL_CALLS };
    let mut figures = vec![];
    figures.extend(
        Figure::decimal("calls", calls, Unit::PerRequest).map(|of| of.against_decimal(cut.body_calls_per_request)),
    );
    figures
        .push(Figure::new("downstream", (of_tail * cut.mean_ns as f64).round() as u64, Unit::Ns).against(cut.mean_ns));
    let peers = context.service.downstream.iter().flatten().filter(|peer| peer.calls >= MIN_CALLS);
    if peers.count() == 0 {
        return Vec::new();
    }
    let waited = cut.downstream.iter().take(2);
    figures.extend(waited.map(|peer| Figure::new("waited_for", peer.mean_ns, Unit::Ns).of(peer.peer.clone())));
    figures.extend(most_called(context));
    // That they do not need each other's answers, nobody knows but who wrote them.
    let found = context.found(id, context.severity(), Confidence::Medium, figures);
    let after = context.cpu_wait_after(&[Downstream]);
    vec![context.with_gain(Finding { share: Some(share(of_tail)), ..found }, |named, peers| {
        let gone = saved * peers.values().map(|ns| *ns as f64).sum::<f64>();
        gone + (after * gone).min(sum(named, &[RunQueue]))
    })]
}

/// What the service asks its peers for most often, and how often a request does on average; nothing where that is not known.
fn most_called(context: &Context) -> Option<Figure> {
    let most = context.calls.iter().max_by_key(|row| row.calls)?;
    let each = most.calls as f64 / context.answered().max(1) as f64;
    Some(Figure::decimal("most_called", each, Unit::PerRequest)?.of(most.name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::sample::planted::{found, ids, sequence};

    #[test]
    fn two_calls_are_in_sequence_ten_are_many_and_one_is_none() {
        assert!(ids(&sequence(2)).contains(&SEQUENTIAL_CALLS.to_owned()));
        assert!(ids(&sequence(9)).contains(&SEQUENTIAL_CALLS.to_owned()));
        assert!(ids(&sequence(10)).contains(&MANY_CALLS.to_owned()));
        let one = ids(&sequence(1));
        assert!(!one.contains(&SEQUENTIAL_CALLS.to_owned()) && !one.contains(&MANY_CALLS.to_owned()), "{one:?}");
    }

    #[test]
    fn what_is_called_most_is_named() {
        let mut report = sequence(21);
        let row = |name: &str, kind: &str, calls: u64| serde_json::json!({"name": name, "kind": kind, "calls": calls});
        let rows = [
            row("begin", "request", 20_000),
            row("select ?", "request", 400_000),
            row("blpop", "wait_by_design", 1 << 40),
        ];
        report.services[0].tables.insert("downstream_endpoints".into(), rows.into_iter().collect());
        let figures = found(&report, MANY_CALLS).expect("many calls").figures;
        let most = figures.iter().find(|of| of.what == "most_called").expect("the most");
        assert_eq!((most.of.as_deref(), most.value.as_f64()), (Some("select ?"), Some(20.0)));
    }

    #[test]
    fn at_the_same_time_they_would_take_as_long_as_one() {
        let report = sequence(4);
        let now = report.services[0].requests.as_ref().and_then(|of| of.latency.p99_ns).expect("a P99") as f64;
        let then = found(&report, SEQUENTIAL_CALLS).and_then(|of| of.would_fall_to_ns).expect("a gain") as f64;
        // Of 52 in 55 ms two thirds would go: three calls to the slow peer, one to the other.
        assert!((0.32..0.44).contains(&(then / now)), "{then} {now}");
    }
}
