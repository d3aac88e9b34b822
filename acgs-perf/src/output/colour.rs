//! Colour: for the verdict, for how much a finding matters, and for what to do.
//!
//! In: text that has been cleaned. Out: the same with the sequences that colour it. Only for a terminal, unless the command line says otherwise; and not where
//! `NO_COLOR` is set (<https://no-color.org>).

use std::sync::atomic::{AtomicU8, Ordering};

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Colour {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// What the command line says.
static CHOICE: AtomicU8 = AtomicU8::new(Colour::Auto as u8);

const RED: &str = "31;1";
const YELLOW: &str = "33";
const GREEN: &str = "32;1";
const BLUE: &str = "36";
const BOLD: &str = "1";

/// Verdicts, as they stand behind the name of a service.
const VERDICTS: [(&str, &str); 5] = [
    ("   MET", GREEN),
    ("   MISSED", RED),
    ("   TOO FEW REQUESTS TO TELL", YELLOW),
    ("   NOT TESTED", YELLOW),
    ("   NOT MEASURED", YELLOW),
];
/// What lines begin with.
const LABELS: [(&str, &str); 4] =
    [("  critical ", RED), ("  warning ", YELLOW), ("  info ", BLUE), ("               → ", BOLD)];

/// Sets what the command line says.
pub fn choose(colour: Colour) {
    CHOICE.store(colour as u8, Ordering::Relaxed);
}

/// Whether to use colour.
pub fn is_wanted(is_terminal: bool) -> bool {
    let choice = CHOICE.load(Ordering::Relaxed);
    match choice {
        _ if choice == Colour::Always as u8 => true,
        _ if choice == Colour::Never as u8 => false,
        _ => is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
    }
}

/// The text in colour.
pub fn painted(text: &str) -> String {
    let mut painted = String::with_capacity(text.len() + 256);
    for line in text.split_inclusive('\n') {
        match part(line) {
            Some((from, to, colour)) => {
                painted.push_str(&line[..from]);
                painted.push_str(&format!("\x1b[{colour}m{}\x1b[0m{}", &line[from..to], &line[to..]));
            }
            None => painted.push_str(line),
        }
    }
    painted
}

/// The part of a line that has a colour.
fn part(line: &str) -> Option<(usize, usize, &'static str)> {
    if let Some((label, colour)) = LABELS.iter().find(|(label, _)| line.starts_with(label)) {
        return Some((label.len() - label.trim_start().len(), label.len(), colour));
    }
    // A verdict stands in a line that begins with a name.
    if line.starts_with(' ') {
        return None;
    }
    VERDICTS.iter().find_map(|(verdict, colour)| {
        let from = line.find(verdict)? + 3;
        Some((from, from + verdict.len() - 3, *colour))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_and_what_matters_have_a_colour_and_the_rest_has_none() {
        let text = "api   MISSED   p99 7 ms\n  critical     x MISSED\n               → do it\n  requests     1   MET\n";
        assert_eq!(
            painted(text),
            "api   \x1b[31;1mMISSED\x1b[0m   p99 7 ms\n  \x1b[31;1mcritical \x1b[0m    x MISSED\n               \x1b[1m→ \x1b[0mdo it\n  \
             requests     1   MET\n"
        );
        let plain = "nothing\n\nto paint";
        assert_eq!(painted(plain), plain);
    }

    #[test]
    fn a_file_gets_no_colour_unless_it_is_asked_for() {
        assert!(!is_wanted(false));
        choose(Colour::Always);
        assert!(is_wanted(false));
        choose(Colour::Never);
        assert!(!is_wanted(true));
        choose(Colour::Auto);
    }
}
