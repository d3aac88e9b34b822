//! The order of the agent's stages, and which imports go against it.
//!
//! In: the imports of the crate `acgs-perf`. Out: those that point to the right, as pairs of files.
//!
//! Data flows from left to right, and a stage knows those to its left only:
//!
//!     discover → live → snapshot → engine → analysis → report → output → command
//!
//! What is in none of these rooms, such as `sums`, `units` and the root of the crate, stands on the ground floor and is not looked
//! at here; a circle through it is found all the same.

use std::collections::BTreeSet;

use super::imports::Import;
use super::modules::Crate;

/// The root of the crate whose stages these are.
pub const ROOT: &str = "acgs-perf/src/lib.rs";

/// Beginnings of paths below the sources, and the stage from the left; the first that fits counts.
const STAGES: &[(&str, u32)] = &[
    ("discover/", 0),
    ("live/", 1),
    ("snapshot/", 2),
    ("engine/", 3),
    ("analysis/", 4),
    ("report/", 5),
    ("output/", 6),
    ("command/", 7),
];

fn stage(file: &str) -> Option<u32> {
    let below = file.strip_prefix(ROOT.strip_suffix("lib.rs")?)?;
    STAGES.iter().find(|(start, _)| below.starts_with(start)).map(|(_, stage)| *stage)
}

/// Pairs of files, the one that imports first, whose import points to the right.
pub fn backwards(krate: &Crate, imports: &BTreeSet<Import>) -> BTreeSet<(String, String)> {
    let files = imports.iter().map(|import| (&krate.modules[import.from].file, &krate.modules[import.to].file));
    files
        .filter(|(from, to)| stage(from).zip(stage(to)).is_some_and(|(from, to)| from < to))
        .map(|(from, to)| (from.clone(), to.clone()))
        .collect()
}
