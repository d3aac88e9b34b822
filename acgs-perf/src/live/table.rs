//! Tables: how a probe says which of its sections go into the report, so that nothing behind it needs to know the probe.
//!
//! In: constants of a probe. Out: [`TableSpec`], from which the report's rows, the published schema and the text are made.

use crate::sums::{Key, Row};

/// A section that goes into the report, a row of the table for each of its rows.
#[derive(Clone, Copy, Debug)]
pub struct TableSpec {
    /// The section; the field of the report has the same name.
    pub section: &'static str,
    /// In the text.
    pub title: &'static str,
    /// For the schema.
    pub meaning: &'static str,
    /// Whose it is.
    pub scope: Scope,
    /// Another probe without which nothing is counted here, so that an empty table would say what nobody has measured.
    pub also_needs: Option<&'static str>,
    /// What names a row.
    pub names: &'static [Name],
    /// The names of a row, in the order of `names`.
    pub row_names: fn(&Key, &Row) -> Vec<String>,
    /// What is counted in a row. Rows are sorted by the first, largest first.
    pub columns: &'static [Column],
}

/// Whose the rows of a table are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// A service's; filled by `ProbeSpec::read`.
    Service,
    /// The recording's as a whole; filled by `ProbeSpec::read_recording`.
    Recording,
}

/// A column that names rows.
#[derive(Clone, Copy, Debug)]
pub struct Name {
    /// Field of the report.
    pub name: &'static str,
    /// For the schema.
    pub meaning: &'static str,
}

/// A column of figures.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Field of the report, with its unit.
    pub name: &'static str,
    /// For the schema.
    pub meaning: &'static str,
    /// Where it comes from.
    pub kind: Kind,
}

/// Where a figure comes from; words are those of `Row::sums`.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A word that counts.
    Count(u32),
    /// A word in bytes.
    Bytes(u32),
    /// A word in ns.
    Time(u32),
    /// A histogram of ns.
    Distribution(Histogram),
    /// An entry of `Row::latest`; the field is absent where there is none.
    Latest(usize),
}

/// The words of a histogram.
#[derive(Clone, Copy, Debug)]
pub struct Histogram {
    /// Its first bucket.
    pub first: u32,
    /// Its buckets.
    pub buckets: u32,
    /// Every power of two is divided into 2^power of them.
    pub power: u32,
    /// What was over range.
    pub over_range: u32,
    /// Sum of all values.
    pub sum: u32,
}
