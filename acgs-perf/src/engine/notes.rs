//! What went wrong after the start and is no reason to throw a recording away.
//!
//! In: results. Out: notes for the report, and news for whoever runs the engine; nothing is printed here.

/// At most so many notes are kept: one that runs for weeks may fail at the same thing each time, in other words.
const MAX_NOTES: usize = 200;
/// Stands for those beyond.
const MORE: &str = "more went wrong than is noted here";

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

    /// Adds a note, which is news too. What was noted before in the same words is neither.
    pub fn add(&mut self, note: String) {
        if self.all.len() > MAX_NOTES || self.all.contains(&note) {
            return;
        }
        let note = if self.all.len() == MAX_NOTES { MORE.to_owned() } else { note };
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
    #[must_use]
    pub fn all(&self) -> &[String] {
        &self.all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_for_weeks_is_noted_once() {
        let mut notes = Notes::default();
        (0..1000).for_each(|_| notes.add("the same".to_owned()));
        assert_eq!((notes.all().len(), notes.take_news().len()), (1, 1));
        (0..1000).for_each(|at| notes.add(format!("another {at}")));
        assert_eq!((notes.all().len(), notes.take_news().len()), (MAX_NOTES + 1, MAX_NOTES));
        assert_eq!(notes.all().last().map(String::as_str), Some(MORE));
    }
}
