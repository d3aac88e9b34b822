//! `autocannon`, which sends ten requests at a time on each of its connections: each is one, as it and the server count them.

use std::process::Command;

use acgs_perf_tests::endpoints::{Named, endpoints, requests};
use acgs_perf_tests::harness::{Service, fixture, free_port, need_root, node, run};
use acgs_perf_tests::recording::Recorder;
use acgs_perf_tests::report::Report;
use serde_json::Value;

use super::http::{Http, request};
use super::nginx;

/// What it does: method, path, name, how many it is to send, and whether these are errors.
const RUNS: [(&str, &str, &str, u64, bool); 4] = [
    ("GET", "/users/17?x=1", "GET /users/{}", 20_000, false),
    ("POST", "/users", "POST /users", 4_000, false),
    ("GET", "/missing/4711", "GET /missing/{}", 4_000, true),
    ("GET", "/", "GET /", 4_000, false),
];

/// Runs it; how many replies it has counted.
fn autocannon(service: &Service, method: &str, path: &str, amount: u64) -> u64 {
    let url = format!("http://127.0.0.1:{}{path}", service.port);
    let mut command = Command::new(node("autocannon").unwrap());
    command.args(["-p", "10", "-c", "4", "-j", "-n", "-m", method, "-a", &amount.to_string()]);
    if method == "POST" {
        command.args(["-b", "some text"]);
    }
    let told: Value = serde_json::from_str(&run(command.arg(url)).unwrap()).unwrap();
    let count = |field: &str| told[field].as_u64().unwrap_or_else(|| panic!("no {field} in {told}"));
    assert_eq!((count("errors"), count("timeouts"), count("resets")), (0, 0, 0), "{told}");
    count("2xx") + count("non2xx")
}

/// All of its runs; what it has counted by name.
fn load(service: &Service) -> Named {
    let mut told = Named::new();
    for (method, path, name, amount, fails) in RUNS {
        let counted = autocannon(service, method, path, amount);
        told.entry(name.to_owned()).or_default().add(counted, if fails { counted } else { 0 });
    }
    told
}

/// Whether each request has counted once, by its name. At its end it leaves with the last nine of each connection under way: these it does
/// not count, the server may answer them, and of what is answered the client may never have heard.
#[track_caller]
fn is_between(report: &Report, service: &str, told: &Named, answered: &Named) {
    let seen = requests(&endpoints(report, service));
    assert_eq!(seen.keys().collect::<Vec<_>>(), answered.keys().collect::<Vec<_>>());
    for (name, seen) in &seen {
        let (told, answered) = (told[name], answered[name]);
        println!("{name}: autocannon {}, seen {}, the server {}", told.requests, seen.requests, answered.requests);
        assert!(answered.requests - told.requests <= 4 * 9, "{name}: {told:?} {answered:?}");
        assert!((told.requests..=answered.requests).contains(&seen.requests), "{name}: {told:?} {seen:?} {answered:?}");
        assert!((told.failed..=answered.failed).contains(&seen.failed), "{name}: {told:?} {seen:?} {answered:?}");
    }
    let all: u64 = seen.values().map(|counts| counts.requests).sum();
    assert_eq!((report.requests(service), report.integer(service, "/coverage/named")), (all, all));
    report.assert_nothing_lost(all);
}

#[test]
fn its_requests_to_nginx_are_those_that_it_counts() {
    need_root();
    let service = nginx::start(2);
    let recording = nginx::record(&service);
    let told = load(&service);
    let report = recording.stop().unwrap();
    is_between(&report, "nginx", &told, &nginx::logged(&service).0);
}

/// What Node has counted, by the same names.
fn counted(service: &Service) -> Named {
    let mut client = Http::connect(service.address());
    client.send(&request("GET", "/counts"));
    let rows: Vec<(String, u64)> = serde_json::from_slice(&client.body()).unwrap();
    let mut counts = Named::new();
    for (row, count) in rows {
        let [method, target, status] = row.split('\t').collect::<Vec<_>>()[..] else { panic!("{row}") };
        counts.entry(nginx::route(method, target)).or_default().add(count, if status == "404" { count } else { 0 });
    }
    counts
}

#[test]
fn its_requests_to_node_are_those_that_it_counts() {
    need_root();
    let port = free_port().unwrap();
    let service = Service::start(Command::new("node").arg(fixture("piped.js")).arg(port.to_string()), port).unwrap();
    let recording = Recorder::new("node", &format!("port:{port}")).start().unwrap();
    let mut told = load(&service);
    told.entry("GET /later/{}".to_owned()).or_default().add(autocannon(&service, "GET", "/later/1", 2_000), 0);
    let report = recording.stop().unwrap();
    is_between(&report, "node", &told, &counted(&service));
}
