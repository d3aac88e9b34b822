//! What went wrong after the start and is no reason to throw a recording away.
//!
//! In: results, and how to speak to the user. Out: notes for the report, each said when it happens.

/// Notes, in the order in which they came.
#[derive(Debug)]
pub struct Notes {
    all: Vec<String>,
    say: fn(&str),
    note: fn(&str),
}

impl Notes {
    /// None yet. `say` tells the user something, `note` something to be noted.
    pub fn new(say: fn(&str), note: fn(&str)) -> Self {
        Self { all: Vec::new(), say, note }
    }

    /// Tells the user something that is no news to the report.
    pub fn say(&self, text: &str) {
        (self.say)(text);
    }

    /// Tells the user something to be noted that is in the report anyway.
    pub fn tell(&self, note: &str) {
        (self.note)(note);
    }

    /// Adds a note, and says it.
    pub fn add(&mut self, note: String) {
        self.tell(&note);
        self.all.push(note);
    }

    /// The value, or a note that says what is missing and why.
    pub fn unless<T, E: Into<anyhow::Error>>(&mut self, result: Result<T, E>, missing: &str) -> Option<T> {
        result.map_err(|error| self.add(format!("{missing}: {:#}", error.into()))).ok()
    }

    /// All of them.
    pub fn into_vec(self) -> Vec<String> {
        self.all
    }
}
