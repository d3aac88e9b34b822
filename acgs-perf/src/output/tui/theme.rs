//! How things look: few colours, which are to be read on a light screen as on a dark one, and none that says what no word says.
//!
//! In: what a piece means. Out: its style. With `NO_COLOR` in the environment (https://no-color.org) there are no colours: what is bold, dim
//! or reversed stays so. Yellow and blue are not used: one cannot be read on white, the other not on black.

use ratatui_core::style::{Color, Modifier, Style};

use crate::report::{Severity, Verdict};

/// The looks.
#[derive(Clone, Copy, Debug)]
pub struct Theme {
    has_colour: bool,
}

impl Theme {
    /// With colours or without.
    #[must_use]
    pub fn new(has_colour: bool) -> Self {
        Self { has_colour }
    }

    /// As the environment wants it.
    #[must_use]
    pub fn of_environment() -> Self {
        Self::new(std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()))
    }

    fn colour(self, colour: Color) -> Style {
        if self.has_colour { Style::new().fg(colour) } else { Style::new() }
    }

    /// What is well.
    pub fn good(self) -> Style {
        self.colour(Color::Green)
    }

    /// What is bad.
    pub fn bad(self) -> Style {
        self.colour(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// What deserves a look.
    pub fn doubtful(self) -> Style {
        self.colour(Color::Magenta)
    }

    /// What is less important than the rest.
    pub fn minor(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// A heading.
    pub fn heading(self) -> Style {
        self.colour(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    /// What is most important.
    pub fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// The head of a table, the line that is chosen.
    pub fn reversed(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// A verdict.
    pub fn verdict(self, verdict: Option<Verdict>) -> Style {
        match verdict {
            Some(Verdict::Met) => self.good(),
            Some(Verdict::Missed) => self.bad(),
            Some(Verdict::TooFew | Verdict::NotTested) => self.doubtful(),
            None => self.minor(),
        }
    }

    /// A finding.
    pub fn severity(self, severity: Severity) -> Style {
        match severity {
            Severity::Critical => self.bad(),
            Severity::Warning => self.doubtful(),
            Severity::Info => self.heading(),
        }
    }

    /// A part of a bar, by its number among the kinds: neighbours look different, and each has its letter.
    pub fn part(self, kind: usize) -> Style {
        const COLOURS: [Color; 5] = [Color::Cyan, Color::Magenta, Color::Green, Color::Red, Color::Reset];
        let style = self.colour(COLOURS[kind % COLOURS.len()]);
        if kind / COLOURS.len() % 2 == 1 { style.add_modifier(Modifier::BOLD) } else { style }
    }
}
