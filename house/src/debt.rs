//! The list of debts: imports and functions that break a rule and were there before it.
//!
//! In: `docs/house-debt.tsv`, and what breaks the rules today. Out: a line for each break that is not on the list, and for each
//! line of the list that is paid. So the list can only shrink.

use std::collections::BTreeSet;
use std::fmt;

/// Where the list is.
pub const FILE: &str = "docs/house-debt.tsv";

/// Where its length is told.
pub const TOLD: &str = "CONTRIBUTING.md";

/// What breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Debt {
    /// `circle`, `order` or `long`.
    pub kind: String,
    /// The file that imports, or that has the function.
    pub from: String,
    /// The file that it imports, or the function.
    pub to: String,
}

impl fmt::Display for Debt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\t{}\t{}", self.kind, self.from, self.to)
    }
}

/// What the list says, and the lines that say nothing. Empty lines and comments are passed over.
pub fn parse(text: &str) -> (BTreeSet<Debt>, Vec<String>) {
    let (mut debts, mut wrong) = (BTreeSet::new(), Vec::new());
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        let place = format!("{FILE}:{}", number + 1);
        let &[kind, from, to] = line.split('\t').collect::<Vec<_>>().as_slice() else {
            wrong.push(format!("{place}: not kind, from and to with tabs between them"));
            continue;
        };
        if !debts.insert(Debt { kind: kind.into(), from: from.into(), to: to.into() }) {
            wrong.push(format!("{place}: twice; remove this line"));
        }
    }
    (debts, wrong)
}

/// Whether the text that tells of the list has its length.
pub fn check_length(text: &str, listed: &BTreeSet<Debt>) -> Option<String> {
    let length = format!("{} debts", listed.len());
    let words: Vec<&str> = text.split_whitespace().collect();
    let is_told =
        words.windows(2).any(|pair| format!("{} {}", pair[0], pair[1].trim_end_matches(['.', ','])) == length);
    (!is_told).then(|| format!("{TOLD}: does not say \"{length}\", the length of {FILE}"))
}

/// Compares the list with what breaks the rules.
pub fn check(listed: &BTreeSet<Debt>, found: &BTreeSet<Debt>) -> Vec<String> {
    let new = found.difference(listed).map(|debt| {
        let Debt { kind, from, to } = debt;
        match kind.as_str() {
            "circle" => format!("{from}: imports {to}, which needs it in turn; a new circle, to be cut"),
            "order" => {
                format!("{from}: imports {to}, which is to its right; a new import against the order of the stages")
            }
            _ => format!("{from}: `{to}` has more than 100 lines"),
        }
    });
    let paid = listed.difference(found).map(|debt| format!("{FILE}: paid, remove this line: {debt}"));
    new.chain(paid).collect()
}
