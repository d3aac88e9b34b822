//! The HTML pages in Chromium: at the width of a desktop and of a phone, light and dark.
//!
//! In: recordings of the fixtures as pages, and a comparison. Out: a failure where the console says something, a page is wider than its
//! window, axe-core finds what keeps people from reading it, or the script does not do its part. No root, one start of the browser.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use acgs_perf_tests::harness::{fixture, target};
use acgs_perf_tests::recording::agent;
use serde::Deserialize;

/// How a page looked.
#[derive(Debug, Deserialize)]
struct Look {
    file: String,
    width: u32,
    scheme: String,
    /// What the console said.
    said: Vec<String>,
    /// By how much it is wider than the window.
    wide: i64,
    /// The quantile that is shown, before and after the slider is dragged.
    before: String,
    after: String,
    /// Tables that are sorted after a click on each.
    sorted: u32,
    background: String,
    violations: Vec<String>,
}

fn of_agent(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../acgs-perf/fixtures").join(name)
}

/// Runs the agent, and keeps what it prints as a page.
fn page(directory: &Path, name: &str, arguments: &[&Path]) -> PathBuf {
    let verb = if arguments.len() > 1 { "diff" } else { "report" };
    let output = Command::new(agent()).arg(verb).args(arguments).args(["--format", "html"]).output().unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stdout.len() < 1_000_000, "{name}: {} bytes", output.stdout.len());
    let path = directory.join(name);
    fs::write(&path, output.stdout).unwrap();
    path
}

/// axe-core, where the tests' Python environment has it.
fn axe() -> PathBuf {
    let below = fs::read_dir(target().join("venv/lib")).unwrap().map(|entry| entry.unwrap().path());
    let found = below.map(|python| python.join("site-packages/axe_core_python/axe.min.js")).find(|path| path.exists());
    found.expect("axe-core is missing; run `cargo xtask setup --tests`")
}

#[test]
fn pages_fit_say_nothing_and_can_be_read_by_everybody() {
    let directory = tempfile::tempdir().unwrap();
    let captures = ["captures/7.2.capture", "captures/7.3.capture"].map(of_agent);
    let pages = [
        page(directory.path(), "report.html", &[&of_agent("golden/whole.json")]),
        page(directory.path(), "capture.html", &[&captures[0]]),
        page(directory.path(), "services.html", &[&of_agent("merge/four-services.capture")]),
        page(directory.path(), "compared.html", &[&captures[0], &captures[1]]),
    ];
    let output = Command::new("node").arg(fixture("browser.mjs")).arg(axe()).args(&pages).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let looks: Vec<Look> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(looks.len(), pages.len() * 4);
    for look in &looks {
        let Look { file, width, scheme, .. } = look;
        let of = format!("{file} at {width}, {scheme}");
        assert!(look.said.is_empty(), "{of}: {:?}", look.said);
        assert!(look.wide <= 0, "{of}: {} pixels too wide", look.wide);
        assert!(look.violations.is_empty(), "{of}: {:#?}", look.violations);
        let is_dark = look.background == "rgb(15, 18, 22)";
        assert_eq!(is_dark, scheme == "dark", "{of}: {}", look.background);
        if file.ends_with("report.html") {
            assert_eq!((look.before.as_str(), look.after.as_str()), ("at p99", "at p0"), "{of}: the slider");
            assert!(look.sorted > 0, "{of}: no table was sorted");
        }
    }
}
