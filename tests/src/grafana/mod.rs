//! The dashboards of `deploy/grafana`, made from a few words for each panel.
//!
//! In: `boards`. Out: JSON as Grafana reads it, and all expressions. The files are written by the test below when `ACGS_PERF_ACCEPT` is
//! set, and compared otherwise: nobody edits them.

pub mod boards;
mod model;

pub use model::{Board, Panel, Target};

use std::path::PathBuf;

/// Where the dashboards are.
#[must_use]
pub fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy/grafana/dashboards")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::*;

    #[test]
    fn the_dashboards_in_the_repository_are_these() {
        let mut names = BTreeSet::new();
        for board in boards::all() {
            let name = format!("{}.json", board.uid);
            let path = directory().join(&name);
            let text = board.json();
            if std::env::var_os("ACGS_PERF_ACCEPT").is_some() {
                fs::write(&path, &text).unwrap();
            }
            let found = fs::read_to_string(&path).unwrap_or_default();
            assert!(found == text, "{name} is another; ACGS_PERF_ACCEPT=1 writes it");
            names.insert(name);
        }
        let there = fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert_eq!(there.collect::<BTreeSet<_>>(), names);
    }

    #[test]
    fn panels_do_not_overlap_and_fit() {
        for board in boards::all() {
            let value: serde_json::Value = serde_json::from_str(&board.json()).unwrap();
            let mut taken = BTreeSet::new();
            for panel in value["panels"].as_array().unwrap() {
                let at = |name: &str| panel["gridPos"][name].as_u64().unwrap();
                assert!(at("x") + at("w") <= 24, "{panel}");
                for x in at("x")..at("x") + at("w") {
                    for y in at("y")..at("y") + at("h") {
                        assert!(taken.insert((x, y)), "{}: {panel}", board.uid);
                    }
                }
            }
        }
    }
}
