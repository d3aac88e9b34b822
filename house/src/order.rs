//! The order of the agent's stages and of the kernel side's floors, and which imports go against it.
//!
//! In: the imports of the crates `acgs-perf` and `acgs-perf-ebpf`. Out: those that point to the right, as pairs of files.
//!
//! Data flows from left to right, and a stage knows those to its left only:
//!
//!     discover → live → snapshot → store → merge → engine → analysis → report → export → output → serve → command
//!
//! What is in none of these rooms, such as `sums`, `units` and the root of the crate, stands on the ground floor and is not looked
//! at here; a circle through it is found all the same.
//!
//! The kernel side stands on the read-only globals, and each floor uses only what is below, which here is to its left:
//!
//!     globals → kernel → count → state → tables → rules → clocks → hooks

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
    ("store/", 3),
    ("merge/", 4),
    ("engine/", 5),
    ("analysis/", 6),
    ("report/", 7),
    ("export/", 8),
    ("output/", 9),
    ("serve/", 10),
    ("command/", 11),
];

/// The root of the kernel side.
pub const KERNEL_ROOT: &str = "acgs-perf-ebpf/src/main.rs";

/// Beginnings of paths below its sources, and the floor from the ground.
const FLOORS: &[(&str, u32)] = &[
    ("flags.rs", 0),
    ("globals.rs", 0),
    ("kernel/", 1),
    ("count.rs", 2),
    ("state/", 3),
    ("table/", 4),
    ("rules/", 5),
    ("clock/", 6),
    ("hooks/", 7),
];

fn stage(file: &str) -> Option<u32> {
    [(ROOT, STAGES), (KERNEL_ROOT, FLOORS)].into_iter().find_map(|(root, stages)| {
        let below = file.strip_prefix(root.trim_end_matches(|letter| letter != '/'))?;
        stages.iter().find(|(start, _)| below.starts_with(start)).map(|(_, stage)| *stage)
    })
}

/// Pairs of files, the one that imports first, whose import points to the right.
pub fn backwards(krate: &Crate, imports: &BTreeSet<Import>) -> BTreeSet<(String, String)> {
    let files = imports.iter().map(|import| (&krate.modules[import.from].file, &krate.modules[import.to].file));
    files
        .filter(|(from, to)| stage(from).zip(stage(to)).is_some_and(|(from, to)| from < to))
        .map(|(from, to)| (from.clone(), to.clone()))
        .collect()
}
