//! The pipeline of `docs/ci.md`: the script of `deploy/ci/` saves a baseline, lets the same service pass, and stops a slower one.
//!
//! In: a truth server under an open load. Out: exit codes, JUnit's XML, the summary for a pull request; and what is refused before anything is recorded.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use acgs_perf_tests::harness::{Service, need_root, program};
use acgs_perf_tests::recording::agent;

/// The objective is not what is tested here, on a machine that others use.
const CONFIG: &str = "[objective]\np99_ms = 900.0\nmin_rps = 10.0\n";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn server(sleep_us: u32) -> Service {
    let service = format!("lognormal:{sleep_us},0.2");
    Service::truth(program("truth-server"), &["--mode", "threads", "--work", "sleep", "--service", &service]).unwrap()
}

/// Runs the script in a directory of its own.
fn gate(directory: &Path, server: &Service, variables: &[(&str, &str)]) -> Output {
    fs::write(directory.join("objectives.toml"), CONFIG).unwrap();
    let load = format!(
        "{} --target {} --rate 1000 --arrivals poisson --connections 24 --duration 5 > load.json",
        program("truth-load").display(),
        server.address()
    );
    let mut command = Command::new(root().join("deploy/ci/latency-gate.sh"));
    command.current_dir(directory).env("SERVICE", format!("truth=port:{}", server.port)).env("LOAD", load);
    command.env("ACGS_PERF", agent()).env("OPTIONS", "--config objectives.toml").env("INTERVAL", "100ms");
    command.envs(variables.iter().copied()).output().unwrap()
}

#[test]
fn the_script_saves_a_baseline_lets_the_same_pass_and_stops_what_is_slower() {
    need_root();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let same = server(3_000);
    let missing = gate(path, &same, &[("BASELINE", "nobody")]);
    let line = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(missing.status.code() == Some(2) && line.contains("no baseline nobody"), "{missing:?}");
    let saved = gate(path, &same, &[("SAVE", "yes")]);
    assert_eq!(saved.status.code(), Some(0), "{saved:?}");
    assert!(path.join(".acgs-perf/baselines/main/0001.capture").exists());

    let passed = gate(path, &same, &[]);
    assert_eq!(passed.status.code(), Some(0), "{passed:?}");
    let junit = fs::read_to_string(path.join("acgs-perf/junit.xml")).unwrap();
    assert!(junit.contains("tests=\"3\" failures=\"0\""), "{junit}");

    let stopped = gate(path, &server(4_500), &[]);
    assert_eq!(stopped.status.code(), Some(1), "{stopped:?}");
    let junit = fs::read_to_string(path.join("acgs-perf/junit.xml")).unwrap();
    // On a busy host the run that ends early may be too short to tell of the objective too.
    let regression = junit.split("name=\"regression\"").nth(1).and_then(|rest| rest.split("</testcase>").next());
    assert!(regression.is_some_and(|of| of.contains("<failure") && of.contains("sleep +")), "{junit}");
    let summary = fs::read_to_string(path.join("acgs-perf/summary.md")).unwrap();
    assert!(summary.starts_with("## acgs-perf: failed") && summary.contains("### truth: worse"), "{summary}");

    // What cannot be compared is told before anything is recorded.
    let list = Command::new(agent()).args(["baseline", "list"]).current_dir(path).output().unwrap();
    assert!(String::from_utf8_lossy(&list.stdout).starts_with("main   1 run,"), "{list:?}");
    let other = Command::new(agent())
        .args(["record", "--service", &format!("truth=port:{}", same.port), "--against", "main"])
        .current_dir(path)
        .output()
        .unwrap();
    let line = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(other.status.code() == Some(2) && line.contains("was held against a P99 of 900 ms"), "{other:?}");
}
