//! A capture is the recording: analysed again it gives the report that was written beside it, and a damaged one what is whole.
//!
//! In: a server under load, recorded with `--capture`. Out: the same report from the file; and, for whoever runs this in a virtual
//! machine, the file itself on the console, from which `cargo xtask test --vm --accept` makes a fixture.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use acgs_perf_load::{Client, Plan};
use acgs_perf_tests::harness::{Service, need_root, program};
use acgs_perf_tests::hostile::in_vm;
use acgs_perf_tests::recording::{Recorder, agent};
use acgs_perf_tests::report::Report;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const REQUESTS: u64 = 4_000;
const RATE: u32 = 1_000;
/// Characters of a line on the console.
const LINE: usize = 120;

fn acgs_perf(arguments: &[&str]) -> Output {
    Command::new(agent()).args(arguments).output().unwrap()
}

/// Records a server under load; gives the report, and its text.
fn record(capture: &Path) -> (Report, String) {
    let server = Service::truth(program("truth-server"), &["--mode", "threads"]).unwrap();
    let recorder = Recorder::new("truth", &format!("port:{}", server.port));
    // Intervals so short that many replies are under way at their borders.
    let recorder = recorder.arg("--interval").arg("100ms").arg("--capture").arg(capture.to_str().unwrap());
    let recording = recorder.start().unwrap();
    let mut client = Client::connect(server.address(), 4, &[1; 64], 64).unwrap();
    let limit = Duration::from_secs(120);
    client.run(Plan { rate: Some(RATE), requests: REQUESTS, limit }).unwrap();
    recording.stop_with_text().unwrap()
}

#[test]
fn a_capture_gives_the_report_that_was_written_beside_it() {
    need_root();
    let directory = tempfile::tempdir().unwrap();
    let capture = directory.path().join("c.capture");
    let (report, text) = record(&capture);
    let path = capture.to_str().unwrap();
    let again = acgs_perf(&["report", path, "--format", "json"]);
    assert!(again.status.success(), "{again:?}");
    assert_eq!(String::from_utf8(again.stdout).unwrap(), text);
    let verified = acgs_perf(&["verify", path]);
    assert!(verified.status.success() && verified.stdout.starts_with(b"ok: "), "{verified:?}");
    report.assert_exact("truth", REQUESTS);
    // Each reply is in one interval, whatever it did at a border.
    let series = report.service("truth")["series"].as_array().unwrap();
    let of_series: u64 = series.iter().map(|point| point["requests"].as_u64().unwrap()).sum();
    assert_eq!(of_series, report.requests("truth"));
    assert!(series.len() >= 20, "{} points", series.len());
    if in_vm() {
        show(&fs::read(&capture).unwrap());
    }
}

/// Writes a capture to the console, past what captures the output of tests.
fn show(bytes: &[u8]) {
    let text = STANDARD.encode(bytes);
    let lines = text.as_bytes().chunks(LINE).map(|line| format!("@@ capture {}\n", String::from_utf8_lossy(line)));
    std::io::stdout().write_all(lines.collect::<String>().as_bytes()).unwrap();
}

#[test]
fn of_a_capture_that_ends_early_what_is_whole_is_shown() {
    need_root();
    let directory = tempfile::tempdir().unwrap();
    let capture = directory.path().join("c.capture");
    record(&capture);
    let bytes = fs::read(&capture).unwrap();
    fs::write(&capture, &bytes[..bytes.len() - 200]).unwrap();
    let path = capture.to_str().unwrap();
    let shown = acgs_perf(&["report", path]);
    let said = String::from_utf8_lossy(&shown.stderr).into_owned();
    assert_eq!(shown.status.code(), Some(2), "{said}");
    assert!(said.lines().count() == 1 && said.contains("damaged: it ends before its seal"), "{said}");
    assert!(String::from_utf8_lossy(&shown.stdout).contains("answered"), "nothing is shown");
    assert_eq!(acgs_perf(&["verify", path]).status.code(), Some(1));
    // So little that not even its begin is there.
    fs::write(&capture, &bytes[..100]).unwrap();
    let lost = acgs_perf(&["report", path]);
    let said = String::from_utf8_lossy(&lost.stderr).into_owned();
    assert!(lost.status.code() == Some(2) && said.contains("nothing of it can be saved"), "{said}");
    assert!(lost.stdout.is_empty() && said.lines().count() == 1, "{said}");
}

#[test]
fn a_place_where_nothing_can_be_written_is_refused_before_anything_is_recorded() {
    need_root();
    let refused = acgs_perf(&["record", "--service", "x=pid:1", "--capture", "/proc/c.capture", "--output", "-"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("--capture") && said.lines().count() == 1, "{said}");
}
