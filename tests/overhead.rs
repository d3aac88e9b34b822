//! `--max-overhead`: a real service under load; probes are stopped in order, and requests are counted to the last.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use acgs_perf_load::{Client, Plan};
use acgs_perf_tests::harness::{Service, end, need_root, run};
use acgs_perf_tests::hostile::{Kind, MESSAGE, request, start};
use acgs_perf_tests::recording::{Recorder, agent};
use acgs_perf_tests::redis;
use acgs_perf_tests::report::Report;
use serde_json::Value;

/// `redis-benchmark` asks for the configuration first; see `services_redis.rs`.
const HANDSHAKE: u64 = 2;

fn redis() -> Service {
    redis::start().unwrap()
}

fn benchmark(redis: &Service, requests: u64) -> Command {
    let mut command = Command::new("redis-benchmark");
    let (port, requests) = (redis.port.to_string(), requests.to_string());
    command.args(["-p", &port, "-t", "get", "-n", &requests, "-c", "50", "-q"]).stdin(Stdio::null());
    command
}

/// The probes that were stopped, in the order in which they were: (name, after ns).
fn stopped(report: &Report) -> Vec<(String, u64)> {
    let probes = report.0["probes"].as_array().unwrap();
    let mut stopped: Vec<_> = probes
        .iter()
        .filter(|probe| probe["state"] == "stopped")
        .map(|probe| {
            assert!(probe["reason"].as_str().unwrap().contains("--max-overhead"), "{probe}");
            (probe["name"].as_str().unwrap().to_owned(), probe["stopped_after_ns"].as_u64().unwrap())
        })
        .collect();
    stopped.sort_by_key(|(_, after)| *after);
    stopped
}

fn names(stopped: &[(String, u64)]) -> Vec<&str> {
    stopped.iter().map(|(name, _)| name.as_str()).collect()
}

fn state<'a>(report: &'a Report, name: &str) -> &'a Value {
    let probes = report.0["probes"].as_array().unwrap();
    &probes.iter().find(|probe| probe["name"] == name).unwrap()["state"]
}

fn has_finding(report: &Report) -> bool {
    report.0["findings"].as_array().unwrap().iter().any(|finding| finding["id"] == "overhead_limited")
}

fn sum(report: &Report, pointer: &str, field: &str) -> u64 {
    let rows = report.0.pointer(pointer).and_then(Value::as_array).unwrap_or_else(|| panic!("no {pointer}"));
    rows.iter().map(|row| row[field].as_u64().unwrap()).sum()
}

#[test]
fn a_low_limit_stops_system_calls_first_and_goes_on() {
    need_root();
    let redis = redis();
    let mut recording =
        Recorder::new("redis", &format!("port:{}", redis.port)).arg("--max-overhead=0.1").start().unwrap();
    let mut requests = 0;
    while !recording.said("probe syscalls stopped") {
        run(&mut benchmark(&redis, 20_000)).unwrap();
        requests += 20_000 + HANDSHAKE;
        assert!(requests < 2_000_000, "nothing is stopped");
    }
    run(&mut benchmark(&redis, 20_000)).unwrap();
    requests += 20_000 + HANDSHAKE;
    let report = recording.stop().unwrap();
    let stopped = stopped(&report);
    println!("{stopped:?} of {requests} requests; {}", report.0["cost"]["overhead"]);
    assert_eq!(stopped[0].0, "syscalls");
    assert!(stopped[0].1 >= 1_900_000_000, "before two intervals have passed");
    assert_eq!(report.losses(), [("probes_stopped".to_owned(), stopped.len() as u64)]);
    assert_eq!((report.requests("redis"), state(&report, "request")), (requests, &Value::from("active")));
    // What it had counted until then stays.
    let read =
        report.service("redis")["syscalls"].as_array().unwrap().iter().find(|call| call["name"] == "read").unwrap();
    let read = read["count"].as_u64().unwrap();
    assert!(read > 1000 && read < requests, "{read} reads of {requests} requests");
    assert!(has_finding(&report));
}

#[test]
fn a_high_limit_stops_nothing() {
    need_root();
    let redis = redis();
    let recording = Recorder::new("redis", &format!("port:{}", redis.port)).arg("--max-overhead=90").start().unwrap();
    // However fast the machine is, two intervals of a second pass meanwhile.
    let (begin, mut requests) = (Instant::now(), 0);
    while begin.elapsed() < Duration::from_millis(2_500) {
        run(&mut benchmark(&redis, 50_000)).unwrap();
        requests += 50_000 + HANDSHAKE;
    }
    let report = recording.stop().unwrap();
    let overhead = &report.0["cost"]["overhead"];
    println!("{overhead}");
    report.assert_exact("redis", requests);
    assert!(stopped(&report).is_empty() && !has_finding(&report));
    assert_eq!(overhead["limit_ppm"].as_u64(), Some(900_000));
    let highest = overhead["highest_ppm"].as_u64().unwrap();
    assert!((1..900_000).contains(&highest) && overhead["intervals"].as_u64() >= Some(2), "{overhead}");
    // Over a million runs of programs a second, of which a tenth are timed, at two readings of a clock each.
    let account = overhead["account_ppm"].as_u64().unwrap();
    assert!(account > 0 && account < highest, "{overhead}");
}

#[test]
fn requests_are_exact_when_all_else_has_been_stopped() {
    need_root();
    let server = start(Kind::Echo, &[]).unwrap();
    let recorder = Recorder::new("echo", &format!("port:{}", server.port)).arg("--max-overhead=0.1");
    let mut recording = recorder.arg("--probes=request,sched,attribution,tcp").start().unwrap();
    let mut client = Client::connect(server.address(), 20, &request(0), MESSAGE).unwrap();
    let plan = Plan { rate: None, requests: 1000, limit: Duration::from_secs(20) };
    let mut requests = 0;
    while !recording.said("probe sched stopped") {
        client.run(plan).unwrap();
        requests += plan.requests;
        assert!(requests < 2_000_000, "nothing is stopped");
    }
    for _ in 0..5 {
        client.run(plan).unwrap();
        requests += plan.requests;
    }
    let report = recording.stop().unwrap();
    let stopped = stopped(&report);
    println!("{stopped:?} of {requests} requests; {}", report.0["cost"]["overhead"]);
    assert_eq!(names(&stopped), ["attribution", "sched"]);
    assert_eq!(report.requests("echo"), requests);
    assert_eq!(report.losses(), [("probes_stopped".to_owned(), 2)]);
    // The rows are those of the requests until then, and still add up.
    let (rows, latency) = ("/services/0/attribution/rows", sum(&report, "/services/0/attribution/rows", "latency_ns"));
    let in_rows = sum(&report, rows, "count");
    assert!(in_rows > 1000 && in_rows < requests, "{in_rows} of {requests} in rows");
    let parts = report
        .0
        .pointer(rows)
        .unwrap()
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|row| row["component_ns"].as_object().unwrap().values());
    assert_eq!(parts.map(|ns| ns.as_u64().unwrap()).sum::<u64>(), latency);
    // Thread states end where the probe was stopped: no thread has more time than the recording had until then.
    let scheduler = &report.service("echo")["scheduler"];
    let blocked: u64 =
        scheduler["blocked"].as_object().unwrap().values().map(|class| class["time_ns"].as_u64().unwrap()).sum();
    let all = blocked + scheduler["on_cpu_ns"].as_u64().unwrap() + scheduler["run_queue_ns"].as_u64().unwrap();
    let threads = 1 + 20;
    assert!(all <= threads * (stopped[1].1 + 100_000_000), "{all} ns of {threads} threads in {} ns", stopped[1].1);
}

struct Load(Child);

impl Drop for Load {
    fn drop(&mut self) {
        end(&mut self.0, libc::SIGTERM);
    }
}

#[test]
fn when_requests_alone_cost_too_much_the_recording_ends() {
    need_root();
    let redis = redis();
    let _load = Load(benchmark(&redis, 5_000_000).stdout(Stdio::null()).spawn().unwrap());
    let recording = Recorder::new("redis", &format!("port:{}", redis.port)).arg("--max-overhead=0.1").start().unwrap();
    let (status, said, report) = recording.finish().unwrap();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("no probe is left to stop"), "{said}");
    let report = report.expect("no report");
    let stopped = stopped(&report);
    println!("{stopped:?}; {}", report.0["cost"]["overhead"]);
    assert_eq!(names(&stopped), ["syscalls", "attribution", "sched", "endpoints"]);
    assert_eq!(report.0["window"]["ended_by"], "overhead");
    assert_eq!(state(&report, "request"), "active");
    assert!(report.requests("redis") > 1000 && has_finding(&report));
    assert_eq!(report.losses(), [("probes_stopped".to_owned(), 4)]);
}

#[test]
fn a_limit_that_is_none_is_refused() {
    need_root();
    for percent in ["0", "-1", "100.1", "nan", "inf", "much", ""] {
        let argument = format!("--max-overhead={percent}");
        let output = Command::new(agent()).args(["record", "--duration", "1s", &argument]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("--max-overhead") && said.trim_end().lines().count() == 1, "{said}");
    }
}
