//! Many connections and many threads: nothing is lost, the parts of every row add up, and the maps stay within their bound.

use std::process::Command;

use acgs_perf_tests::harness::{Service, need_root, program, run};
use acgs_perf_tests::kernel;
use acgs_perf_tests::recording::Recorder;
use acgs_perf_tests::report::Report;
use acgs_perf_tests::vm;
use serde_json::Value;

/// Maps of one service on few CPUs, all probes: what the documentation states, with room for rounding to pages.
const MAP_BYTES: u64 = (8 + 8) << 20;

fn record(mode: &str, connections: u32, rate: u32, requests: u64, script: &str) -> Report {
    need_root();
    let server = Service::truth(program("truth-server"), &["--mode", mode]).unwrap();
    let recording = Recorder::new("truth", &format!("port:{}", server.port)).start().unwrap();
    let mut load = Command::new(program("truth-load"));
    load.args(["--target", &server.address().to_string(), "--rate", &rate.to_string(), "--script", script]);
    load.args(["--connections", &connections.to_string(), "--requests", &requests.to_string(), "--limit", "60"]);
    run(&mut load).unwrap();
    let report = recording.stop().unwrap();
    // Many arrivals at once may interrupt the program that sees them; that no request was lost by it, the count tells.
    report.assert_counted("truth", requests, &[("recursion_misses", requests / 50)]);
    report
}

/// Every request is in a row, and the components of each row add up to its latency.
fn assert_conserved(report: &Report) {
    let rows = report.service("truth")["attribution"]["rows"].as_array().unwrap();
    let integer = |value: &Value| value.as_u64().unwrap();
    assert_eq!(rows.iter().map(|row| integer(&row["count"])).sum::<u64>(), report.requests("truth"));
    for row in rows {
        let parts: u64 = row["component_ns"].as_object().unwrap().values().map(integer).sum();
        assert_eq!(parts, integer(&row["latency_ns"]), "{row}");
    }
    let maps = integer(&report.0["cost"]["map_bytes"]);
    // Before 6.4 the kernel tells how much the maps could take, not how much they take.
    assert!(maps < MAP_BYTES || kernel::older_than(6, 4), "{maps} bytes of maps");
}

#[test]
fn ten_thousand_connections() {
    let (connections, rate, requests) = vm::amount((10_000, 6000, 24_000), (2000, 300, 6000));
    assert_conserved(&record("epoll", connections, rate, requests, "spin:20"));
}

#[test]
fn a_thousand_threads() {
    let (connections, rate, requests) = vm::amount((1000, 4000, 16_000), (300, 200, 3000));
    assert_conserved(&record("threads", connections, rate, requests, "sleep:2000"));
}
