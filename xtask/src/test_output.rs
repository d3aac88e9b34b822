//! What the test runner prints.
//!
//! In: a line of its output. Out: how many tests passed and failed.

/// Tests that passed and that failed, by a line of the test runner: `test result: ok. 3 passed; 1 failed; 0 ignored; …`.
pub fn summary(line: &str) -> (u64, u64) {
    let Some((_, counts)) = line.strip_prefix("test result:").and_then(|rest| rest.split_once(". ")) else {
        return (0, 0);
    };
    let number = |word: &str| {
        let part = counts.split(';').map(str::trim).find_map(|part| part.strip_suffix(word))?;
        part.trim().parse::<u64>().ok()
    };
    (number("passed").unwrap_or(0), number("failed").unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::summary;

    #[test]
    fn counts_passed_and_failed_but_not_ignored() {
        assert_eq!(
            summary("test result: ok. 3 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.00s"),
            (3, 0)
        );
        assert_eq!(summary("test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out"), (3, 2));
        assert_eq!(summary("running 3 tests"), (0, 0));
    }
}
