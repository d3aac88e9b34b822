//! The sections that probes have declared to be tables of the report.
//!
//! In: the sections of a subject. Out: a [`Table`] for each of an active probe, empty where nothing was counted.

use crate::live::probes;
use crate::live::status::{ProbeStatus, has_figures};
use crate::live::table::{Scope, TableSpec};
use crate::snapshot::interval::section;
use crate::sums::{Section, Sections};

/// A table with its rows.
#[derive(Clone, Debug)]
pub struct Table {
    /// What it is.
    pub spec: &'static TableSpec,
    /// Its rows, as they were counted.
    pub rows: Section,
}

/// The tables of this scope whose probes have figures.
pub fn tables(sections: Option<&Sections>, scope: Scope, statuses: &[ProbeStatus]) -> Vec<Table> {
    let wanted = probes::tables().filter(|(probe, spec)| spec.scope == scope && has_figures(statuses, probe.name));
    wanted.map(|(_, spec)| Table { spec, rows: section(sections, spec.section).clone() }).collect()
}
