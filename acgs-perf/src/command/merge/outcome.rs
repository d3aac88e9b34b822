//! What a merge comes to, and how mistakes are told.
//!
//! In: what was merged; reasons why not. Out: the bytes and what they are of; an error with a line for each.

use std::collections::BTreeSet;

use crate::merge::{Head, Refusal};
use crate::output::WithList;
use crate::units::grouped;

/// What is merged, and what that is of.
pub struct Merged {
    /// What is to be written.
    pub bytes: Vec<u8>,
    /// Hosts that it is of.
    pub hosts: usize,
    /// Services in it.
    pub services: usize,
    /// The time in which something was recorded.
    pub duration_ns: u64,
}

/// An error that names what is not to be added.
pub fn not_added(refusals: &[Refusal]) -> anyhow::Error {
    all("these recordings are not to be added, and nothing was written", refusals.iter().map(ToString::to_string))
}

/// How many hosts these are of.
pub fn hosts(heads: &[Head]) -> usize {
    heads.iter().map(Head::host).collect::<BTreeSet<_>>().len()
}

/// An error with a line for each of several things.
pub fn all(what: &str, list: impl IntoIterator<Item = String>) -> anyhow::Error {
    WithList { what: what.to_owned(), list: list.into_iter().collect() }.into()
}

/// A number of things.
pub fn count(number: usize, of: &str) -> String {
    format!("{} {of}{}", grouped(number as u64), if number == 1 { "" } else { "s" })
}
