//! Verdicts, and what decides them: types only.
//!
//! In: given by `analysis::verdict`. Out: part of what is said of a service, and of an endpoint.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether an objective is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Both parts hold: the whole confidence interval of the P99 is below the objective, and the rate is above its.
    Met,
    /// The P99 is at or above its objective beyond doubt; or requests were left without an answer, or refused, at a rate that is not above
    /// its; or more than a few connections were refused; or nothing was answered, though there was something to answer.
    Missed,
    /// The requests seen cannot decide.
    // As schema version 1 called it.
    #[serde(alias = "too few requests to tell")]
    TooFew,
    /// Fewer requests came than the objective asks for, and all of them were answered.
    NotTested,
}

/// What decided a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Because {
    /// The request probe was not active.
    NotMeasured,
    /// No request was answered.
    NothingAnswered,
    /// No request was answered, though there was something to answer.
    Unanswered,
    /// The P99 is at least so long.
    P99AtLeast,
    /// The P99 is at most so long.
    P99AtMost,
    /// The objective lies within the confidence interval of the P99.
    IntervalHoldsObjective,
    /// So few requests give no upper end of the interval.
    FewRequests,
    /// The upper end of the interval is over range.
    OverRange,
    /// The upper end of the interval lies among requests that have no end.
    WithoutEnd,
    /// The rate is not above the objective.
    LowRate,
    /// The rate is not above the objective, and requests were left without an answer, or refused.
    LeftAtLowRate,
    /// Listeners refused more than one connection for each hundred requests.
    Refused,
    /// The window has no length, so there is no rate.
    NoRate,
    /// The verdict is that of the worst endpoint.
    WorstEndpoint,
}
