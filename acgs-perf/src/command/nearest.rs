//! What somebody meant who misspelt a word.
//!
//! In: the word, and those that there are. Out: the one that is so near that no other can be meant, if there is one.

/// The nearest of some words; `None` if none is near.
#[must_use]
pub fn nearest<'a>(word: &str, all: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = all.into_iter().map(|other| (strsim::damerau_levenshtein(word, other), other));
    // A third of the letters may be wrong.
    let (distance, other) = near.min_by_key(|(distance, _)| *distance)?;
    (distance * 3 <= other.chars().count().max(word.chars().count())).then_some(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_third_of_the_letters_may_be_wrong() {
        let words = ["text", "json", "perfetto"];
        assert_eq!(nearest("jsno", words), Some("json"));
        assert_eq!(nearest("prefeto", words), Some("perfetto"));
        assert_eq!(nearest("xml", words), None);
        assert_eq!(nearest("x", []), None);
    }
}
