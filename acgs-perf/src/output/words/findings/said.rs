//! What is said of a finding, and its figures as they are where nothing better is known.

use crate::report::{Figure, Finding, Unit};
use crate::units::{duration, grouped};

/// Title, evidence, recommendation.
pub struct Words(pub String, pub String, pub String);

/// The figures one after the other, where nothing better is known.
pub fn numbers(finding: &Finding) -> String {
    let one = |figure: &Figure| {
        let value = match (figure.unit, figure.value.as_u64()) {
            (Unit::Ns, Some(ns)) => duration(ns),
            (_, Some(count)) => grouped(count),
            (_, None) => figure.value.to_string(),
        };
        format!("{} {value}", figure.what.replace('_', " "))
    };
    finding.figures.iter().map(one).collect::<Vec<_>>().join(", ")
}
