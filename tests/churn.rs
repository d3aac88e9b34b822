//! Weeks in a minute: connections, short processes and client addresses by the ten thousand lose nothing, and leave the agent's memory
//! and the kernel's tables as they were.
//!
//! In: a server under churn, recorded by an agent that does twenty times as often what it does at times. With `ACGS_PERF_LONG` in the
//! environment (`cargo xtask test --long`) 600,000 of each, otherwise 20,000 connections and 6,000 processes.

use std::fs;
use std::thread;

use acgs_perf_tests::harness::need_root;
use acgs_perf_tests::hostile::churn::{BATCH, fork, visits};
use acgs_perf_tests::hostile::{Kind, ask, start};
use acgs_perf_tests::recording::{Recorder, Recording};

/// What the agent may grow by, in KiB: the intervals of a recording may take 3 MiB, and twice that while they are merged.
const GROWTH_KIB: u64 = 8 << 10;

fn is_long() -> bool {
    std::env::var_os("ACGS_PERF_LONG").is_some()
}

/// Memory of the agent that is no file, in KiB.
fn memory(recording: &Recording) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", recording.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn connections_processes_and_addresses_by_the_ten_thousand_lose_nothing() {
    need_root();
    let (connections, batches) = if is_long() { (600_000, 600) } else { (20_000, 6) };
    let (server, forks) = (start(Kind::Echo, &[]).unwrap(), start(Kind::Forks, &[]).unwrap());
    let recorder = Recorder::new("hostile", &format!("port:{}", server.port));
    let recorder = recorder.arg("--service").arg(&format!("forks=port:{}", forks.port)).arg("--tuning=speed=20");
    let recording = recorder.duration("3600s").start().unwrap();
    visits(&server, 0..connections / 4);
    fork(&forks, batches / 3);
    let before = memory(&recording);
    visits(&server, connections / 4..connections);
    fork(&forks, batches - batches / 3);
    let after = memory(&recording);
    let report = recording.stop().unwrap();
    println!("{connections} connections and addresses, {} processes: {before} to {after} KiB", batches * BATCH);
    assert_eq!(report.losses_beyond((batches * BATCH).into()), []);
    assert!(after < before + GROWTH_KIB, "{before} to {after} KiB");
    report.assert_requests("hostile", connections.into());
    let tcp = &report.service("hostile")["tcp"];
    assert_eq!(tcp["accepted"].as_u64(), Some(connections.into()));
    let peers = tcp["peers"].as_array().unwrap();
    let of_peers: u64 = peers.iter().map(|peer| peer["connections"].as_u64().unwrap()).sum();
    assert_eq!(of_peers, u64::from(connections), "over {} peers", peers.len());
    assert!(peers.len() <= 2050, "{} peers", peers.len());
    let count = |field: &str| report.integer("forks", field);
    let processes = u64::from(batches * BATCH);
    assert_eq!((count("/processes_forked"), count("/processes_exited")), (processes, processes));
    let of_series = |name: &str| {
        let series = report.service(name)["series"].as_array().unwrap().clone();
        series.iter().map(|point| point["requests"].as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!((of_series("hostile"), of_series("forks")), (connections.into(), batches.into()));
}

#[test]
fn the_maps_of_one_service_are_bounded() {
    need_root();
    let server = start(Kind::Echo, &[]).unwrap();
    // Counters and histograms have a copy for each CPU, at most four.
    let copies = thread::available_parallelism().unwrap().get().next_power_of_two().min(4) as u64;
    let others = "request,sched,tcp,attribution,block_io,memory";
    for (probes, mib) in [("", 4), (",syscalls", 8), (",endpoints", 4 + 8)] {
        let recorder = Recorder::new("hostile", &format!("port:{}", server.port)).arg("--probes");
        let recording = recorder.arg(&format!("{others}{probes}")).start().unwrap();
        ask(&server, 2, 100, 0).unwrap();
        let report = recording.stop().unwrap();
        report.assert_requests("hostile", 100);
        let bytes = report.0["cost"]["map_bytes"].as_u64().unwrap();
        assert!(bytes <= (mib << 20) + copies.saturating_sub(2) * (700 << 10), "{others}{probes}: {bytes} bytes");
    }
}
