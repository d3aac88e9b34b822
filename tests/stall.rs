//! A single-threaded server that stalls for 200 ms once a second under an open-loop load of 1,000 requests/s.
//!
//! The latency in the report must be what the load generator saw from its intended moments; the service time, which is all
//! that tools see that begin at the application's read, must be visibly blind to the stall.

use std::process::Command;

use acgs_perf_tests::harness::{Service, need_root, run};
use acgs_perf_tests::recording::Recorder;
use serde_json::Value;

const SERVER: &str = env!("CARGO_BIN_EXE_truth-server");
const LOAD: &str = env!("CARGO_BIN_EXE_truth-load");
const MILLISECOND: u64 = 1_000_000;

#[test]
fn a_stall_is_in_the_latency_and_not_in_the_service_time() {
    need_root();
    let server = Service::truth(SERVER, &["--mode", "single", "--stall"]).unwrap();
    let recording = Recorder::new("truth", &format!("port:{}", server.port)).start().unwrap();
    let mut load = Command::new(LOAD);
    load.args(["--target", &server.address().to_string(), "--rate", "1000", "--requests", "7000"]);
    // More connections than requests arrive during a stall: none waits for a connection, all wait for the server.
    load.args(["--connections", "300", "--limit", "60"]);
    let outcome: Value = serde_json::from_str(&run(&mut load).unwrap()).unwrap();
    let report = recording.stop().unwrap();

    report.assert_exact("truth", 7_000);
    let intended = outcome["latency"]["p99_ns"].as_u64().unwrap();
    let latency = report.spread("truth", "/requests/latency").get("p99_ns");
    let service = report.spread("truth", "/requests/service_time").get("p99_ns");
    let queue = report.spread("truth", "/requests/queue_time").get("p99_ns");
    println!("P99: load generator {intended}, latency {latency}, queue time {queue}, service time {service}");
    assert!((150 * MILLISECOND..=210 * MILLISECOND).contains(&intended), "the load itself is off: {outcome}");
    assert!(latency.abs_diff(intended) * 10 <= intended, "latency {latency}, load generator {intended}");
    assert!(queue.abs_diff(intended) * 10 <= intended, "queue time {queue}, load generator {intended}");
    assert!(service < 5 * MILLISECOND, "service time {service}");
}
