//! nginx with two workers under `wrk` and `ab`: every request counted, none invented.
//!
//! `wrk` stops each thread after an exact number of replies (fixtures/exact.lua). Before it begins it opens one connection
//! to try the address and closes it without a request; nothing is to be counted for it.

use std::fs;
use std::process::Command;

use acgs_perf_tests::harness::{Service, fixture, free_port, need_root, run, times};
use acgs_perf_tests::nginx;
use acgs_perf_tests::recording::Recorder;

/// What `wrk` may take; it takes all of it, also when its threads have stopped before.
const SECONDS: &str = "3";

fn nginx() -> Service {
    let port = free_port().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().display();
    let server = format!(
        "server {{ listen 127.0.0.1:{port}; location / {{ return 200 'ok'; }} location /file {{ root {path}; }} }}"
    );
    let arguments = nginx::arguments(directory.path(), 2, "", &server).unwrap();
    fs::write(directory.path().join("file"), vec![b'x'; 300_000]).unwrap();
    // The workers run as another user and read the file.
    run(Command::new("chmod").arg("755").arg(directory.path())).unwrap();
    Service::start_in(Command::new("nginx").args(arguments), port, directory).unwrap()
}

fn record(nginx: &Service) -> Recorder {
    Recorder::new("nginx", &format!("port:{}", nginx.port))
}

fn wrk(nginx: &Service, threads: u32, each: u64) -> Vec<String> {
    let (script, url) = (fixture("exact.lua").display().to_string(), format!("http://127.0.0.1:{}/", nginx.port));
    let (threads, each) = (threads.to_string(), each.to_string());
    ["-t", &threads, "-c", &threads, "-d", SECONDS, "-s", &script, &url, "--", &each].map(str::to_owned).to_vec()
}

#[test]
fn counts_what_wrk_completed() {
    need_root();
    let nginx = nginx();
    let recording = record(&nginx).start().unwrap();
    let text = run(Command::new("wrk").args(wrk(&nginx, 4, 6_000))).unwrap();
    assert!(text.contains("exact requests=24000 errors=0"), "{text}");
    recording.stop().unwrap().assert_exact("nginx", 24_000);
}

#[test]
fn counts_what_wrk_completed_around_a_command() {
    need_root();
    let nginx = nginx();
    // A count that is wrong at the edge of a recording is so in one of many.
    for _ in 0..times(4, 10) {
        let (report, text) = record(&nginx).around("wrk", &wrk(&nginx, 2, 6_000)).unwrap();
        assert!(text.contains("exact requests=12000 errors=0"), "{text}");
        report.assert_exact("nginx", 12_000);
    }
}

#[test]
fn counts_what_ab_completed_with_keep_alive() {
    need_root();
    let nginx = nginx();
    let recording = record(&nginx).start().unwrap();
    let text = ab(&nginx, &["-k"], 60_000, "");
    assert!(text.contains("Complete requests:      60000\n"), "{text}");
    recording.stop().unwrap().assert_exact("nginx", 60_000);
}

#[test]
fn counts_what_ab_completed_with_a_connection_per_request() {
    need_root();
    let nginx = nginx();
    let recording = record(&nginx).start().unwrap();
    let text = ab(&nginx, &[], 10_000, "");
    assert!(text.contains("Complete requests:      10000\n"), "{text}");
    recording.stop().unwrap().assert_exact("nginx", 10_000);
}

#[test]
fn a_reply_in_many_sends_is_one_request() {
    need_root();
    let nginx = nginx();
    let recording = record(&nginx).start().unwrap();
    let text = ab(&nginx, &["-k"], 2_000, "file");
    assert!(text.contains("Complete requests:      2000\n") && !text.contains("Non-2xx"), "{text}");
    recording.stop().unwrap().assert_exact("nginx", 2_000);
}

fn ab(nginx: &Service, options: &[&str], requests: u64, path: &str) -> String {
    let url = format!("http://127.0.0.1:{}/{path}", nginx.port);
    run(Command::new("ab").args(options).args(["-q", "-n", &requests.to_string(), "-c", "8", &url])).unwrap()
}
