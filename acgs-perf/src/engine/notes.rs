//! What went wrong after the start and is no reason to throw a recording away.
//!
//! In: results. Out: notes for the report, and news for whoever runs the engine; nothing is printed here.

/// Notes, in the order in which they came.
#[derive(Debug, Default)]
pub struct Notes {
    all: Vec<String>,
    news: Vec<String>,
}

impl Notes {
    /// News that are in the report anyway.
    pub fn tell(&mut self, news: impl Into<String>) {
        self.news.push(news.into());
    }

    /// Adds a note, which is news too.
    pub fn add(&mut self, note: String) {
        self.tell(note.clone());
        self.all.push(note);
    }

    /// The value, or a note that says what is missing and why.
    pub fn unless<T, E: Into<anyhow::Error>>(&mut self, result: Result<T, E>, missing: &str) -> Option<T> {
        result.map_err(|error| self.add(format!("{missing}: {:#}", error.into()))).ok()
    }

    /// The news since the last call.
    pub fn take_news(&mut self) -> Vec<String> {
        std::mem::take(&mut self.news)
    }

    /// All notes.
    pub fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.all)
    }
}
