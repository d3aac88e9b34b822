//! Redis, nginx and PostgreSQL at the same time, under load that keeps every CPU busy: every request counted, none invented, nothing
//! lost.
//!
//! In: the services, `redis-benchmark`, `ab` and the tests' own generator, and threads that take the CPU away from all of these. Out:
//! counts, which are those of the load. With `ACGS_PERF_LONG` in the environment five million requests on Redis and a million on
//! each of the others.

use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use acgs_perf_load::postgres::{Mode, Postgres};
use acgs_perf_load::{Client, Messages, Plan};
use acgs_perf_tests::busy::Busy;
use acgs_perf_tests::harness::{Service, free_port, need_root, run};
use acgs_perf_tests::recording::Recorder;
use acgs_perf_tests::{nginx, postgres, redis};

/// `redis-benchmark` asks for the configuration first; see `services_redis.rs`.
const HANDSHAKE: u64 = 2;
/// A moment at which whoever runs loses the CPU.
const EVERY_NS: u64 = 500_000;
const LIMIT: Duration = Duration::from_secs(3_000);

fn nginx_with_two_workers() -> Service {
    let (port, directory) = (free_port().unwrap(), tempfile::tempdir().unwrap());
    let server = format!("server {{ listen 127.0.0.1:{port}; location / {{ return 200 'ok'; }} }}");
    let arguments = nginx::arguments(directory.path(), 2, "", &server).unwrap();
    Service::start_in(Command::new("nginx").args(arguments), port, directory).unwrap()
}

#[test]
fn three_services_at_once_are_exact_while_every_cpu_is_busy() {
    need_root();
    let is_long = std::env::var_os("ACGS_PERF_LONG").is_some();
    let (commands, pages, queries) = if is_long { (5_000_000, 1_000_000, 1_000_000) } else { (40_000, 8_000, 4_000) };
    let (redis, nginx, postgres) = (redis::start().unwrap(), nginx_with_two_workers(), postgres::start().unwrap());
    // Connected before the recording begins, so that only queries are in it.
    let (protocol, messages) = Postgres::new("postgres", "postgres", &["SELECT 1"], Mode::Simple);
    let mut client = Client::new(postgres.address(), 4, Messages::rotating(messages, protocol), false).unwrap();
    client.open().unwrap();
    client.run(Plan { rate: None, requests: 100, limit: LIMIT }).unwrap();
    let mut recorder = Recorder::new("redis", &format!("port:{}", redis.port)).duration("3600s");
    for (name, port) in [("nginx", nginx.port), ("postgres", postgres.port)] {
        recorder = recorder.arg("--service").arg(&format!("{name}=port:{port}"));
    }
    let recording = recorder.start().unwrap();
    let busy = Busy::start(EVERY_NS);
    let (on_redis, on_nginx) = (redis.port, nginx.port);
    let loads = [
        thread::spawn(move || {
            let arguments = ["-t", "get", "-c", "50", "-q", "-n", &commands.to_string(), "-p", &on_redis.to_string()];
            run(Command::new("redis-benchmark").args(arguments).stdin(Stdio::null())).unwrap();
        }),
        thread::spawn(move || {
            let url = format!("http://127.0.0.1:{on_nginx}/");
            let text = run(Command::new("ab").args(["-k", "-q", "-c", "8", "-n", &pages.to_string(), &url])).unwrap();
            let complete = format!("Complete requests:      {pages}\n");
            assert!(text.contains(&complete) && text.contains("Failed requests:        0\n"), "{text}");
        }),
        thread::spawn(move || {
            let outcome = client.run(Plan { rate: None, requests: queries, limit: LIMIT }).unwrap();
            assert_eq!((outcome.completed, outcome.errors()), (queries, 0));
        }),
    ];
    let outcomes = loads.map(thread::JoinHandle::join);
    busy.stop().unwrap();
    outcomes.into_iter().for_each(|outcome| outcome.unwrap());
    let report = recording.stop().unwrap();
    for (name, requests) in [("redis", commands + HANDSHAKE), ("nginx", pages), ("postgres", queries)] {
        report.assert_exact(name, requests);
        report.assert_requests(name, requests);
    }
    assert_eq!(report.losses(), [], "the ledger");
    let preempted = report.integer("redis", "/scheduler/switches/involuntary");
    println!("{preempted} times Redis lost its CPU");
    assert!(preempted > 100, "Redis lost its CPU only {preempted} times");
}
