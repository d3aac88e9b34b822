//! The one sentence that says why the tail is slow.
//!
//! In: the cut it is about. Out: plain words with the evidence in them. What cannot be known is said instead of guessed:
//! too few requests, time that was not attributed, time that was split between requests.

use super::phrase::{Phrase, phrase};
use crate::analysis::tail::{Cause, Explanation, explain, sequence};
use crate::report::{AttributionRowReport, CutReport, ExemplarReport};
use crate::units::{duration, percent};

/// Shared time is mentioned from this share on.
const SHARED: f64 = 0.1;

/// The requests above a cut: `slowest 1 %`.
#[must_use]
pub fn slowest(quantile: &str) -> String {
    match quantile {
        "p50" => "slower half".into(),
        "p90" => "slowest 10 %".into(),
        "p99" => "slowest 1 %".into(),
        "p99.9" => "slowest 0.1 %".into(),
        other => format!("requests above {other}"),
    }
}

/// The sentence about `cut`; `rows` only to say why there is none, `exemplars` only for how a request's calls follow each other.
pub fn sentence(cut: Option<&CutReport>, rows: &[AttributionRowReport], exemplars: &[ExemplarReport]) -> String {
    let Some(cut) = cut else {
        let requests = rows.iter().fold(0u64, |sum, row| sum.saturating_add(row.count));
        return match requests {
            0 => "No request was followed through the service, so nothing says what requests wait for.".into(),
            1 => "Only one request was followed through the service, too few to say why some are slow.".into(),
            _ => {
                format!("Only {requests} requests were followed through the service, too few to say why some are slow.")
            }
        };
    };
    let explanation = explain(cut);
    let mut text = main_clause(&explanation);
    if explanation.main.iter().any(|part| part.cause == Cause::Downstream)
        && let Some(calls) = sequence(cut, exemplars).map(|found| found.calls)
    {
        let exact = (calls - calls.round()).abs() < 0.05;
        let about = if exact { "" } else { "about " };
        text.push_str(&format!(", in {about}{} calls one after the other; they could run in parallel", calls.round()));
    }
    text.push('.');
    if cut.shared_share > SHARED {
        let share = percent((cut.shared_share * 10_000.0).round() as u64, 10_000);
        text.push_str(&format!(" {share} of this time was split between requests that cannot be told apart."));
    }
    text
}

fn main_clause(explanation: &Explanation) -> String {
    let cut = explanation.cut;
    let (who, total) = (slowest(&cut.quantile), duration(cut.mean_ns));
    let phrases: Vec<_> = explanation.main.iter().map(|part| phrase(part, cut)).collect();
    let share = |phrase: &Phrase| percent(phrase.mean_ns, cut.mean_ns);
    let most = phrases.iter().map(|phrase| u128::from(phrase.mean_ns)).sum::<u128>() * 2 >= u128::from(cut.mean_ns);
    let against = || format!("{total} against {}", duration(cut.body_mean_ns));
    match phrases.as_slice() {
        [] => format!("Nothing is known of what the {who} waits for"),
        [only] if explanation.main[0].cause == Cause::Unknown => format!(
            "Of {} of the time of the {who} nobody knows what it was ({} of {total}), so that no cause can be named",
            share(only),
            duration(only.mean_ns)
        ),
        [only] if !explanation.clear => format!(
            "Slow requests take hardly longer than others ({}); {} of the time of the {who} is {}: {}",
            against(),
            share(only),
            only.text,
            duration(only.mean_ns)
        ),
        [first, second, ..] if !explanation.clear => format!(
            "Slow requests take hardly longer than others ({}); the time of the {who} is mostly {} ({}) and {} ({})",
            against(),
            first.text,
            share(first),
            second.text,
            share(second)
        ),
        [only] if most => {
            format!("{} of the {who} is {}: {} of {total}", share(only), only.text, duration(only.mean_ns))
        }
        [first, second, ..] if most => format!(
            "The {who} is mostly {} ({}, {} of {total}) and {} ({}, {})",
            first.text,
            share(first),
            duration(first.mean_ns),
            second.text,
            share(second),
            duration(second.mean_ns)
        ),
        // Slower than the rest by something that is not most of its time: only the difference has a cause.
        some => {
            let excess = cut.mean_ns.saturating_sub(cut.body_mean_ns);
            let parts: Vec<_> = some
                .iter()
                .map(|phrase| {
                    let more = phrase.mean_ns.saturating_sub(phrase.body_mean_ns);
                    format!("{} of it {} ({} more)", percent(more.min(excess), excess), phrase.text, duration(more))
                })
                .collect();
            format!(
                "The {who} takes {} longer than the rest ({}), {}",
                duration(excess),
                against(),
                parts.join(" and ")
            )
        }
    }
}

#[cfg(test)]
mod tests;
