//! Redis under `redis-benchmark`: every request counted, none invented.
//!
//! `redis-benchmark` asks for the server's configuration once, before it begins: two `CONFIG GET` in one write on one
//! connection. They arrive together and are answered together, and are two requests: [`HANDSHAKE`].

use std::process::Command;
use std::thread::{scope, sleep};
use std::time::Duration;

use acgs_perf_load::{Client, Plan};
use acgs_perf_tests::harness::{Service, free_port, need_root, run, times};
use acgs_perf_tests::recording::Recorder;
use acgs_perf_tests::redis;
use acgs_perf_tests::tries::{near, one_of_three};

const HANDSHAKE: u64 = 2;
/// Around a command.
const REQUESTS: u64 = 200_000;

fn redis() -> Service {
    redis::start().unwrap()
}

fn selector(redis: &Service) -> String {
    format!("port:{}", redis.port)
}

fn benchmark(redis: &Service, requests: u64, clients: u32, more: &[&str]) -> Vec<String> {
    let (port, requests, clients) = (redis.port.to_string(), requests.to_string(), clients.to_string());
    let mut arguments = vec!["-p", &port, "-t", "get", "-n", &requests, "-c", &clients, "-q"];
    arguments.extend(more);
    arguments.into_iter().map(str::to_owned).collect()
}

#[test]
fn counts_what_the_benchmark_sent_around_a_command() {
    need_root();
    let redis = redis();
    // A count that is wrong at the edge of a recording is so in one of many.
    for _ in 0..times(4, 10) {
        let arguments = benchmark(&redis, REQUESTS, 50, &[]);
        let (report, _) = Recorder::new("redis", &selector(&redis)).around("redis-benchmark", &arguments).unwrap();
        report.assert_exact("redis", REQUESTS + HANDSHAKE);
    }
}

#[test]
fn counts_requests_on_new_connections() {
    need_root();
    let redis = redis();
    let recording = Recorder::new("redis", &selector(&redis)).start().unwrap();
    // Without keep-alive: one connection per request.
    run(Command::new("redis-benchmark").args(benchmark(&redis, 20_000, 10, &["-k", "0"]))).unwrap();
    recording.stop().unwrap().assert_exact("redis", 20_000 + HANDSHAKE);
}

#[test]
fn counts_requests_on_connections_opened_before_it_attached() {
    need_root();
    let redis = redis();
    let get = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";
    let mut client = Client::connect(redis.address(), 20, get, "$-1\r\n".len()).unwrap();
    let plan = Plan { rate: None, requests: 1_000, limit: Duration::from_secs(30) };
    client.run(plan).unwrap();
    let recording = Recorder::new("redis", &selector(&redis)).start().unwrap();
    client.run(Plan { requests: 100_000, ..plan }).unwrap();
    recording.stop().unwrap().assert_exact("redis", 100_000);
}

#[test]
fn each_command_of_a_pipeline_is_one_request() {
    need_root();
    let redis = redis();
    let recording = Recorder::new("redis", &selector(&redis)).start().unwrap();
    let request = b"*1\r\n$4\r\nPING\r\n".repeat(8);
    let mut client = Client::connect(redis.address(), 4, &request, 8 * "+PONG\r\n".len()).unwrap();
    client.run(Plan { rate: None, requests: 5_000, limit: Duration::from_secs(30) }).unwrap();
    recording.stop().unwrap().assert_exact("redis", 8 * 5_000);
}

#[test]
fn counts_a_service_by_pid_and_by_command() {
    need_root();
    let redis = redis();
    for selector in [format!("pid:{}", redis.pid()), format!("comm:redis-server,port:{}", redis.port)] {
        let recording = Recorder::new("redis", &selector).start().unwrap();
        run(Command::new("redis-benchmark").args(benchmark(&redis, 50_000, 8, &[]))).unwrap();
        recording.stop().unwrap().assert_exact("redis", 50_000 + HANDSHAKE);
    }
}

/// What redis-cli prints to a command.
fn cli(redis: &Service, words: &[&str]) -> String {
    run(Command::new("redis-cli").args(["-p", &redis.port.to_string()]).args(words)).unwrap()
}

/// By its own `latest_fork_usec`.
#[test]
fn a_fork_in_which_it_stands_still_is_named() {
    need_root();
    let directory = tempfile::tempdir().unwrap();
    let port = free_port().unwrap();
    let mut command = redis::command(port);
    command.arg("--dir").arg(directory.path());
    let redis = Service::start(&mut command, port).unwrap();
    let fill = ["-t", "set", "-n", "800000", "-r", "1000000", "-d", "700", "-P", "100", "-q"];
    run(Command::new("redis-benchmark").args(["-p", &port.to_string()]).args(fill)).unwrap();
    let request = b"*1\r\n$4\r\nPING\r\n";
    let mut client = Client::connect(redis.address(), 4, request, "+PONG\r\n".len()).unwrap();
    one_of_three(|_| {
        let recording = Recorder::new("redis", &selector(&redis)).start().unwrap();
        let plan = Plan { rate: Some(1_000), requests: 2_000, limit: Duration::from_secs(30) };
        scope(|scope| {
            let load = scope.spawn(|| client.run(plan).unwrap());
            sleep(Duration::from_secs(1));
            cli(&redis, &["bgsave"]);
            load.join().unwrap();
        });
        let report = recording.stop().unwrap();
        // Another one is not begun before this one's end.
        let saves = || cli(&redis, &["info", "persistence"]).contains("rdb_bgsave_in_progress:1");
        for _ in 0..600 {
            if !saves() {
                break;
            }
            sleep(Duration::from_millis(50));
        }
        report.assert_requests("redis", 2_001);
        let text = cli(&redis, &["info", "stats"]);
        let own = text.lines().find_map(|line| line.strip_prefix("latest_fork_usec:")).unwrap();
        let own_ns = own.trim().parse::<u64>().unwrap() * 1_000;
        let calls = report.service("redis")["syscalls"].as_array().unwrap();
        let call = calls.iter().find(|call| call["name"] == "clone").expect("a fork is a clone");
        let longest = call["latency"]["max_ns"].as_u64().unwrap();
        near(longest.abs_diff(own_ns) <= own_ns / 10 + 500_000, || {
            format!("{longest} ns, by its own account {own_ns}")
        })?;
        near(report.found("slow_fork"), || format!("not named: {own_ns} ns, {}", report.service("redis")["requests"]))
    });
}
