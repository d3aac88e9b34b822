//! Each file of tests runs in exactly one ring.
//!
//! In: the files of tests, what cargo knows of them, and the tests of each ring. Out: a line for each file that cargo does not
//! know, that no ring or more than one runs, and for each test of a ring that is no file. The virtual machines run tests of the
//! live-kernel ring again, on other kernels; what only they run is a ring of its own.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process::{cargo, output};

const DIRECTORY: &str = "tests/";

/// A ring, and its tests.
pub type Ring = (&'static str, Vec<&'static str>);

/// Name and file of each test target, as cargo knows them.
pub fn registered() -> Result<Vec<(String, String)>> {
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
pub fn check<'a>(
    files: impl Iterator<Item = &'a str>,
    registered: &[(String, String)],
    rings: &[Ring],
    again: &[&str],
) -> Vec<String> {
    let mut wrong = Vec::new();
    for file in files.filter(|file| file.strip_prefix(DIRECTORY).is_some_and(|name| !name.contains('/'))) {
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
