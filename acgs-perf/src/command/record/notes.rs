//! What went wrong after the start and is no reason to throw a recording away.
//!
//! In: results. Out: notes for the report, each said on standard error when it happens.

use crate::output;

/// Notes, in the order in which they came.
#[derive(Debug, Default)]
pub struct Notes(Vec<String>);

impl Notes {
    /// Adds a note, and says it.
    pub fn add(&mut self, note: String) {
        output::note(&note);
        self.0.push(note);
    }

    /// The value, or a note that says what is missing and why.
    pub fn unless<T, E: Into<anyhow::Error>>(&mut self, result: Result<T, E>, missing: &str) -> Option<T> {
        result.map_err(|error| self.add(format!("{missing}: {:#}", error.into()))).ok()
    }

    /// All of them.
    pub fn into_vec(self) -> Vec<String> {
        self.0
    }
}
