//! What a service asks its peers for, by name; the truth is what these have counted themselves.

use std::fs;
use std::process::Command;

use acgs_perf_tests::endpoints::{Called, Counts, Endpoint, Named, called, find_called};
use acgs_perf_tests::harness::{Service, fixture, free_port, need_root, python, run};
use acgs_perf_tests::recording::{Recorder, Recording};
use acgs_perf_tests::report::Report;
use acgs_perf_tests::{nginx, redis};
use serde_json::Value;

use super::postgres;
use super::resp::{self, Resp};

const NAME: &str = "app";
const MS: u64 = 1_000_000;

/// The application, and what stands behind it.
struct Stack {
    app: Service,
    postgres: Service,
    redis: Service,
}

impl Stack {
    fn start() -> Self {
        let (postgres, redis) = (postgres::start(), redis::start().unwrap());
        let port = free_port().unwrap();
        let mut command = Command::new(python("uvicorn").unwrap());
        command.arg("calling_app:app").arg("--app-dir").arg(fixture("")).args(["--port", &port.to_string()]);
        command.args(["--host", "127.0.0.1", "--no-access-log", "--log-level", "warning"]);
        command.env("REDIS_PORT", redis.port.to_string()).env("POSTGRES_PORT", postgres.port.to_string());
        let app = Service::start(command.env("PYTHONDONTWRITEBYTECODE", "1"), port).unwrap();
        Self { app, postgres, redis }
    }

    fn record(&self) -> Recording {
        Recorder::new(NAME, &format!("port:{}", self.app.port)).start().unwrap()
    }

    fn ask(&self, path: &str, clients: u32, requests: u32) {
        ab(&self.app, path, clients, requests);
    }

    /// The calls to one of the peers, by name: each statement of several by itself, as PostgreSQL counts them; without what is only
    /// prepared, which it does not count, and without what a client library says of itself, some of which Redis 7.0 does not know and so
    /// does not count.
    fn seen(&self, report: &Report, peer: &Service) -> Named {
        let is_of_peer = |row: &Called| row.peer == peer.address().to_string();
        let rows = called(report, NAME).into_iter().filter(is_of_peer);
        let is_of_library = |name: &str| name.starts_with("CLIENT ") || name == "PREPARE";
        let rows = rows.filter(|row| row.endpoint.kind == "request" && !is_of_library(&row.endpoint.name));
        let mut named = Named::new();
        for Endpoint { name, counts, .. } in rows.map(|row| row.endpoint) {
            let parts = name.split("; ");
            parts.for_each(|part| named.entry(part.to_owned()).or_default().add(counts.requests, counts.failed));
        }
        named
    }
}

fn ab(service: &Service, path: &str, clients: u32, requests: u32) {
    let url = format!("http://127.0.0.1:{}{path}", service.port);
    let (clients, requests) = (clients.to_string(), requests.to_string());
    let text = run(Command::new("ab").args(["-q", "-k", "-n", &requests, "-c", &clients, &url])).unwrap();
    assert!(text.contains(&format!("Complete requests:      {requests}\n")), "{text}");
}

/// The same names with the same counts, in both.
#[track_caller]
fn is_as_counted(what: &str, seen: &Named, truth: &Named) {
    assert!(!truth.is_empty(), "{what} has counted nothing");
    for name in truth.keys().chain(seen.keys()) {
        assert_eq!(seen.get(name), truth.get(name), "{what}: {name}\nseen {seen:#?}\ntruth {truth:#?}");
    }
}

/// Four connections that were opened before the recording, and statements that were prepared on them then or later.
#[test]
fn statements_and_commands_are_counted_as_the_servers_count_them() {
    need_root();
    let stack = Stack::start();
    let mut client = Resp::connect(stack.redis.address());
    client.ask(&["SET", "text", "some text"]);
    client.ask(&["RPUSH", "list", "a", "b"]);
    stack.ask("/policies/1", 4, 40);
    postgres::forget(&stack.postgres);
    resp::reset(stack.redis.address());
    let recording = stack.record();
    stack.ask("/policies/7", 6, 1_500);
    stack.ask("/reports/7", 6, 60);
    stack.ask("/pipeline/7", 4, 300);
    stack.ask("/threads/7", 8, 1_000);
    let report = recording.stop().unwrap();
    report.assert_requests(NAME, 2_860);
    is_as_counted("Redis", &stack.seen(&report, &stack.redis), &resp::counted(stack.redis.address()));
    let balance = "select abalance from pgbench_accounts where aid = ?";
    let mut statements = postgres::counted(&stack.postgres);
    // On the four connections that have prepared it before, nobody knows its name.
    let [named, before] = [balance, "(prepared before the recording)"].map(|name| find_called(&report, NAME, name));
    assert_eq!(named.endpoint.counts.requests + before.endpoint.counts.requests, 1_500);
    statements.insert(balance.to_owned(), named.endpoint.counts);
    // What fails the server does not count.
    statements.entry("select ? / ?::int".to_owned()).or_default().add(60, 60);
    is_as_counted("PostgreSQL", &stack.seen(&report, &stack.postgres), &statements);
    let prepared = find_called(&report, NAME, "PREPARE").endpoint.counts;
    assert!(prepared.requests > 0 && prepared.failed == 0, "{prepared:?}");
    let sleep = find_called(&report, NAME, "select pg_sleep(?)");
    // To the width of a bucket, 3.1 %.
    assert!(sleep.endpoint.latency.get("min_ns") >= 19 * MS, "{:?}", sleep.endpoint.latency);
    let teller = find_called(&report, NAME, "select tbalance from pgbench_tellers where tid = ?");
    assert_eq!(teller.endpoint.counts, Counts { requests: 300, failed: 0 });
}

/// One client, so that nobody can confuse whose call it is.
#[test]
fn calls_for_the_same_within_a_request_are_repeated() {
    need_root();
    let stack = Stack::start();
    let recording = stack.record();
    stack.ask("/reports/7", 1, 50);
    stack.ask("/policies/7", 1, 200);
    let report = recording.stop().unwrap();
    let repeated = |name: &str| find_called(&report, NAME, name).repeated;
    assert_eq!(repeated("select tbalance from pgbench_tellers where tid = ?"), 4 * 50);
    assert_eq!(repeated("select abalance from pgbench_accounts where aid = ?"), 0);
    assert_eq!(repeated("GET"), 0);
    let exemplars = report.service(NAME)["exemplars"].as_array().unwrap();
    // On a busy machine others may be as slow, for want of a CPU; and one may be in more pieces than have room.
    let is_told = |one: &&Value| one["endpoint"] == "GET /reports/{}" && one["truncated"] == false;
    let slow = exemplars.iter().find(is_told).expect("none is slow");
    assert!(slow["latency_ns"].as_u64() > Some(20 * MS), "{slow}");
    let segments = slow["segments"].as_array().unwrap();
    let calls = segments.iter().filter(|segment| segment.get("call").is_some());
    let longest = calls.max_by_key(|segment| segment["duration_ns"].as_u64()).unwrap();
    assert_eq!(longest["call"], "select pg_sleep(?)", "{slow}");
}

/// nginx before nginx, over connections that it keeps: routes by method, errors, replies without a body, large ones.
#[test]
fn a_proxy_asks_for_what_it_is_asked_for() {
    need_root();
    let (port, behind) = (free_port().unwrap(), free_port().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().display().to_string();
    let servers = format!(
        "log_format seen '$request_method $uri $status';
         upstream behind {{ server 127.0.0.1:{behind}; keepalive 8; }}
         server {{ listen 127.0.0.1:{behind}; access_log {path}/access seen; root {path};
           location / {{ return 200 'ok'; }} location /missing/ {{ return 404; }} location /file {{ }} }}
         server {{ listen 127.0.0.1:{port}; access_log off; location / {{
           proxy_pass http://behind; proxy_http_version 1.1; proxy_set_header Connection ''; }} }}"
    );
    let arguments = nginx::arguments(directory.path(), 2, "", &servers).unwrap();
    fs::write(directory.path().join("file"), vec![b'x'; 300_000]).unwrap();
    run(Command::new("chmod").arg("755").arg(directory.path())).unwrap();
    let proxy = Service::start_in(Command::new("nginx").args(arguments), port, directory).unwrap();
    // Both servers are the same workers: what these serve is the service's own, of both ports.
    let recording = Recorder::new(NAME, &format!("port:{port}")).start().unwrap();
    ab(&proxy, "/users/me?x=1", 8, 2_000);
    ab(&proxy, "/missing/", 8, 500);
    ab(&proxy, "/file", 4, 200);
    run(Command::new("curl").args(["-sI", "-o", "/dev/null", &format!("http://127.0.0.1:{port}/file?[1-50]")]))
        .unwrap();
    let report = recording.stop().unwrap();
    let mut truth = Named::new();
    for line in fs::read_to_string(proxy.directory.path().join("access")).unwrap().lines() {
        let [method, path, status] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        truth.entry(format!("{method} {path}")).or_default().add(1, u64::from(status.starts_with('4')));
    }
    let seen = called(&report, NAME).into_iter().map(|row| (row.endpoint.name, row.endpoint.counts)).collect();
    is_as_counted("nginx", &seen, &truth);
}
