//! Every CPU busy, more threads than CPUs, and threads that lose their CPU at any place: all sums are exact.
//!
//! In: servers with a thread for each connection, closed loops on them, and on each CPU a thread that wakes every fraction of a
//! millisecond before all others. Out: what the load's own logs say, in each sum of the report that counts the same thing another
//! way. In a virtual machine the kernel preempts itself wherever it can, from 6.3 on. With `ACGS_PERF_LONG` in the environment twenty times as many requests.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use acgs_perf_load::{Client, Plan};
use acgs_perf_tests::busy::{self, Busy, cpus};
use acgs_perf_tests::harness::{Service, need_root};
use acgs_perf_tests::hostile::{Kind, MESSAGE, request, start};
use acgs_perf_tests::kernel;
use acgs_perf_tests::recording::Recorder;
use acgs_perf_tests::report::Report;
use acgs_perf_tests::vm;
use serde_json::Value;

const NAMES: [&str; 3] = ["first", "second", "third"];
/// So often a load is repeated at most.
const MORE_ROUNDS: u32 = 30;

fn closed_loop(server: &Service, connections: usize, requests: u64) -> u64 {
    let mut client = Client::connect(server.address(), connections, &request(0), MESSAGE).unwrap();
    let limit = vm::patient(Duration::from_secs(600));
    client.run(Plan { rate: None, requests, limit }).unwrap().completed
}

/// Whatever counts requests, or what is one of each, says the same.
fn assert_sums(report: &Report, name: &str, requests: u64) {
    report.assert_exact(name, requests);
    report.assert_requests(name, requests);
    let bytes = requests * MESSAGE as u64;
    assert_eq!(
        (report.integer(name, "/requests/bytes_in"), report.integer(name, "/requests/bytes_out")),
        (bytes, bytes)
    );
    for part in ["latency", "queue_time", "service_time"] {
        let spread = report.spread(name, &format!("/requests/{part}"));
        assert_eq!((spread.get("count"), spread.histogram().len()), (requests, requests), "{name}: {part}");
    }
    let integer = |value: &Value| value.as_u64().unwrap();
    let rows = report.service(name)["attribution"]["rows"].as_array().unwrap();
    let in_rows: u64 = rows.iter().map(|row| integer(&row["latency_ns"])).sum();
    assert_eq!(in_rows, report.spread(name, "/requests/latency").get("sum_ns"), "{name}: latency in rows");
    // A send answers each request, and does nothing else.
    let calls = report.service(name)["syscalls"].as_array().unwrap();
    let sends = calls.iter().find(|call| call["name"] == "sendto").map(|call| integer(&call["count"]));
    assert_eq!(sends, Some(requests), "{name}: calls of sendto");
}

#[test]
fn sums_are_exact_while_every_cpu_is_busy_and_threads_are_preempted() {
    need_root();
    // Where the hooks are the kernel's functions, a program that is preempted keeps the next thread's from running on that CPU: a
    // loss that the ledger tells (docs/limits.md), and not what this is about.
    if !kernel::older_than(6, 3) {
        println!("preemption: {}", busy::preempt_wherever_possible());
    }
    let is_long = std::env::var_os("ACGS_PERF_LONG").is_some();
    let requests = vm::amount(if is_long { 1_000_000 } else { 50_000 }, 2_000);
    let connections = 4 * cpus();
    let servers = NAMES.map(|_| start(Kind::Echo, &[]).unwrap());
    let mut recorder = Recorder::new(NAMES[0], &format!("port:{}", servers[0].port)).duration("3600s");
    for (name, server) in NAMES.iter().zip(&servers).skip(1) {
        recorder = recorder.arg("--service").arg(&format!("{name}=port:{}", server.port));
    }
    let recording = recorder.start().unwrap();
    let busy = Busy::start(vm::amount(150_000, 5_000_000));
    let left = AtomicUsize::new(servers.len());
    let has_seen_all = AtomicBool::new(false);
    let all: BTreeSet<usize> = (0..cpus()).collect();
    let mut ran_on = vec![BTreeSet::new(); servers.len()];
    let completed: Vec<u64> = thread::scope(|scope| {
        let loads = servers.each_ref().map(|server| {
            let (left, has_seen_all) = (&left, &has_seen_all);
            scope.spawn(move || {
                let mut completed = closed_loop(server, connections, requests);
                // On a fast machine that is soon over, before each server's threads have had every CPU.
                for _ in 0..MORE_ROUNDS {
                    if has_seen_all.load(Ordering::Relaxed) {
                        break;
                    }
                    completed += closed_loop(server, connections, requests);
                }
                left.fetch_sub(1, Ordering::Relaxed);
                completed
            })
        });
        while left.load(Ordering::Relaxed) > 0 && loads.iter().any(|load| !load.is_finished()) {
            servers.iter().zip(&mut ran_on).for_each(|(server, seen)| busy::note_cpus(server.pid(), seen));
            has_seen_all.store(ran_on.iter().all(|seen| *seen == all), Ordering::Relaxed);
            thread::sleep(Duration::from_millis(2));
        }
        loads.map(|load| load.join().unwrap()).to_vec()
    });
    busy.stop().unwrap();
    let report = recording.stop().unwrap();
    for (name, &completed) in NAMES.iter().zip(&completed) {
        assert_sums(&report, name, completed);
    }
    assert!(ran_on.iter().all(|seen| *seen == all), "the servers' threads ran on {ran_on:?} of {all:?}");
    let preempted: u64 = NAMES.iter().map(|name| report.integer(name, "/scheduler/switches/involuntary")).sum();
    println!("{preempted} times a thread of the servers lost its CPU");
    let most = completed.into_iter().max().unwrap_or(requests);
    assert!(preempted > most / 100, "only {preempted} times a thread lost its CPU");
}
