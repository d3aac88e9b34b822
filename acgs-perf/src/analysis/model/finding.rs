//! What deserves attention: types only.
//!
//! In: filled by `analysis::findings` with numbers, and by `output::words` with sentences about them. Out: part of `root::Report`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Number;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// An objective is missed.
    Critical,
    /// A result may be incomplete, or an objective is at risk.
    Warning,
    /// Worth knowing.
    Info,
}

/// How sure a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// Its figures were counted, and mean nothing else.
    High,
    /// Its figures were counted; there may be another reason for them.
    Medium,
    /// A hint: something to look at.
    Low,
}

/// Something that deserves attention, with its evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// Kind of finding; stable, fit for a filter.
    pub id: String,
    /// How much it matters.
    pub severity: Severity,
    /// The service; absent when it concerns the whole recording.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The endpoint of the service; absent when it concerns all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The numbers that show it; absent in reports of schema version 1.
    #[serde(default)]
    pub figures: Vec<Figure>,
    /// Of the time of the slowest requests, how much this is, four decimals; absent where that is not the question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// About what the P99 of the service would be without it; absent where that cannot be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub would_fall_to_ns: Option<u64>,
    /// How sure it is; absent in reports of older agents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<Confidence>,
    /// The page of the documentation that explains it: `findings/ID.md`; absent in reports of older agents.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub page: String,
    /// What is the case, in one line.
    pub title: String,
    /// The numbers in words.
    pub evidence: String,
    /// What to do about it.
    pub recommendation: String,
    /// What that would bring, in words; absent where it cannot be told.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub gain: String,
}

/// A number that shows something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Figure {
    /// What it is; stable, fit for a filter.
    pub what: String,
    /// Whose it is, where there are several: a peer, a process, a probe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// The number.
    pub value: Number,
    /// Its unit.
    pub unit: Unit,
    /// What it is to be compared with, in the same unit: the objective, the rest of the requests, the limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against: Option<Number>,
}

/// Unit of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Nanoseconds.
    Ns,
    /// Pieces.
    Count,
    /// Per second.
    PerS,
    /// Per request.
    PerRequest,
    /// Millionths.
    Ppm,
    /// Bytes.
    Bytes,
}

impl Figure {
    /// A whole number.
    #[must_use]
    pub fn new(what: &str, value: u64, unit: Unit) -> Self {
        Self { what: what.into(), of: None, value: value.into(), unit, against: None }
    }

    /// A number with decimals; `None` for what is no number.
    #[must_use]
    pub fn decimal(what: &str, value: f64, unit: Unit) -> Option<Self> {
        Some(Self { value: Number::from_f64(value)?, ..Self::new(what, 0, unit) })
    }

    /// Whose it is.
    #[must_use]
    pub fn of(self, who: impl Into<String>) -> Self {
        Self { of: Some(who.into()), ..self }
    }

    /// What it is to be compared with.
    #[must_use]
    pub fn against(self, value: impl Into<Number>) -> Self {
        Self { against: Some(value.into()), ..self }
    }

    /// As [`Self::against`], for a number with decimals.
    #[must_use]
    pub fn against_decimal(self, value: f64) -> Self {
        Self { against: Number::from_f64(value), ..self }
    }
}
