//! Text for people, line by line, and the only place that cleans it.
//!
//! In: lines that may hold what others chose: command names, socket paths, texts of a foreign report. Out: a [`Page`], in which
//! every newline is one that we wrote and no other character drives a terminal. [`clean`] is where that is decided; whoever
//! prints takes pages, so that nothing goes past it.

use std::borrow::Cow;
use std::fmt;

/// What stands for a character that was taken out.
const REPLACEMENT: char = '?';

/// Whether a character would act on a terminal instead of being shown: C0, DEL and C1 begin escape sequences or move the cursor,
/// a newline among them forges a line; the marks of writing direction (Unicode TR 36) make text read as another one.
pub(super) fn is_foul(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// One line without characters that act on a terminal; as many characters as before, so that columns keep their width.
#[must_use]
pub fn clean(line: &str) -> Cow<'_, str> {
    match line.contains(is_foul) {
        true => Cow::Owned(line.chars().map(|c| if is_foul(c) { REPLACEMENT } else { c }).collect()),
        false => Cow::Borrowed(line),
    }
}

/// Lines for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page(String);

impl Page {
    /// A page with one line.
    #[must_use]
    pub fn of(line: &str) -> Self {
        let mut page = Self::default();
        page.line(line);
        page
    }

    /// Adds a line. What looks like several becomes one.
    pub fn line(&mut self, line: &str) {
        self.0.push_str(&clean(line));
        self.0.push('\n');
    }

    /// Adds several lines.
    pub fn lines<L: AsRef<str>>(&mut self, lines: impl IntoIterator<Item = L>) {
        lines.into_iter().for_each(|line| self.line(line.as_ref()));
    }

    /// The text; each line ends in a newline.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An error that comes with a list, such as what could have been named instead.
#[derive(Debug)]
pub struct WithList {
    /// What is wrong.
    pub what: String,
    /// A line each.
    pub list: Vec<String>,
}

impl fmt::Display for WithList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for WithList {}

/// JSON that does not drive a terminal either: the same value, with the characters that JSON lets stand written as escapes.
#[must_use]
pub(super) fn escaped(json: &str) -> Cow<'_, str> {
    // A newline stands between tokens only: in a string JSON itself escapes it, as all of C0.
    let acts = |c: char| is_foul(c) && c != '\n';
    if !json.contains(acts) {
        return Cow::Borrowed(json);
    }
    let mut text = String::with_capacity(json.len() + 64);
    for c in json.chars() {
        match acts(c) {
            // All of them are below U+10000: one escape each.
            true => text.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => text.push(c),
        }
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_acts_on_a_terminal_is_left() {
        let foul = "\x1b]0;x\x07|\x00\t\r\n\x7f|\u{80}\u{9b}2J\u{9f}|\u{202a}\u{202e}\u{2066}\u{2069}|ä 漢 →";
        assert_eq!(clean(foul), "?]0;x?|?????|??2J?|????|ä 漢 →");
        assert!(matches!(clean("redis-server 42"), Cow::Borrowed(_)));
        assert_eq!(clean("\u{2029}\u{200e}\u{206a}").chars().count(), 3, "what is none of these stays");
    }

    #[test]
    fn a_value_forges_no_line() {
        let mut page = Page::of("pid 7 x\nok: verified");
        page.lines(["a", "b\u{85}c"]);
        assert_eq!(page.as_str(), "pid 7 x?ok: verified\na\nb?c\n");
    }

    #[test]
    fn json_stays_the_same_value() {
        let value = serde_json::json!({ "name": "\u{1b}[2J\u{7f}\u{9b}\u{202e}ä", "pid": 7 });
        let text = serde_json::to_string_pretty(&value).unwrap();
        let shown = escaped(&text);
        assert!(!shown.contains(|c| is_foul(c) && c != '\n'), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }
}
