//! What is said of a finding, the figures that it is said from, and these as they are where nothing better is known.

use crate::report::{Figure, Finding, Unit};
use crate::units::{bytes, duration, grouped, percent};

/// Title, evidence, recommendation.
pub struct Words(pub String, pub String, pub String);

/// The figures one after the other, where nothing better is known.
pub fn numbers(finding: &Finding) -> String {
    let one = |figure: &Figure| {
        let value = match (figure.unit, figure.value.as_u64()) {
            (Unit::Ns, Some(ns)) => duration(ns),
            (Unit::Bytes, Some(count)) => bytes(count),
            (_, Some(count)) => grouped(count),
            (_, None) => figure.value.to_string(),
        };
        format!("{} {value}", figure.what.replace('_', " "))
    };
    finding.figures.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The figures of this name.
pub fn all<'a>(finding: &'a Finding, what: &'a str) -> impl Iterator<Item = &'a Figure> {
    finding.figures.iter().filter(move |figure| figure.what == what)
}

/// The first figure of this name, as a whole number.
pub fn value(finding: &Finding, what: &str) -> u64 {
    all(finding, what).next().map_or(0, number)
}

/// What that figure is compared with.
pub fn against(finding: &Finding, what: &str) -> u64 {
    all(finding, what).next().map_or(0, compared)
}

/// Whose that figure is.
pub fn whose<'a>(finding: &'a Finding, what: &'a str) -> &'a str {
    all(finding, what).next().and_then(|figure| figure.of.as_deref()).unwrap_or("one of them")
}

/// A figure as a whole number.
pub fn number(figure: &Figure) -> u64 {
    figure.value.as_u64().unwrap_or(0)
}

/// What a figure is compared with, as a whole number.
pub fn compared(figure: &Figure) -> u64 {
    figure.against.as_ref().and_then(serde_json::Number::as_u64).unwrap_or(0)
}

/// The first figure of this name as a share of what it is compared with.
pub fn part(finding: &Finding, what: &str) -> String {
    percent(value(finding, what), against(finding, what))
}

/// The share of the slowest requests that a finding explains.
pub fn share(finding: &Finding) -> String {
    percent((finding.share.unwrap_or(0.0) * 10_000.0).round() as u64, 10_000)
}
