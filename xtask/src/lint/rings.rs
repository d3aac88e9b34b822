//! Each file of tests runs in exactly one ring.
//!
//! In: the files of tests, what cargo knows of them, and the tests of each ring. Out: a line for each file that cargo does not
//! know, that no ring or more than one runs, and for each test of a ring that is no file. The virtual machines run tests of the
//! live-kernel ring again, on other kernels; what only they run is a ring of its own.

use std::fs;
use std::path::Path;

use acgs_perf_setup::process::{cargo, output};
use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{rings, vm};

const DIRECTORY: &str = "tests";

/// A ring, and its tests.
type Ring = (&'static str, Vec<&'static str>);

/// The whole check.
pub fn run(root: &Path) -> Result<()> {
    let wrong = check(&files(root)?, &registered()?, &all(), &vm::tests());
    if !wrong.is_empty() {
        bail!("tests and rings: {} rules broken:\n  {}", wrong.len(), wrong.join("\n  "));
    }
    Ok(())
}

/// Each ring with the test files that it runs, and what only the virtual machines run.
fn all() -> Vec<Ring> {
    let mut all: Vec<_> = rings::Ring::ALL.into_iter().map(|ring| (ring.title(), ring.test_files().to_vec())).collect();
    all.push(("virtual machines", vm::own_tests()));
    all
}

/// The files of tests, by their path from the root.
fn files(root: &Path) -> Result<Vec<String>> {
    let directory = root.join(DIRECTORY);
    let entries = fs::read_dir(&directory).with_context(|| format!("list {}", directory.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.with_context(|| format!("list {}", directory.display()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".rs") {
            files.push(format!("{DIRECTORY}/{name}"));
        }
    }
    files.sort();
    Ok(files)
}

/// Name and file of each test target, as cargo knows them.
fn registered() -> Result<Vec<(String, String)>> {
    let text = output(cargo().args(["metadata", "--no-deps", "--offline", "--format-version", "1"]));
    let metadata: Value =
        serde_json::from_str(&text.context("`cargo metadata` failed")?).context("cargo's metadata")?;
    let root = metadata["workspace_root"].as_str().context("no root in cargo's metadata")?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let targets = packages.flat_map(|package| package["targets"].as_array().into_iter().flatten());
    let tests = targets.filter(|target| target["kind"][0] == "test").filter_map(|target| {
        let file = target["src_path"].as_str()?.strip_prefix(root)?.trim_start_matches('/');
        Some((target["name"].as_str()?.to_owned(), file.to_owned()))
    });
    Ok(tests.collect())
}

/// What is in no ring, or in two.
fn check(files: &[String], registered: &[(String, String)], rings: &[Ring], again: &[&str]) -> Vec<String> {
    let mut wrong = Vec::new();
    for file in files {
        let Some((name, _)) = registered.iter().find(|(_, place)| place == file) else {
            wrong.push(format!("{file}: no [[test]] in tests/Cargo.toml, so that nothing builds it"));
            continue;
        };
        let of: Vec<&str> =
            rings.iter().flat_map(|(ring, tests)| tests.iter().filter(|t| *t == name).map(|_| *ring)).collect();
        match of.as_slice() {
            [_] => {}
            [] => wrong.push(format!("{file}: no ring runs `{name}`; put it into one in xtask/src/rings.rs")),
            several => wrong.push(format!("{file}: `{name}` is in {} rings: {}", several.len(), several.join(", "))),
        }
    }
    let known = |name: &str| registered.iter().any(|(registered, _)| registered == name);
    for (ring, tests) in rings {
        let lost = tests.iter().filter(|name| !known(name));
        wrong.extend(lost.map(|name| format!("ring {ring}: `{name}` is no [[test]] of tests/Cargo.toml")));
    }
    let in_a_ring = |name: &&&str| rings.iter().any(|(_, tests)| tests.contains(*name));
    let strays = again.iter().filter(|name| !in_a_ring(name));
    wrong.extend(strays.map(|name| format!("virtual machines: `{name}` is in no ring")));
    wrong
}

#[cfg(test)]
mod tests {
    #[test]
    fn each_test_file_is_in_exactly_one_ring() {
        let registered = [("a", "tests/a.rs"), ("b", "tests/b.rs"), ("old", "tests/old.rs")];
        let registered: Vec<(String, String)> =
            registered.iter().map(|(name, file)| ((*name).to_owned(), (*file).to_owned())).collect();
        let files = ["tests/a.rs", "tests/b.rs", "tests/old.rs"];
        let check = |files: &[&'static str], kernel: &[&'static str], services: &[&'static str], again: &[&str]| {
            let rings = [("kernel", kernel.to_vec()), ("services", services.to_vec()), ("machines", vec!["old"])];
            super::check(&files.iter().map(|file| (*file).to_owned()).collect::<Vec<_>>(), &registered, &rings, again)
        };
        assert_eq!(check(&files, &["a"], &["b"], &["a", "old"]), Vec::<String>::new());
        let planted = [
            (check(&files, &["a"], &[], &[]), "tests/b.rs: no ring runs `b`"),
            (check(&files, &["a", "b"], &["b"], &[]), "tests/b.rs: `b` is in 2 rings: kernel, services"),
            (check(&["tests/new.rs"], &["a"], &["b"], &[]), "tests/new.rs: no [[test]]"),
            (check(&files, &["a", "gone"], &["b"], &[]), "ring kernel: `gone` is no [[test]]"),
            (check(&files, &["a"], &["b"], &["c"]), "virtual machines: `c` is in no ring"),
        ];
        for (wrong, expected) in planted {
            assert!(wrong.len() == 1 && wrong[0].starts_with(expected), "{wrong:?}");
        }
    }
}
