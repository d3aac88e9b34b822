//! How fast the budget may burn before somebody is told: constants, for the rules of Prometheus and for the agent's own alerts.
//!
//! The objective is about the P99, so that one request in a hundred may be slow: that is the budget. A page is due when it burns 14.4
//! times as fast as it may over an hour, and still does over 5 minutes, or 6 times over 6 hours and 30 minutes; a ticket at its own speed
//! over 3 days and 6 hours (Google, The Site Reliability Workbook, chapter 5).

use serde::{Deserialize, Serialize};

/// One in a hundred.
pub const BUDGET: f64 = 0.01;
/// Fewer requests in the longer window than this tell nothing: a single slow one would be a page.
pub const MIN_REQUESTS: u32 = 500;
/// Minutes of the longest window.
pub const LONGEST: u32 = 3 * 24 * 60;

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Somebody should be woken.
    Page,
    /// Somebody should look at it in the next days.
    Ticket,
}

/// How fast the budget burns, and over how many minutes: the longer time says that it matters, the shorter one that it still goes on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Burn {
    /// So many times as fast as it may.
    pub factor: f64,
    /// The longer window.
    pub long: u32,
    /// The shorter one.
    pub short: u32,
}

const PAGES: [Burn; 2] = [Burn { factor: 14.4, long: 60, short: 5 }, Burn { factor: 6.0, long: 360, short: 30 }];
const TICKETS: [Burn; 1] = [Burn { factor: 1.0, long: LONGEST, short: 360 }];

impl Severity {
    /// Both, what matters more first.
    pub const ALL: [Self; 2] = [Self::Page, Self::Ticket];

    /// Any of these is enough.
    #[must_use]
    pub fn burns(self) -> &'static [Burn] {
        match self {
            Self::Page => &PAGES,
            Self::Ticket => &TICKETS,
        }
    }

    /// As a label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Ticket => "ticket",
        }
    }
}

impl Burn {
    /// The share of slow requests above which it is due.
    #[must_use]
    pub fn limit(&self) -> f64 {
        // Rounded, because 14.4 × 0.01 is not 0.144 in binary.
        (self.factor * BUDGET * 1e6).round() / 1e6
    }
}

/// A window as Prometheus and people write it.
#[must_use]
pub fn window(minutes: u32) -> String {
    match minutes {
        minutes if minutes % 1440 == 0 => format!("{}d", minutes / 1440),
        minutes if minutes % 60 == 0 => format!("{}h", minutes / 60),
        minutes => format!("{minutes}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_windows_are_those_of_the_book() {
        let all: Vec<_> = Severity::ALL.iter().flat_map(|severity| severity.burns()).collect();
        assert_eq!(all.iter().map(|burn| burn.limit()).collect::<Vec<_>>(), [0.144, 0.06, 0.01]);
        let windows: Vec<_> = all.iter().map(|burn| (window(burn.long), window(burn.short))).collect();
        let words = |long: &str, short: &str| (long.to_owned(), short.to_owned());
        assert_eq!(windows, [words("1h", "5m"), words("6h", "30m"), words("3d", "6h")]);
        assert!(all.iter().all(|burn| burn.long <= LONGEST && burn.short < burn.long));
    }
}
