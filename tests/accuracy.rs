//! Percentiles against a truth log: the truth server stamps each request after `recv` and after `send`, and the agent's
//! service time must agree with that from p50 to p99.9 within 1 % or 3 µs, whichever is larger. What the report names is the
//! upper end of a bucket, so the truth must be that near to the bucket.
//!
//! The server stays on one CPU, with realtime priority, and the load on another, so that nothing comes between the kernel's
//! event and the stamp.

use std::process::Command;

use acgs_perf_tests::harness::{Service, need_root, run};
use acgs_perf_tests::recording::Recorder;
use acgs_perf_tests::truth::{Log, log::quantile};
use serde_json::Value;

const SERVER: &str = env!("CARGO_BIN_EXE_truth-server");
const LOAD: &str = env!("CARGO_BIN_EXE_truth-load");
const QUANTILES: [(&str, f64); 4] = [("p50_ns", 0.5), ("p90_ns", 0.9), ("p99_ns", 0.99), ("p999_ns", 0.999)];

fn agree(mode: &str, work: &str, distribution: &str, rate: u32, connections: u32, requests: u64) {
    need_root();
    let arguments = ["--mode", mode, "--work", work, "--service", distribution, "--cpu", "1", "--realtime"];
    let server = Service::truth(SERVER, &arguments).unwrap();
    let recording = Recorder::new("truth", &format!("port:{}", server.port)).start().unwrap();
    let mut load = Command::new(LOAD);
    load.args(["--target", &server.address().to_string(), "--rate", &rate.to_string(), "--cpu", "0"]);
    load.args(["--connections", &connections.to_string(), "--requests", &requests.to_string(), "--limit", "90"]);
    let outcome: Value = serde_json::from_str(&run(&mut load).unwrap()).unwrap();
    let report = recording.stop().unwrap();
    let (_, directory) = server.stop().unwrap();
    let truth = Log::read(&directory.path().join("log")).unwrap().service_times();

    assert_eq!(truth.len() as u64, requests, "the log is incomplete: {outcome}");
    report.assert_exact("truth", requests);
    let spread = report.spread("truth", "/requests/service_time");
    assert_eq!(spread.get("count"), requests);
    let histogram = spread.histogram();
    let mut wrong = Vec::new();
    for (field, q) in QUANTILES {
        let (want, high) = (quantile(&truth, q), spread.get(field));
        let low = histogram.lowest_equivalent(high);
        let allowed = (want / 100).max(3000);
        let off = low.saturating_sub(want).max(want.saturating_sub(high));
        let line = format!("{field}: truth {want}, report {low} to {high}, off by {off}, allowed {allowed}");
        println!("{mode} {work} {distribution} {line}");
        if off > allowed {
            wrong.push(line);
        }
    }
    assert!(wrong.is_empty(), "{mode} {work} {distribution}: {wrong:?}");
}

#[test]
fn constant_sleeping() {
    agree("threads", "sleep", "constant:500", 1000, 8, 10_000);
}

#[test]
fn constant_busy() {
    agree("single", "spin", "constant:100", 2000, 8, 20_000);
}

#[test]
fn exponential_sleeping() {
    agree("threads", "sleep", "exponential:1000", 1000, 16, 10_000);
}

#[test]
fn exponential_busy() {
    agree("single", "spin", "exponential:200", 1500, 8, 15_000);
}

#[test]
fn bimodal_sleeping() {
    agree("threads", "sleep", "bimodal:100,50000,0.02", 1000, 32, 10_000);
}

#[test]
fn bimodal_busy() {
    agree("single", "spin", "bimodal:100,50000,0.002", 500, 64, 10_000);
}
