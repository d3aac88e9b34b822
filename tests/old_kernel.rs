//! A kernel that is too old: the agent says so in one line and ends with exit code 2, and does not crash.
//!
//! Runs only where the kernel is that old; elsewhere it says that there was nothing to show. `cargo xtask test --vm 5.10` has such
//! a kernel.

use std::fs;
use std::process::{Command, Output, Stdio};

use acgs_perf_tests::harness::{need_root, program};
use acgs_perf_tests::kernel;
use acgs_perf_tests::recording::agent;
use serde_json::Value;

/// Storage on tasks came with 5.11, and `bpf_task_pt_regs` with 5.15; the agent needs both.
const FIRST: (u32, u32) = (5, 15);

/// The release, when it is too old.
fn too_old() -> Option<String> {
    need_root();
    let release = kernel::release();
    if !kernel::older_than(FIRST.0, FIRST.1) {
        println!("{release} is no old kernel: nothing to show here; run `cargo xtask test --vm 5.10`");
        return None;
    }
    Some(release)
}

fn run(arguments: &[&str]) -> Output {
    Command::new(agent()).args(arguments).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn the_doctor_says_that_nothing_can_be_recorded_and_why() {
    let Some(release) = too_old() else { return };
    let output = run(&["doctor", "--format", "json"]);
    // Its code for a check that failed: the doctor itself has worked.
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["can_record"], false, "{found}");
    let checks = found["checks"].as_array().unwrap();
    let kernel = checks.iter().find(|check| check["name"] == "kernel").unwrap();
    assert_eq!(kernel["ok"], false, "{kernel}");
    let detail = kernel["detail"].as_str().unwrap();
    assert!(detail.contains(&release) && detail.contains("5.15"), "{detail}");
}

#[test]
fn record_refuses_in_one_line_and_leaves_nothing() {
    let Some(release) = too_old() else { return };
    let directory = tempfile::tempdir().unwrap();
    let report = directory.path().join("report.json").display().to_string();
    let mut waits = Command::new(program("truth-waits"));
    let mut waits = waits.args(["sleep", "--count", "1"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let service = format!("x=pid:{}", waits.id());
    let output = run(&["record", "--service", &service, "--duration", "1s", "--output", &report]);
    let _ = waits.kill();
    waits.wait().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_eq!(text.lines().count(), 1, "more or less than one line: {text}");
    assert!(text.contains(&release) && text.contains("5.15"), "does not say which kernel is needed: {text}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "left a file");
}
